"""`Idempotency-Key`: a creation that is sent again is still the same one."""

from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import flask
import httpx

from common.listings.controller import Answer
from common.security.current import use
from common.security.principal import Principal
from common.testing.listings.api import Api
from common.testing.listings.tested import Body, Make

KEY = "Idempotency-Key"


def posted(api: Api, body: Body, key: str) -> httpx.Response:
    return api.client.post(api.path, json=body, headers={KEY: key})


def posted_by(api: Api, by: Principal, body: Body, key: str) -> Answer:
    """As `posted`, from who is called `by`, past all that stands before the controller."""
    controller = api.app.injector.get(api.tested.service.controller)

    def post() -> Answer:
        use(by)
        with flask.Flask("a").test_request_context(api.path, headers={KEY: key}):
            return controller.create(body)

    return copy_context().run(post)


class TestIdempotencyKeys:
    def test_a_creation_that_comes_again_is_answered_as_the_first_time(self, own: Api, listing: Make) -> None:
        given = listing(images=[{"url": "https://a.example/1.jpg"}])
        first = posted(own, given, "k-1")
        again = posted(own, given, "k-1")
        reordered = posted(own, dict(reversed(given.items())), "k-1")
        assert (first.status_code, "Idempotency-Replayed" in first.headers) == (201, False)
        for answer in (again, reordered):
            assert (answer.status_code, answer.json()) == (201, first.json())
            assert answer.headers["Idempotency-Replayed"] == "true"
            for name in ("Location", "ETag", "Atrium-Consistency", "Content-Type"):
                assert answer.headers[name] == first.headers[name]
        assert own.events() == [("Created", first.json()["id"], 1)]

    def test_it_is_so_whatever_became_of_the_listing(self, own: Api, listing: Make) -> None:
        given = listing()
        first = posted(own, given, "k-1").json()
        own.patched(first, name="Another")
        assert posted(own, given, "k-1").json() == first
        own.client.delete(own.at(first)).raise_for_status()
        assert posted(own, given, "k-1").json() == first

    def test_the_same_key_with_another_body_is_refused_by_name(self, own: Api, listing: Make) -> None:
        given = listing()
        first = posted(own, given, "k-1").json()
        for body in (listing(), given | {"name": "Another"}):
            refused = posted(own, body, "k-1")
            assert (refused.status_code, refused.headers["Content-Type"]) == (422, "application/problem+json")
            assert [(error["in"], error["name"]) for error in refused.json()["errors"]] == [("header", KEY)]
        assert [each["id"] for each in own.listed()] == [first["id"]]

    def test_the_key_is_looked_up_before_the_url(self, own: Api, listing: Make) -> None:
        given = listing()
        first = posted(own, given, "k-1")
        assert posted(own, given, "k-1").status_code == 201
        for refused in (posted(own, given, "k-2"), own.client.post(own.path, json=given)):
            assert (refused.status_code, refused.headers["Location"]) == (409, first.headers["Location"])
        own.client.delete(first.headers["Location"]).raise_for_status()
        assert posted(own, given, "k-2").json()["id"] != first.json()["id"], "what was refused has used no key"

    def test_without_a_key_each_is_a_new_one(self, own: Api, listing: Make) -> None:
        made: list[Body] = [own.create(listing()) for _ in range(2)]
        assert len({each["id"] for each in made}) == 2

    def test_the_same_key_of_another_subject_is_another_key(self, own: Api, listing: Make) -> None:
        one, other = Principal("https://issuer.example", "a", frozenset()), Principal("https://issuer.example", "b", frozenset())
        given = listing()

        def ids(by: Principal, body: Body) -> Any:
            shown, status, _ = posted_by(own, by, body, "k-1")
            assert status == 201
            return shown["id"]

        first = ids(one, given)
        assert ids(other, listing()) != first
        assert ids(one, given) == first
        assert posted(own, listing(), "k-1").status_code == 201
        owners = {each["id"]: each["owner"] for each in own.exported()}
        assert owners[first] == "https://issuer.example|a"
        assert sorted(owners.values()) == ["", "https://issuer.example|a", "https://issuer.example|b"]

    def test_of_many_that_come_at_once_one_creates(self, own: Api, listing: Make) -> None:
        given = listing()

        def post(_: int) -> tuple[int, Body]:
            answer = httpx.post(own.url, json=given, headers={KEY: "k-1"}, timeout=60)
            return answer.status_code, answer.json()

        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(post, range(48)))
        assert answers == [answers[0]] * 48
        assert answers[0][0] == 201
        assert own.events() == [("Created", answers[0][1]["id"], 1)]
