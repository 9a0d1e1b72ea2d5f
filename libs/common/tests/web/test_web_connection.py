"""What reaches no application: heads that are too large, malformed or never whole, over real sockets."""

import json
import socket
import time
from types import ModuleType
from typing import Any

import httpx
import pytest

from common.web import connection
from common.web.serve import HttpServer, running

GOOD = b"GET /livez HTTP/1.1\r\nHost: x\r\n"


def exchange(server: HttpServer, *pieces: bytes) -> tuple[bytes, dict[str, Any]]:
    """Sends the pieces until the server will not have more, and reads to the end: status line and problem."""
    with socket.create_connection((server.host, server.port), 10) as client:
        for piece in pieces:
            client.sendall(piece)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    return head.partition(b"\r\n")[0], json.loads(body)


@pytest.mark.parametrize(
    "head",
    ["GET /v1.0/toys?q=straße HTTP/1.1\r\nHost: x\r\n\r\n".encode(), b"nonsense\r\n\r\n", GOOD + b"a b: c\r\n\r\n"],
    ids=["url", "line", "header"],
)
def test_what_cannot_be_parsed_is_a_problem(server: HttpServer, head: bytes) -> None:
    status, problem = exchange(server, head)
    assert status == b"HTTP/1.1 400 Bad Request"
    assert problem["type"] == "/problems/bad-request"
    assert "percent-encoded" in problem["detail"]
    assert problem["request_id"]


@pytest.mark.parametrize(
    "pieces",
    [
        [GOOD, *(b"x-%d: %s\r\n" % (number, b"y" * 1000) for number in range(100)), b"\r\n"],
        [GOOD + b"x: ", *[b"y" * 10_000] * 100],
        [b"GET /livez?q=" + b"y" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n"],
        [b"POST /livez HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n", *[b"x: y\r\n"] * 20_000],
    ],
    ids=["many", "one", "url", "repeated"],
)
def test_a_head_is_bounded(server: HttpServer, client: httpx.Client, pieces: list[bytes]) -> None:
    status, problem = exchange(server, b"".join(pieces))
    assert status == b"HTTP/1.1 431 Request Header Fields Too Large"
    assert (problem["type"], problem["limit"]) == ("/problems/headers-too-large", 65536)
    assert client.get("/livez", headers={"X-Long": "y" * 60_000}).status_code == 200


def test_trailers_are_bounded(server: HttpServer) -> None:
    head = (
        b"POST /v1.0/toys/import HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    status, _ = exchange(server, head + b"0\r\n" + b"x: y\r\n" * 200_000)
    assert b"431" in status


@pytest.mark.parametrize(
    "sent", [b"", b"\r\n", b"GET /li", GOOD, GOOD + b"\r\n" + GOOD], ids=["nothing", "blank", "line", "headers", "second"]
)
def test_a_head_that_is_never_whole_is_not_waited_for(toys: ModuleType, monkeypatch: pytest.MonkeyPatch, sent: bytes) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.3)
    with running(toys.toy_app()) as server, socket.create_connection((server.host, server.port), 10) as client:
        begun = time.monotonic()
        client.sendall(sent)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
        assert answer.count(b"200 OK") == sent.count(b"\r\n\r\n")
        assert 0.2 < time.monotonic() - begun < 5


def test_a_slow_body_has_no_such_limit(toys: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.2)
    with running(toys.toy_app()) as server, socket.create_connection((server.host, server.port), 0.5) as client:
        client.sendall(b"POST /v1.0/toys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 27\r\n\r\n{")
        with pytest.raises(TimeoutError):
            client.recv(1)  # neither an answer nor an end
        client.settimeout(10)
        client.sendall(b'"name": "slow", "price":1}')
        assert client.recv(65536).startswith(b"HTTP/1.1 201 Created")
