"""The development issuer over real HTTP: its tokens are those that services accept."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import issuer
import stack
from common.config import load
from common.errors import Unavailable
from common.security.client import service_auth
from common.security.config import SecurityConfig
from common.security.keys import Keys
from common.security.tokens import InvalidToken, Tokens
from common.testing.waiting import eventually
from issuer_keys import IssuerKeys

NAME = "http://127.0.0.1:8009"


@pytest.fixture
def keys(tmp_path: Path) -> IssuerKeys:
    return IssuerKeys(tmp_path / "data" / "issuer.json")


@pytest.fixture
def client(keys: IssuerKeys) -> Iterator[httpx.Client]:
    with issuer.server(NAME, "127.0.0.1", 0, keys) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
            yield client
        server.shutdown()
        thread.join()


def principal(client: httpx.Client, token: str) -> Any:
    tokens = Tokens(NAME, stack.AUDIENCE, Keys(f"{client.base_url}/jwks".replace("//jwks", "/jwks")))
    return asyncio.run(tokens.principal(token))


def ask(client: httpx.Client, auth: tuple[str, str] | None = None, **form: str) -> httpx.Response:
    credentials = httpx.BasicAuth(*auth) if auth else httpx.Auth()
    return client.post("/token", data={"grant_type": "client_credentials"} | form, auth=credentials)


@pytest.mark.parametrize(
    ("auth", "form", "subject", "scopes"),
    [
        (("ann", "any"), {}, "ann", {"rooms:write", "items:write"}),
        (None, {"client_id": "ann", "client_secret": "any", "scope": "admin"}, "ann", {"admin"}),
        (("swagger", ""), {"subject": "bob", "scope": "toys:write rooms:write"}, "bob", {"toys:write", "rooms:write"}),
    ],
)
def test_everybody_gets_what_they_ask_for(
    client: httpx.Client, auth: tuple[str, str] | None, form: dict[str, str], subject: str, scopes: set[str]
) -> None:
    answer = ask(client, auth, **form)
    assert answer.status_code == 200, answer.text
    assert answer.json()["token_type"] == "Bearer"
    found = principal(client, answer.json()["access_token"])
    assert (found.owner, found.scopes) == (f"{NAME}|{subject}", scopes)


@pytest.mark.parametrize(
    ("form", "headers", "status", "error"),
    [
        ({}, {}, 401, "invalid_client"),
        ({}, {"Authorization": "Basic !"}, 401, "invalid_client"),
        ({"client_id": "a", "grant_type": "password"}, {}, 400, "unsupported_grant_type"),
        ({"client_id": "a", "scope": "everything"}, {}, 400, "invalid_scope"),
        ({"client_id": "a" * 20_000}, {}, 400, "invalid_request"),
    ],
)
def test_what_it_cannot_give_it_says_in_the_words_of_oauth(
    client: httpx.Client, form: dict[str, str], headers: dict[str, str], status: int, error: str
) -> None:
    answer = client.post("/token", data={"grant_type": "client_credentials"} | form, headers=headers)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_pages_of_every_origin_may_ask(client: httpx.Client) -> None:
    preflight = client.options("/token", headers={"Origin": "http://127.0.0.1:8001", "Access-Control-Request-Method": "POST"})
    assert preflight.headers["Access-Control-Allow-Origin"] == "*"
    assert {"Authorization", "X-Requested-With"} <= set(preflight.headers["Access-Control-Allow-Headers"].split(", "))
    assert ask(client, ("ann", "")).headers["Access-Control-Allow-Origin"] == "*"
    assert client.get("/.well-known/oauth-authorization-server").json()["token_endpoint"] == f"{NAME}/token"


def test_a_rotated_key_signs_and_the_one_before_is_still_listed(client: httpx.Client, keys: IssuerKeys, tmp_path: Path) -> None:
    oldest = ask(client, ("ann", "")).json()["access_token"]
    keys.rotate()
    old = ask(client, ("ann", "")).json()["access_token"]
    assert principal(client, oldest).subject == principal(client, old).subject == "ann"
    keys.rotate()
    assert principal(client, old).subject == "ann"
    with pytest.raises(InvalidToken, match="no such key"):
        principal(client, oldest)
    assert "d" not in client.get("/jwks").text.split('"')
    assert (tmp_path / "data" / "issuer.json").stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["issuer.json"]


def test_make_token_prints_one_without_a_server(client: httpx.Client, keys: IssuerKeys, tmp_path: Path) -> None:
    environ = os.environ | {
        "DATA_DIR": str(tmp_path / "data"),
        "SUBJECT": "ann",
        "SCOPES": "admin",
        "ISSUER": "",
        "OAUTH_ISSUER": "",
    }

    def printed(**more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(Path(issuer.__file__)), "token"]
        return subprocess.run(command, env=environ | more, capture_output=True, text=True, timeout=60, check=False)

    done = printed(ISSUER_PORT="8009")
    assert done.returncode == 0, done.stderr
    assert principal(client, done.stdout.strip()).scopes == {"admin"}
    foreign = printed(OAUTH_ISSUER="https://login.example.org")
    assert foreign.returncode == 1 and "only that issuer" in foreign.stderr


def test_it_runs_as_a_process_on_this_machine_alone(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = os.environ | {"DATA_DIR": str(tmp_path), "ISSUER_PORT": str(port), "ISSUER": "", "OAUTH_ISSUER": ""}
    foreign = subprocess.run(
        stack.ISSUER.command, env=environ | {"ISSUER_HOST": "0.0.0.0"}, capture_output=True, text=True, timeout=60, check=False
    )
    assert foreign.returncode == 1 and "this machine alone" in foreign.stderr
    process = subprocess.Popen(stack.ISSUER.command, env=environ, stdout=subprocess.DEVNULL)
    try:
        eventually(lambda: stack.is_ready(f"http://127.0.0.1:{port}"))
        with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:
            assert client.get("/.well-known/oauth-authorization-server").json()["issuer"] == f"http://127.0.0.1:{port}"
            assert client.get("/elsewhere").status_code == 404
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()


def test_the_stack_trusts_it_where_it_is_wanted(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(stack, "REPOSITORY", tmp_path)
    for name in ("OAUTH_ISSUER", "ISSUER_PORT", "ISSUER"):
        monkeypatch.delenv(name, raising=False)
    assert "OAUTH_ISSUER" not in stack.environment() and stack.running({}) == stack.SERVICES
    monkeypatch.setenv("ISSUER", "1")
    values = stack.environment()
    assert load(SecurityConfig, values).oauth_jwks == "http://127.0.0.1:8009/jwks"
    assert stack.running(values)[0] is stack.ISSUER
    monkeypatch.setenv("OAUTH_ISSUER", "https://login.example.org")
    with pytest.raises(stack.StackError, match="services trust one issuer"):
        stack.environment()


def test_a_service_asks_it_for_a_token_and_keeps_that(client: httpx.Client, keys: IssuerKeys) -> None:
    url = str(client.base_url).rstrip("/")
    environ = {"OAUTH_CLIENT_ID": "search & co", "OAUTH_CLIENT_SECRET": "a b", "OAUTH_TOKEN_URL": f"{url}/token"}
    auth = service_auth(load(SecurityConfig, environ), "admin")
    assert auth is not None
    seen: list[str] = []
    statuses = [200, 200, 401, 200, 401, 401, 403]

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["Authorization"].removeprefix("Bearer "))
        return httpx.Response(statuses.pop(0))

    with httpx.Client(transport=httpx.MockTransport(answer), auth=auth) as service:
        assert [service.get("http://rooms.example").status_code for _ in range(5)] == [200, 200, 200, 401, 403]
    first, again, refused, renewed, *_ = seen
    assert first == again == refused != renewed  # refused once: another one is fetched, once
    assert len(seen) == 7
    found = principal(client, first)
    assert (found.subject, found.scopes) == ("search & co", {"admin"})


def test_a_service_whose_issuer_is_away_is_told_so() -> None:
    environ = {"OAUTH_CLIENT_ID": "search", "OAUTH_CLIENT_SECRET": "s", "OAUTH_TOKEN_URL": "http://127.0.0.1:9/token"}
    with pytest.raises(Unavailable, match="the issuer of tokens is not available"):
        httpx.get("http://rooms.example", auth=service_auth(load(SecurityConfig, environ), "admin"))
