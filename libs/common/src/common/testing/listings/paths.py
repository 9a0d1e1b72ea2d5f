"""Lists, paths and methods of the API."""

import socket
from typing import Any

import pytest
from uuid_utils import uuid4

from common.testing.listings.api import NDJSON, NOBODY, Api, Serve
from common.testing.listings.tested import Body, Make, Tested
from common.web.pagination import encode_cursor


def here(api: Api, **query: Any) -> dict[str, Any]:
    """The query for listings since this API was taken; others have written into the same database."""
    return ({} if api.after is None else {"cursor": encode_cursor((api.after,))}) | query


class TestLists:
    @pytest.fixture
    def five(self, api: Api, listing: Make) -> list[Body]:
        """Five listings, oldest first; every other one is hidden."""
        return [api.create(listing(is_visible=number % 2 == 0)) for number in range(5)]

    def test_a_list_is_walked_page_by_page(self, api: Api, five: list[Body]) -> None:
        seen, pages = [], 0
        page = api.client.get(api.path, params=here(api, limit=2))
        while True:
            assert page.status_code == 200
            seen += page.json()
            pages += 1
            if "next" not in page.links:
                break
            page = api.client.get(page.links["next"]["url"])
        assert (seen, pages) == (five, 3)

    def test_a_walk_neither_repeats_nor_skips_while_listings_come_and_go(self, api: Api, listing: Make, five: list[Body]) -> None:
        page = api.client.get(api.path, params=here(api, limit=3))
        api.client.delete(api.at(five[2]))
        new = api.create(listing())
        assert [each["id"] for each in api.client.get(page.links["next"]["url"]).json()] == [
            five[3]["id"],
            five[4]["id"],
            new["id"],
        ]

    def test_a_page_that_holds_all_leads_nowhere(self, api: Api, five: list[Body]) -> None:
        page = api.client.get(api.path, params=here(api, limit=5))
        assert (len(page.json()), page.links) == (5, {})

    def test_a_list_is_filtered_by_what_is_visible(self, api: Api, five: list[Body]) -> None:
        assert api.listed(is_visible="true") == five[::2]
        assert api.listed(is_visible="false") == five[1::2]
        assert api.client.get(api.path, params=here(api, is_visible="false", limit=1)).json() == five[1:2]

    def test_a_list_is_filtered_by_each_filter_of_its_kind(self, api: Api, tested: Tested, listing: Make) -> None:
        def asked(value: object) -> object:
            return str(value).lower() if isinstance(value, bool) else value

        for name, (one, other) in tested.filters.items():
            first, second = api.create(listing(**{name: one})), api.create(listing(**{name: other}))
            hidden = api.create(listing(**{name: one}, is_visible=False))
            assert api.listed(**{name: asked(one)}) == [first, hidden]
            assert api.listed(**{name: asked(one), "is_visible": "true"}) == [first]
            assert api.listed(**{name: asked(other), "is_visible": "false"}) == []
            told = api.patched(second, **{name: one})
            assert api.listed(**{name: asked(one)}) == [first, told, hidden]
            assert api.listed(**{name: asked(other)}) == []
            for each in (first, second, hidden):
                api.client.delete(api.at(each))

    def test_a_text_is_found_as_it_was_sent(self, api: Api, tested: Tested, listing: Make) -> None:
        for name in tested.filters.keys() & tested.texts.keys():
            unique = str(uuid4())[:13]
            made = api.create(listing(**{name: f" Tom &amp; J\u0065\u0301r\u00f4me {unique}  "}))
            assert made[name] == f"Tom & J\u00e9r\u00f4me {unique}"
            for text in (f"Tom & J\u00e9r\u00f4me {unique}", f" Tom &amp; J\u0065\u0301r\u00f4me {unique}  "):
                assert api.client.get(api.path, params={name: text}).json() == [made]
            assert api.client.get(api.path, params={name: "<b></b>"}).json() == []
            assert api.client.get(api.path, params={name: "nobody's"}).json() == []

    def test_the_next_page_is_named_whatever_bytes_the_query_holds(self, shared: Api, tested: Tested, listing: Make) -> None:
        host, port = shared.client.base_url.host, shared.client.base_url.port
        for name in tested.filters.keys() & tested.texts.keys():
            for _ in range(2):
                shared.create(listing(**{name: "ÿ"}))
            for spelling in (b"%C3%BF", b"\xc3\xbf", b"\xff"):
                with socket.create_connection((host, port), 10) as raw:
                    asked = f"GET {shared.path}?limit=1&{name}=".encode() + spelling
                    raw.sendall(asked + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                    answer = b"".join(iter(lambda: raw.recv(65536), b""))
                assert answer.split()[1] in (b"200", b"400"), answer[:100]


class TestPaths:
    def test_a_trailing_slash_makes_no_difference(self, shared: Api, listing: Make) -> None:
        made = shared.client.post(f"{shared.path}/", json=listing())
        assert made.status_code == 201
        path = f"{shared.at(made.json())}/"
        assert shared.client.get(f"{shared.path}/", params=here(shared)).json() == [made.json()]
        assert shared.client.get(path).json() == made.json()
        assert shared.client.patch(path, json={"name": "1"}).status_code == 200
        assert shared.client.put(path, json=listing()).status_code == 200
        assert shared.client.post(f"{shared.path}/import/", content=b"", headers=NDJSON).status_code == 200
        assert shared.client.delete(path).status_code == 204

    def test_head_answers_as_get_without_the_body(self, shared: Api, listing: Make) -> None:
        for path in (f"{shared.path}?limit=1", shared.at(shared.create(listing())), "/livez"):
            head, get = shared.client.head(path), shared.client.get(path)
            assert (head.status_code, head.content) == (200, b"")
            for name in ("content-type", "content-length", "etag", "link"):
                assert head.headers.get(name) == get.headers.get(name)
        assert shared.client.head(shared.nobody).status_code == 404

    @pytest.mark.parametrize(
        ("below", "allowed"),
        [
            ("", {"GET", "HEAD", "OPTIONS", "POST"}),
            (f"/{NOBODY}", {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"}),
            ("/import", {"OPTIONS", "POST"}),
        ],
    )
    def test_a_method_that_a_path_does_not_have_is_refused_with_those_it_has(
        self, shared: Api, below: str, allowed: set[str]
    ) -> None:
        path = shared.path + below
        options = shared.client.options(path)
        assert (options.status_code, set(options.headers["Allow"].split(", "))) == (204, allowed)
        for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"} - allowed:
            refused = shared.client.request(method, path, content=b"{}")
            assert (refused.status_code, refused.json()["type"]) == (405, "/problems/method-not-allowed"), method
            assert set(refused.headers["Allow"].split(", ")) == allowed

    def test_an_unknown_path_is_a_problem(self, shared: Api, tested: Tested) -> None:
        for path in ("/v1.0/nothing", f"{shared.nobody}/images", f"/{tested.kind.plural}", f"/{shared.path}"):
            missing = shared.client.get(f"http://{shared.client.base_url.netloc.decode()}{path}")
            assert (missing.status_code, missing.json()["type"]) == (404, "/problems/no-such-path"), path

    def test_every_answer_has_the_request_id_that_was_sent_or_one_of_its_own(self, shared: Api, listing: Make) -> None:
        own = {shared.client.get(shared.path).headers["X-Request-Id"] for _ in range(2)}
        assert len(own) == 2
        mine = {"X-Request-Id": "mine-1"}
        for answer in (
            shared.client.post(shared.path, json=listing(), headers=mine),
            shared.client.post(shared.path, json={}, headers=mine),
            shared.client.get("/nowhere", headers=mine),
        ):
            assert answer.headers["X-Request-Id"] == "mine-1"
            assert answer.is_success or answer.json()["request_id"] == "mine-1"

    def test_the_example_requests_of_the_document_work_at_the_first_try(
        self, serve: Serve, sqlite_url: str, tested: Tested
    ) -> None:
        api = serve(sqlite_url)
        document = api.client.get("/v1.0/openapi.json").json()
        examples = document["components"]["examples"]
        assert examples
        made = [api.create(example["value"]) for example in examples.values()]
        path = f"/{tested.kind.plural}"
        patch = document["paths"][f"{path}/{{id}}"]["patch"]["requestBody"]["content"]
        for media, content in patch.items():
            answer = api.client.patch(api.at(made[0]), json=content["example"], headers={"Content-Type": media})
            assert answer.status_code == 200
        lines = document["paths"][f"{path}/import"]["post"]["requestBody"]["content"]["application/x-ndjson"]["example"]
        assert [each["outcome"] for each in api.imported(lines.encode())] == ["created"]
        assert api.client.get("/v1.0/ui/").status_code == 200
