"""What reaches no application: heads that are too large, malformed or never whole, over real sockets."""

import json
import re
import socket
import struct
import time
from contextlib import ExitStack
from types import ModuleType
from typing import Any

import httpx
import pytest

from common.testing.waiting import eventually
from common.web import bridge, connection
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


TOY = b'{"name": "whole", "price": 1}'
POST = b"POST /v1.0/toys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(TOY) + TOY
CHUNKED = b"POST /v1.0/toys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"


def answers(server: HttpServer, sent: bytes, *, half_closed: bool = False) -> list[int]:
    """The statuses of all answers until the server closes the connection."""
    with socket.create_connection((server.host, server.port), 10) as client:
        client.sendall(sent)
        if half_closed:
            client.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    return [int(status) for status in re.findall(rb"HTTP/1.1 (\d+) ", answer)]


@pytest.mark.parametrize("tail", [b"}\r\n\r\n", b"\x00\x01garbage", GOOD[:-2] + b"\r\na b: c\r\n\r\n", CHUNKED + b"zz\r\n"])
@pytest.mark.parametrize("count", [1, 5])
def test_a_request_that_was_whole_has_its_answer_whatever_follows(
    server: HttpServer, caplog: pytest.LogCaptureFixture, tail: bytes, count: int
) -> None:
    assert answers(server, POST * count + tail) == [201] * count
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize("sent", [CHUNKED + b"zz\r\n", CHUNKED + b"1d\r\n" + TOY + b"\r\n0\r\nContent-Length: 5\r\n\r\n"])
def test_a_body_that_is_malformed_is_one_problem_and_no_error(
    server: HttpServer, caplog: pytest.LogCaptureFixture, sent: bytes
) -> None:
    assert answers(server, sent) in ([400], [201])
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(
    ("sent", "expected"), [(POST, [201]), (POST * 30, [201] * 30), (POST * 2 + CHUNKED + b"1\r\n{\r\n", [201] * 2)]
)
def test_a_client_that_sends_no_more_still_reads_its_answers(
    server: HttpServer, caplog: pytest.LogCaptureFixture, sent: bytes, expected: list[int]
) -> None:
    assert answers(server, sent, half_closed=True) == expected
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_a_client_that_is_gone_is_no_error(server: HttpServer, client: httpx.Client, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(20):
        with socket.create_connection((server.host, server.port), 10) as gone:
            gone.sendall(POST * 20)
            gone.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, not a good-bye
    assert client.get("/livez").status_code == 200
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


def test_bodies_that_do_not_come_take_nothing_from_others(server: HttpServer, client: httpx.Client) -> None:
    head = b"POST /v1.0/toys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n{"
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(socket.create_connection((server.host, server.port), 10)).sendall(head)
        assert client.post("/v1.0/toys", json={"name": "another", "price": 1}).status_code == 201


def test_no_more_bodies_than_fit_are_held(toys: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bridge.BodyBudget.__init__, "__defaults__", (1_500_000,))
    with running(toys.toy_app()) as server, ExitStack() as stack, httpx.Client(base_url=server.url) as client:
        head = b"POST /v1.0/toys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n"
        holding = stack.enter_context(socket.create_connection((server.host, server.port), 10))
        holding.sendall(head + b" " * 999_999)
        large = {"name": "x" * 900_000, "price": 1}
        assert eventually(lambda: client.post("/v1.0/toys", json=large).status_code == 503)
        holding.close()
        assert eventually(lambda: client.post("/v1.0/toys", json=large).status_code == 400)  # too long a name
