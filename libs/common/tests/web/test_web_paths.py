"""Paths and methods: trailing slashes, 404, 405, HEAD, OPTIONS, CORS, documents and pages."""

from types import ModuleType
from uuid import uuid4

import httpx
import pytest
import yaml

from common.web.serve import running

PREFLIGHT = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "if-match"}


@pytest.mark.parametrize("path", ["/v1.0/toys/", "/v1.0/toys"])
def test_a_trailing_slash_makes_no_difference(client: httpx.Client, path: str) -> None:
    assert client.get(path).status_code == 200
    assert client.post(path, json={"name": "a", "price": 1}).status_code == 201


@pytest.mark.parametrize("path", ["/nowhere", "/v1.0", "/v1.0/toys//", "/v1.0/toys/x/y", "/v1.0/ui/nowhere", "/problems/none"])
def test_where_there_is_nothing_a_problem_says_so(client: httpx.Client, path: str) -> None:
    nothing = client.get(path)
    assert nothing.status_code == 404
    assert nothing.json()["type"] == "/problems/no-such-path"


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "DELETE"])
def test_a_path_that_is_not_there_has_no_methods_either(client: httpx.Client, method: str) -> None:
    assert client.request(method, "/v1.0/nowhere").status_code == 404


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/v1.0/toys", "GET, HEAD, OPTIONS, POST"),
        ("/v1.0/toys/01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("/livez", "GET, HEAD, OPTIONS"),
        ("/count", "GET, HEAD, OPTIONS"),
    ],
)
def test_a_method_that_is_not_there_is_told_which_are(client: httpx.Client, path: str, allow: str) -> None:
    wrong = client.request("TRACE", path)
    assert (wrong.status_code, wrong.headers["Allow"]) == (405, allow)
    assert wrong.json()["type"] == "/problems/method-not-allowed"
    options = client.options(path)
    assert (options.status_code, options.headers["Allow"]) == (204, allow)


@pytest.mark.parametrize("path", ["/v1.0/toys", "/livez", "/", "/v1.0/openapi.json", "/v1.0/ui/", "/count"])
def test_head_is_get_without_its_body(client: httpx.Client, path: str) -> None:
    head, get = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == get.headers["Content-Type"]
    assert client.head("/nowhere").status_code == 404


def test_an_allowed_page_may_read_and_write(client: httpx.Client) -> None:
    origin = {"Origin": "https://shop.example"}
    preflight = client.options(f"/v1.0/toys/{uuid4()}", headers=origin | PREFLIGHT)
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://shop.example"
    assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
    assert "If-Match" in preflight.headers["Access-Control-Allow-Headers"]
    for path in ("/v1.0/toys", "/nowhere"):
        answer = client.get(path, headers=origin)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://shop.example"
        assert "ETag" in answer.headers["Access-Control-Expose-Headers"]
        assert answer.headers["Vary"] == "Origin"


def test_another_page_may_not(client: httpx.Client) -> None:
    origin = {"Origin": "https://evil.example"}
    for answer in (client.get("/v1.0/toys", headers=origin), client.options("/v1.0/toys", headers=origin | PREFLIGHT)):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_by_default_no_page_may(toys: ModuleType) -> None:
    with running(toys.toy_app()) as server:
        answer = httpx.get(f"{server.url}/v1.0/toys", headers={"Origin": "https://shop.example"})
    assert not [name for name in answer.headers if name.startswith("access-control") or name == "vary"]


def test_swagger_ui_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    redirect = client.get("/ui")
    assert (redirect.status_code, redirect.headers["Location"]) == (302, "/v1.0/ui/")
    page = client.get("/v1.0/ui/").text
    assert "http://" not in page
    assert "https://" not in page
    assert "/v1.0/openapi.json" in page
    assert client.get("/v1.0/ui/swagger-ui-bundle.js").status_code == 200


def test_the_document_is_served_as_it_is_written(client: httpx.Client, toys: ModuleType) -> None:
    written = yaml.safe_load(toys.SPEC.read_text())
    assert client.get("/v1.0/openapi.json").json() == written
    assert yaml.safe_load(client.get("/v1.0/openapi.yaml").text) == written
    assert written["paths"]["/toys"]["post"]["requestBody"]["content"]["application/json"]["example"]


def test_the_front_page_links_to_pages_that_are_there(client: httpx.Client) -> None:
    links = [part.partition('"')[0] for part in client.get("/").text.split('href="')[1:]]
    assert len(links) == 4
    assert {client.get(link).status_code for link in links} == {200}
