"""Operations over real HTTP: the life of a toy, injection, conditions, problems, and what each answer carries."""

import json
import logging
import re
from types import ModuleType
from typing import Any
from uuid import uuid4

import flask
import httpx
import pytest
from injector import Binder

from common.errors import Conflict
from common.observability import current
from common.web.problems import ProblemTable
from common.web.serve import running

JSON = {"Content-Type": "application/json"}


def made(client: httpx.Client, **changes: Any) -> httpx.Response:
    response = client.post("/v1.0/toys", json={"name": "Train", "price": 12} | changes)
    assert response.status_code == 201, response.text
    return response


def test_what_is_made_can_be_read_under_its_location(client: httpx.Client) -> None:
    toy = made(client)
    read = client.get(toy.headers["Location"])
    assert read.json() == toy.json()
    assert read.headers["ETag"] == '"1"'


def test_get_edit_put_works_as_read_only_properties_are_ignored(client: httpx.Client) -> None:
    toy = made(client).json()
    replaced = client.put(f"/v1.0/toys/{toy['id']}", json=toy | {"price": 13, "id": "another", "version": "x"})
    assert replaced.status_code == 200
    assert replaced.json() == toy | {"price": 13, "version": 2}


def test_a_version_the_client_has_is_not_sent_again(client: httpx.Client) -> None:
    here = made(client).headers["Location"]
    unchanged = client.get(here, headers={"If-None-Match": '"7", W/"1"'})
    assert (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]) == (304, b"", '"1"')
    assert "content-type" not in unchanged.headers


def test_a_stale_write_learns_the_current_version(client: httpx.Client) -> None:
    here = made(client).headers["Location"]
    client.put(here, json={"name": "Plane", "price": 1})
    stale = client.put(here, json={"name": "Boat", "price": 1}, headers={"If-Match": '"1"'})
    assert stale.status_code == 412
    assert stale.headers["ETag"] == '"2"'
    assert stale.json()["version"] == 2
    assert stale.json()["type"] == "/problems/stale"


def test_a_conflict_leads_to_the_one_that_exists(client: httpx.Client) -> None:
    url = f"https://toys.example/{uuid4()}"
    here = made(client, url=url).headers["Location"]
    conflict = client.post("/v1.0/toys", json={"name": "Again", "price": 1, "url": url})
    assert conflict.status_code == 409
    assert conflict.headers["Location"] == here
    assert conflict.json()["field"] == "url"
    assert here.endswith(conflict.json()["existing_id"])


def test_a_conflict_leads_nowhere_where_none_may_be_named() -> None:
    problem = ProblemTable("/v1.0/toys/{}".format).problem(Conflict("url", ""))
    assert (problem.extensions["existing_id"], problem.headers) == ("", ())


def test_a_deleted_toy_is_gone(client: httpx.Client) -> None:
    here = made(client).headers["Location"]
    gone = client.delete(here)
    assert (gone.status_code, gone.content) == (204, b"")
    assert client.get(here).json()["type"] == "/problems/not-found"


def test_a_merge_patch_that_takes_away_what_is_required_names_it(client: httpx.Client) -> None:
    here = made(client).headers["Location"]
    patched = client.patch(here, content=b'{"price": null}', headers={"Content-Type": "application/merge-patch+json"})
    assert patched.status_code == 400
    assert patched.json()["errors"] == [{"in": "body", "name": "price", "detail": "is missing"}]


def test_a_neighbour_that_is_down_is_503_without_its_address(client: httpx.Client) -> None:
    down = client.post("/v1.0/toys", json={"name": "out", "price": 1})
    assert (down.status_code, down.headers["Retry-After"]) == (503, "7")
    assert "secret" not in down.text


def test_the_unexpected_is_a_500_that_tells_nothing_but_the_log_everything(
    client: httpx.Client, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "common.web"):
        failed = client.post("/v1.0/toys", json={"name": "bomb", "price": 1}, headers={"X-Request-Id": "my-bomb"})
    assert failed.status_code == 500
    assert "secret" not in failed.text
    assert failed.json()["request_id"] == "my-bomb"
    assert any(record.exc_info and "secret" in str(record.exc_info[1]) for record in caplog.records)


