"""Who may do what: tokens are looked at before bodies, validation and streams alike."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from common.security import current
from common.security.keys import Keys
from common.security.tokens import Tokens
from common.testing.tokens import REFUSED, TestIssuer, bearer
from common.web.guard import Guard
from common.web.serve import running

SCOPES = {"GET": None, "POST": "toys:write", "PUT": "toys:write", "PATCH": "toys:write", "DELETE": "admin"}
TOY = "/v1.0/toys/01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"


@pytest.fixture(scope="module")
def issuer() -> TestIssuer:
    return TestIssuer()


@pytest.fixture(scope="module")
def client(toys: ModuleType, issuer: TestIssuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("spec")
    keys = Keys(str(issuer.write(folder / "jwks.json")))
    guard = Guard(Tokens(issuer.issuer, issuer.audience, keys), token_url="https://issuer.example/token")
    app = toys.toy_app(spec=toys.protected_spec(folder / "openapi.yaml"), guard=guard)
    with running(app) as server, httpx.Client(base_url=server.url) as client:
        yield client


CALLS = [
    ("GET", "/v1.0/toys", "", b""),
    ("POST", "/v1.0/toys", "application/json", b'{"name": "a", "price": 1}'),
    ("POST", "/v1.0/toys/import", "application/jsonl", b'{"name": "a"}'),
    ("GET", TOY, "", b""),
    ("PUT", TOY, "application/json", b'{"name": "a", "price": 1}'),
    ("PATCH", TOY, "application/merge-patch+json", b"{}"),
    ("DELETE", TOY, "", b""),
]


def call(client: httpx.Client, which: tuple[str, str, str, bytes], headers: dict[str, Any]) -> httpx.Response:
    method, path, content_type, body = which
    return client.request(method, path, content=body, headers=({"Content-Type": content_type} if body else {}) | headers)


@pytest.mark.parametrize("which", CALLS, ids=lambda call: f"{call[0]} {call[1][:17]}")
@pytest.mark.parametrize("kind", REFUSED)
def test_a_token_of_the_wrong_kind_is_refused_even_where_none_is_needed(
    client: httpx.Client, issuer: TestIssuer, kind: str, which: tuple[str, str, str, bytes]
) -> None:
    response = call(client, which, bearer(issuer.refused(kind)))
    assert response.status_code == 401, response.text
    assert response.json()["type"] == "/problems/unauthorized"
    assert response.headers["WWW-Authenticate"].startswith('Bearer error="invalid_token", error_description="')


@pytest.mark.parametrize("which", CALLS, ids=lambda call: f"{call[0]} {call[1][:17]}")
def test_without_a_token_one_may_read_and_not_write(client: httpx.Client, which: tuple[str, str, str, bytes]) -> None:
    response = call(client, which, {})
    if which[0] == "GET":
        assert response.status_code in (200, 404)
        return
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"  # RFC 6750: no error where no token was sent


@pytest.mark.parametrize("which", CALLS, ids=lambda call: f"{call[0]} {call[1][:17]}")
def test_a_scope_that_lacks_is_named(client: httpx.Client, issuer: TestIssuer, which: tuple[str, str, str, bytes]) -> None:
    response = call(client, which, bearer(issuer.token(scopes="other")))
    scope = SCOPES[which[0]]
    if scope is None:
        assert response.status_code in (200, 404)
        return
    assert response.status_code == 403
    assert response.json()["scopes"] == [scope] and scope in response.json()["detail"]
    assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]
    assert f'scope="{scope}"' in response.headers["WWW-Authenticate"]


@pytest.mark.parametrize("scopes", [{"scope": "toys:write other"}, {"scope": "admin"}, {"scope": ["toys:write"]}])
def test_the_scope_or_admin_opens_operations_and_streams(
    client: httpx.Client, issuer: TestIssuer, scopes: dict[str, Any]
) -> None:
    token = bearer(issuer.token(**scopes))
    assert call(client, CALLS[1], token).status_code == 201
    assert call(client, CALLS[2], token).status_code == 200


def test_some_issuers_list_scopes_in_scp(client: httpx.Client, issuer: TestIssuer) -> None:
    assert call(client, CALLS[1], bearer(issuer.token(without="scope", scp=["toys:write"]))).status_code == 201


@pytest.mark.parametrize("header", [b"Bearer", b"Basic YTpi", b"Digest x", b"\xff"])
def test_an_authorization_of_another_kind_is_refused(client: httpx.Client, header: bytes) -> None:
    assert client.get("/v1.0/toys", headers={"Authorization": header}).status_code == 401


def test_two_authorizations_are_refused(client: httpx.Client, issuer: TestIssuer) -> None:
    token = b"Bearer " + issuer.token(scopes="admin").encode()
    assert client.get("/v1.0/toys", headers=[(b"authorization", token), (b"authorization", token)]).status_code == 401


def test_without_a_token_not_even_the_body_is_looked_at(client: httpx.Client) -> None:
    assert client.post("/v1.0/toys", content=b"nonsense").status_code == 401


def test_the_handler_knows_who_asks(toys: ModuleType, issuer: TestIssuer, tmp_path: Path) -> None:
    seen: list[str] = []

    class Controller(toys.ToysController):  # type: ignore[misc,name-defined]
        def list_toys(self, limit: int, **given: Any) -> dict[str, Any]:
            who = current.principal()
            seen.append(f"{who.owner} {sorted(who.scopes)}")
            return {}

    def asked(guard: Guard, **headers: Any) -> str:
        options = {"controller": Controller, "name": "toys", "modules": [toys.bindings], "views": toys.views}
        app = toys.create_app(spec=spec, streams=[toys.Stream("POST", "/toys/import", toys.handler)], guard=guard, **options)
        with running(app) as server:
            assert httpx.get(f"{server.url}/v1.0/toys", **headers).status_code == 200
        return seen.pop()

    spec = toys.protected_spec(tmp_path / "openapi.yaml")
    guard = Guard(Tokens(issuer.issuer, issuer.audience, Keys(str(issuer.write(tmp_path / "jwks.json")))))
    token = bearer(issuer.token("ann", "toys:write"))
    assert asked(guard, headers=token) == "https://issuer.example|ann ['toys:write']"
    assert asked(guard) == " []"
    assert asked(Guard(), headers=token) == " ['admin']"


def test_the_document_tells_where_tokens_come_from_and_what_is_answered(client: httpx.Client) -> None:
    document = client.get("/v1.0/openapi.json").json()
    schemes = document["components"]["securitySchemes"]
    assert schemes["oauth"]["flows"]["clientCredentials"]["tokenUrl"] == "https://issuer.example/token"
    assert schemes["token"]["scheme"] == "bearer"
    post = document["paths"]["/toys"]["post"]
    assert post["security"] == [{"oauth": ["toys:write"]}, {"token": []}]
    assert document["paths"]["/toys"]["get"]["security"] == [{"oauth": []}, {"token": []}, {}]
    assert {"401", "403", "503"} <= post["responses"].keys()


def test_without_an_issuer_nothing_is_locked(toys: ModuleType, issuer: TestIssuer, tmp_path: Path) -> None:
    app = toys.toy_app(spec=toys.protected_spec(tmp_path / "openapi.yaml"))
    with running(app) as server, httpx.Client(base_url=server.url) as client:
        assert "securitySchemes" not in client.get("/v1.0/openapi.yaml").text
        assert "security:" not in client.get("/v1.0/openapi.yaml").text
        assert call(client, CALLS[1], {}).status_code == 201
        assert call(client, CALLS[1], bearer(issuer.refused("garbage"))).status_code == 201


def test_as_long_as_no_key_was_ever_had_nobody_can_be_told_from_anybody(
    toys: ModuleType, issuer: TestIssuer, tmp_path: Path
) -> None:
    jwks = tmp_path / "jwks.json"
    guard = Guard(Tokens(issuer.issuer, issuer.audience, Keys(str(jwks), pause=0.0)))
    app = toys.toy_app(spec=toys.protected_spec(tmp_path / "openapi.yaml"), guard=guard)
    with running(app) as server, httpx.Client(base_url=server.url) as client:
        token = bearer(issuer.token(scopes="toys:write"))
        response = call(client, CALLS[1], token)
        assert response.status_code == 503 and int(response.headers["Retry-After"]) >= 1
        assert client.get("/v1.0/toys").status_code == 200
        issuer.write(jwks)
        assert call(client, CALLS[1], token).status_code == 201
