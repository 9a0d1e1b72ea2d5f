"""Who asks too often is told when to come back, before their body is read."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from common.security.keys import Keys
from common.security.limits import RateLimit
from common.security.tokens import Tokens
from common.testing.tokens import TestIssuer, bearer
from common.web.addresses import Addresses
from common.web.guard import Guard
from common.web.health import Check
from common.web.serve import running

ISSUER = TestIssuer()


class Clock:
    now = 60_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def client(toys: ModuleType, tmp_path: Path, clock: Clock) -> Iterator[httpx.Client]:
    guard = Guard(
        Tokens(ISSUER.issuer, ISSUER.audience, Keys(str(ISSUER.write(tmp_path / "jwks.json")))),
        subjects=RateLimit(3, clock=clock),
        senders=RateLimit(6, clock=clock),
        addresses=Addresses(["127.0.0.0/8"]),
    )
    app = toys.toy_app(spec=toys.protected_spec(tmp_path / "openapi.yaml"), guard=guard, checks=[Check("shelf", lambda: None)])
    with running(app) as server, httpx.Client(base_url=server.url) as client:
        yield client


def sender(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def test_each_address_has_its_own_limit(client: httpx.Client, clock: Clock) -> None:
    assert [client.get("/v1.0/toys", headers=sender("198.51.100.1")).status_code for _ in range(7)] == [200] * 6 + [429]
    refused = client.get("/v1.0/toys", headers=sender("198.51.100.1"))
    assert refused.json()["type"] == "/problems/too-many"
    assert client.get("/v1.0/toys", headers=sender("198.51.100.2")).status_code == 200
    clock.now += int(refused.headers["Retry-After"])
    assert client.get("/v1.0/toys", headers=sender("198.51.100.1")).status_code == 200


def test_a_subject_has_one_wherever_it_asks_from(client: httpx.Client) -> None:
    def status(number: int, subject: str) -> int:
        return client.get("/v1.0/toys", headers=bearer(ISSUER.token(subject)) | sender(f"198.51.100.{number}")).status_code

    assert [status(number, "ann") for number in range(4)] == [200, 200, 200, 429]
    assert status(9, "bob") == 200


def test_guessing_tokens_is_limited_too(client: httpx.Client) -> None:
    headers = bearer(ISSUER.refused("wrong signature"))
    assert [client.post("/v1.0/toys", headers=headers).status_code for _ in range(7)] == [401] * 6 + [429]


def test_an_import_counts_once_and_its_body_is_not_read_when_refused(client: httpx.Client) -> None:
    headers = bearer(ISSUER.token("ann", "toys:write")) | {"Content-Type": "application/x-ndjson"}
    lines = b'{"name": "a"}\n' * 100
    assert [client.post("/v1.0/toys/import", content=lines, headers=headers).status_code for _ in range(3)] == [200] * 3
    assert client.post("/v1.0/toys/import", content=lines, headers=headers).status_code == 429
    assert client.post("/v1.0/toys", content=b"nonsense", headers=headers).status_code == 429


def test_those_who_watch_over_the_service_are_not_limited(client: httpx.Client) -> None:
    for path in ("/livez", "/readyz", "/health-check", "/metrics", "/v1.0/openapi.json"):
        assert {client.get(path).status_code for _ in range(10)} == {200}


def test_plain_views_are_limited_like_operations(client: httpx.Client) -> None:
    assert [client.get("/count").status_code for _ in range(7)] == [200] * 6 + [429]


def test_the_document_says_so(client: httpx.Client) -> None:
    document = client.get("/v1.0/openapi.json").json()
    assert all("429" in item["get"]["responses"] for item in document["paths"].values() if "get" in item)
    assert "Retry-After" in document["components"]["responses"]["TooMany"]["headers"]
