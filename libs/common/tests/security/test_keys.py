"""The keys of an issuer: renewed, rotated, kept while it is away, and never fetched more often than needed."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from jwt.algorithms import RSAAlgorithm

from common.errors import Unavailable
from common.security.keys import Keys, read_keys
from common.testing.tokens import TestIssuer, new_key

ISSUER = TestIssuer()


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


class Published:
    """A JWKS over real HTTP; counts how often it was asked for."""

    def __init__(self) -> None:
        self.status, self.body, self.asked = 200, json.dumps(ISSUER.jwks()).encode(), 0
        self.held = threading.Event()  # answers wait for it
        self.held.set()
        self.url = ""


@contextmanager
def published() -> Iterator[Published]:
    site = Published()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked += 1
            site.held.wait(10)
            self.send_response(site.status)
            self.end_headers()
            self.wfile.write(site.body)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        site.url = f"http://127.0.0.1:{server.server_port}/jwks"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield site
        site.held.set()
        server.shutdown()
        thread.join()


async def ids(keys: Keys, id: str | None = None) -> list[str]:
    return [key.id for key in await keys.find(id)]


def test_requests_share_one_fetch_and_it_lasts() -> None:
    async def scenario() -> None:
        with published() as site:
            keys = Keys(site.url, clock=(clock := Clock()))
            site.held.clear()
            together = [asyncio.ensure_future(ids(keys, "first")) for _ in range(50)]
            while not site.asked:
                await asyncio.sleep(0.01)
            site.held.set()
            assert await asyncio.gather(*together) == [["first"]] * 50
            clock.now += 299
            await ids(keys, "first")
            assert site.asked == 1
            clock.now += 1
            await ids(keys, "first")
            assert site.asked == 2

    asyncio.run(scenario())


def test_an_unknown_id_fetches_once_in_a_while_and_finds_a_new_key() -> None:
    async def scenario() -> None:
        with published() as site:
            keys = Keys(site.url, clock=(clock := Clock()))
            assert await ids(keys, "first") == ["first"]
            for number in range(20):
                assert await ids(keys, f"made up {number}") == []
            assert site.asked == 1  # what was fetched within the pause is new enough
            rotated = TestIssuer(kid="second")
            site.body = json.dumps({"keys": ISSUER.jwks()["keys"] + rotated.jwks()["keys"]}).encode()
            clock.now += 5
            assert await ids(keys, "second") == ["second"]
            assert await ids(keys) == ["first", "second"]
            assert site.asked == 2

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, b""),
        (200, b"<html>"),
        (200, b"[]"),
        (200, b'{"keys": []}'),
        (200, b"[" * 100_000),
        (200, b" " * 2_000_000),
        (302, b""),
    ],
    ids=["500", "html", "list", "no keys", "deep", "large", "redirect"],
)
def test_what_is_known_stays_while_the_issuer_is_away(status: int, body: bytes) -> None:
    async def scenario() -> None:
        with published() as site:
            keys, fresh = Keys(site.url, clock=(clock := Clock())), Keys(site.url, clock=clock)
            assert await ids(keys, "first") == ["first"]
            site.status, site.body = status, body
            clock.now += 3600
            assert await ids(keys, "first") == ["first"]
            with pytest.raises(Unavailable) as raised:
                await fresh.find("first")
            assert raised.value.retry_after == 5

    asyncio.run(scenario())


def test_an_issuer_that_is_slow_delays_nobody_and_is_heard_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        with published() as site:
            keys = Keys(site.url, clock=(clock := Clock()))
            assert await ids(keys, "first") == ["first"]
            site.body = json.dumps(TestIssuer(kid="second").jwks()).encode()
            site.held.clear()
            clock.now += 300
            assert await ids(keys, "first") == ["first"]
            site.held.set()
            while await ids(keys) != ["second"]:
                await asyncio.sleep(0.01)
            assert site.asked == 2

    monkeypatch.setattr("common.security.keys.PATIENCE", 0.05)
    asyncio.run(scenario())


def test_a_key_that_the_issuer_withdraws_is_forgotten() -> None:
    async def scenario() -> None:
        with published() as site:
            keys = Keys(site.url, clock=(clock := Clock()))
            assert await ids(keys, "first") == ["first"]
            site.body = json.dumps(TestIssuer(kid="second").jwks()).encode()
            clock.now += 300
            assert await ids(keys, "first") == []

    asyncio.run(scenario())


def test_a_file_is_read_again_too(tmp_path: Path) -> None:
    async def scenario() -> None:
        keys = Keys(str(tmp_path / "jwks.json"), clock=(clock := Clock()))
        with pytest.raises(Unavailable):
            await keys.find("first")
        ISSUER.write(tmp_path / "jwks.json")
        with pytest.raises(Unavailable):
            await keys.find("first")  # not asked again so soon
        clock.now += 5
        assert await ids(keys, "first") == ["first"]

    asyncio.run(scenario())


PUBLIC = ISSUER.jwks()["keys"][0]
SMALL = RSAAlgorithm.to_jwk(generate_private_key(65537, 1024).public_key(), as_dict=True)  # noqa: S505 - that it is refused is the point


@pytest.mark.parametrize(
    "jwk",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a"},
        PUBLIC | {"alg": "HS256"},
        PUBLIC | {"alg": "none"},
        PUBLIC | {"alg": ["RS256"]},
        PUBLIC | {"use": "enc"},
        PUBLIC | {"key_ops": ["sign"]},
        PUBLIC | {"kty": "EC"},
        PUBLIC | {"kty": ["RSA"]},
        PUBLIC | {"n": "!"},
        {"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        RSAAlgorithm.to_jwk(new_key(), as_dict=True),
        SMALL,
        "no key",
        None,
    ],
)
def test_a_key_that_cannot_verify_signatures_is_passed_over(jwk: Any) -> None:
    assert [key.id for key in read_keys(json.dumps({"keys": [jwk, PUBLIC]}).encode())] == ["first"]
