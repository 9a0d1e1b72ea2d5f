"""connexion's security layer stands before bodies, validation and streams alike."""

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import httpx
import pytest
import yaml
from connexion.security import OAuthSecurityHandler

from common.web.serve import running

TOKENS = {"reader": {"sub": "ann", "scope": "read"}, "writer": {"sub": "bob", "scope": "read write"}}


class Tokens(OAuthSecurityHandler):
    def get_tokeninfo_func(self, security_definition: dict[str, Any]) -> Callable[[str], dict[str, str] | None]:
        return TOKENS.get


@pytest.fixture(scope="module")
def client(toys: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    document = yaml.safe_load(toys.SPEC.read_text())
    flow = {"tokenUrl": "/token", "scopes": {"read": "see", "write": "change"}}
    document["components"]["securitySchemes"] = {"token": {"type": "oauth2", "flows": {"clientCredentials": flow}}}
    document["paths"]["/toys"]["post"]["security"] = [{"token": ["write"]}]
    document["paths"]["/toys/import"]["post"]["security"] = [{"token": ["write"]}]
    spec = tmp_path_factory.mktemp("spec") / "openapi.yaml"
    spec.write_text(yaml.safe_dump(document))
    app = toys.toy_app(spec=spec, security_map={"oauth2": Tokens})
    with running(app) as server, httpx.Client(base_url=server.url) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "content_type", "done"), [("/v1.0/toys", "application/json", 201), ("/v1.0/toys/import", "application/jsonl", 200)]
)
def test_an_operation_and_a_stream_want_a_token_with_the_scope(
    client: httpx.Client, path: str, content_type: str, done: int
) -> None:
    def status(authorization: str | None) -> int:
        headers = {"Content-Type": content_type} | ({"Authorization": authorization} if authorization else {})
        response = client.post(path, content=b'{"name": "a", "price": 1}', headers=headers)
        if response.status_code == 401:
            assert response.headers["WWW-Authenticate"] == "Bearer"
            assert response.json()["type"] == "/problems/unauthorized"
        if response.status_code == 403:
            assert response.json()["type"] == "/problems/forbidden"
        return response.status_code

    assert [status(None), status("Bearer"), status("Bearer nobody"), status("Bearer reader")] == [401, 401, 401, 403]
    assert status("Bearer writer") == done


def test_without_a_token_not_even_the_body_is_looked_at(client: httpx.Client) -> None:
    assert client.post("/v1.0/toys", content=b"nonsense").status_code == 401
    assert client.get("/v1.0/toys").status_code == 200