def test_a_problem_has_every_member_of_rfc_9457(client: httpx.Client) -> None:
    problem = client.get(f"/v1.0/toys/{uuid4()}", headers={"X-Request-Id": "r-1"})
    assert problem.headers["Content-Type"] == "application/problem+json"
    document = problem.json()
    assert {"type", "title", "status", "detail", "instance", "request_id"} <= document.keys()
    assert document["instance"] == problem.request.url.path
    page = client.get(document["type"])
    assert page.status_code == 200
    assert document["title"] in page.text


@pytest.mark.parametrize(
    ("sent", "kept"), [("abc-123", True), ("x" * 129, False), ("a b", False), ("a\tb", False), ("<script>", False), ("", False)]
)
def test_a_sane_request_id_is_kept(client: httpx.Client, sent: str, kept: bool) -> None:
    answered = client.get("/livez", headers={"X-Request-Id": sent}).headers["X-Request-Id"]
    assert (answered == sent) is kept
    assert re.fullmatch(r"[!-~]+", answered)


def test_handlers_see_the_ids_in_their_thread_and_the_trace_goes_on(toys: ModuleType) -> None:
    seen = []

    class Watching(toys.Toys):  # type: ignore[name-defined,misc]
        def add(self, toy: dict[str, Any]) -> dict[str, Any]:
            seen.append(current())
            return super().add(toy)  # type: ignore[no-any-return]

    app = toys.toy_app(lambda binder: binder.bind(toys.Toys, to=Watching()))
    trace = "0af7651916cd43dd8448eb211c80319c"
    with running(app) as server:
        headers = {"X-Request-Id": "r-7", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
        httpx.post(f"{server.url}/v1.0/toys", json={"name": "a", "price": 1}, headers=headers)
    assert seen[0].request_id == "r-7"
    assert seen[0].trace_id == trace
    assert "b7ad6b7169203331" not in seen[0].traceparent


def test_each_request_is_one_line_in_the_log_and_health_is_quiet(client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "common.web.access"):
        client.get("/v1.0/toys?limit=3")
        client.get("/nowhere")
        client.get("/livez")
        client.get("/readyz")
        client.get("/health-check")
        client.get("/v1.0/toys?limit=4")  # its line comes after all the others
    lines = [(record.method, record.path, record.status) for record in caplog.records if record.name == "common.web.access"]
    assert lines[:2] == [("GET", "/v1.0/toys", 200), ("GET", "/nowhere", 404)]
    assert not [line for line in lines if line[1] in ("/livez", "/readyz", "/health-check")]


def test_one_module_replaces_a_repository_for_operations_and_views_alike(toys: ModuleType) -> None:
    class Empty(toys.Toys):  # type: ignore[name-defined,misc]
        def get(self, id: str) -> dict[str, Any]:
            return {"id": id, "version": 41, "name": "swapped"}

    def swap(binder: Binder) -> None:
        binder.bind(toys.Toys, to=Empty({"x": {}, "y": {}}))

    with running(toys.toy_app(swap)) as server:
        assert httpx.get(f"{server.url}/v1.0/toys/{uuid4()}").json()["name"] == "swapped"
        assert httpx.get(f"{server.url}/count").text == "2"


def test_a_view_may_fail_like_an_operation(toys: ModuleType) -> None:
    def views(app: flask.Flask) -> None:
        @app.get("/teapot")
        def teapot() -> str:
            flask.abort(418, "short and stout")

        @app.post("/echo")
        def echo() -> bytes:
            return flask.request.get_data()

        @app.get("/boom")
        def boom() -> str:
            raise RuntimeError("secret")

    with running(toys.toy_app(views=views)) as server, httpx.Client(base_url=server.url) as client:
        teapot = client.get("/teapot")
        assert (teapot.status_code, teapot.headers["Content-Type"]) == (418, "application/problem+json")
        assert teapot.json()["detail"] == "short and stout"
        assert client.get("/boom").json()["type"] == "/problems/internal"
        assert client.post("/echo", content=iter([b"one ", b"two"])).content == b"one two"
        wrong = client.delete("/echo")
        assert (wrong.status_code, wrong.headers["Allow"]) == (405, "OPTIONS, POST")
        assert client.options("/echo").headers["Allow"] == "OPTIONS, POST"
        assert client.get("/v1.0/toys").status_code == 200


def test_answers_are_json_whatever_an_operation_returns(client: httpx.Client) -> None:
    listed = client.get("/v1.0/toys", params={"q": "Zürich"})
    assert listed.headers["Content-Type"] == "application/json"
    assert json.loads(listed.content) == {"limit": 20, "q": "Zürich"}
