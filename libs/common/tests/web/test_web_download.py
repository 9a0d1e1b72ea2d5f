"""Downloads as streams, over real sockets: no faster than they are read, and with a clear end whatever happens."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from common.errors import Unavailable
from common.observability import current
from common.testing.waiting import eventually
from common.web.download import download
from common.web.serve import HttpServer, running
from common.web.streaming import Stream

PATH = "/v1.0/toys/export"
SPEC = """
openapi: 3.0.3
info: {title: Toys, version: "1.0"}
servers: [{url: /v1.0}]
paths:
  /toys/export:
    get:
      operationId: export_toys
      parameters: [{name: id, in: query, schema: {type: array, maxItems: 1000, items: {type: string, maxLength: 40}}}]
      responses:
        "200": {description: Toys, content: {application/toys: {schema: {type: string, format: binary}}}}
"""
PIECE = b"x" * 65_536

Serve = Callable[..., Any]


@pytest.fixture
def serve(toys: ModuleType, tmp_path: Path) -> Serve:
    """`with serve(produce, **options) as server`: a service that has nothing but a download."""
    spec = tmp_path / "toys.yaml"
    spec.write_text(SPEC)

    @contextmanager
    def serving(produce: Callable[..., Iterator[bytes]], **options: Any) -> Iterator[HttpServer]:
        def handler(_: Any) -> Any:
            return download(produce, content_type="application/toys", filename="toys", **options)

        app = toys.toy_app(spec=spec, streams=[Stream("GET", "/toys/export", handler)], views=None)
        with running(app) as server:
            yield server

    return serving


class Endless:
    """Pieces without end; how many were made, and what ended it."""

    def __init__(self) -> None:
        self.made = 0
        self.closed = threading.Event()

    def __call__(self, _: Any) -> Iterator[bytes]:
        try:
            while True:
                self.made += 1
                yield PIECE
        finally:
            self.closed.set()


class Reader:
    """A client that reads only when the test wants."""

    def __init__(self, server: HttpServer) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(20)
        self.socket.connect(("127.0.0.1", server.port))
        self.socket.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

    def __enter__(self) -> "Reader":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def read(self, size: int) -> None:
        while size > 0:
            data = self.socket.recv(size)
            assert data
            size -= len(data)

    def sees_an_end(self) -> bool:
        """Whether the rest ends as a whole answer does."""
        last = b""
        try:
            while data := self.socket.recv(65_536):
                last = (last + data)[-5:]
        except ConnectionResetError:
            pass
        return last == b"0\r\n\r\n"


def settled(endless: Endless) -> int:
    """How many pieces were made once no more are."""
    seen: list[int] = []

    def still() -> bool:
        seen.append(endless.made)
        return len(seen) > 20 and len(set(seen[-20:])) == 1

    eventually(still)
    return endless.made


def test_the_pieces_come_with_the_requests_parameters_and_ids(serve: Serve) -> None:
    def produce(parameters: Any) -> Iterator[bytes]:
        yield repr(parameters.get("id")).encode()
        yield current().request_id.encode()

    with serve(produce) as server:
        answer = httpx.get(f"{server.url}{PATH}?id=a&id=b", headers={"X-Request-Id": "r-1"})
        assert answer.content == b"['a', 'b']r-1"
        assert answer.headers["Content-Type"] == "application/toys"
        assert answer.headers["Content-Disposition"] == 'attachment; filename="toys"'
        assert httpx.get(f"{server.url}{PATH}").content.startswith(b"None")
        head = httpx.head(f"{server.url}{PATH}")
        assert (head.status_code, head.headers["Content-Type"], head.content) == (200, "application/toys", b"")


def test_a_list_may_hold_as_many_as_the_document_says_and_no_more(serve: Serve) -> None:
    with serve(lambda parameters: iter([str(len(parameters["id"])).encode()])) as server:
        assert httpx.get(f"{server.url}{PATH}", params={"id": ["x"] * 1000}).text == "1000"
        refused = httpx.get(f"{server.url}{PATH}", params={"id": ["x"] * 1001})
        assert (refused.status_code, refused.json()["errors"][0]["name"]) == (400, "id")
        assert httpx.get(f"{server.url}{PATH}", params={"id": ["x"] * 2000}).status_code == 400


def test_nothing_at_all_is_an_empty_file(serve: Serve) -> None:
    with serve(lambda _: iter([])) as server:
        answer = httpx.get(f"{server.url}{PATH}")
        assert (answer.status_code, answer.content) == (200, b"")


def test_failing_before_the_first_piece_is_a_problem_with_its_own_status(serve: Serve) -> None:
    def produce(_: Any) -> Iterator[bytes]:
        raise Unavailable("shelf")
        yield

    with serve(produce) as server:
        answer = httpx.get(f"{server.url}{PATH}")
        assert (answer.status_code, answer.json()["type"], answer.headers["Retry-After"]) == (503, "/problems/unavailable", "1")


def test_failing_later_breaks_off_and_is_no_end(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    def produce(_: Any) -> Iterator[bytes]:
        yield PIECE
        raise Unavailable("shelf")

    with serve(produce) as server:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}{PATH}")
        assert httpx.head(f"{server.url}{PATH}").status_code == 200, "the service goes on"
    assert "download broken off: unavailable" in caplog.messages


def test_a_slow_reader_holds_back_what_is_made(serve: Serve) -> None:
    endless = Endless()
    with serve(endless) as server, Reader(server) as reader:
        before = settled(endless)
        assert before < 100  # some megabytes lie in the sockets' buffers
        reader.read(8 * 2**20)
        assert settled(endless) >= before + 100


def test_a_client_that_reads_nothing_is_let_go(serve: Serve) -> None:
    endless = Endless()
    with serve(endless, unread=0.2) as server, Reader(server) as reader:
        assert endless.closed.wait(20)
        assert not reader.sees_an_end()


def test_a_client_that_leaves_ends_the_work_and_frees_its_place(serve: Serve) -> None:
    endless = Endless()
    with serve(endless, max_streams=1) as server, Reader(server) as reader:
        reader.read(1000)
        busy = httpx.get(f"{server.url}{PATH}")
        assert (busy.status_code, busy.headers["Retry-After"]) == (503, "5")
        reader.socket.close()
        assert endless.closed.wait(20)
        eventually(lambda: httpx.head(f"{server.url}{PATH}").status_code == 200)


@pytest.mark.parametrize("reads", [True, False])
def test_a_server_that_stops_breaks_off_and_ends(serve: Serve, reads: bool, caplog: pytest.LogCaptureFixture) -> None:
    endless = Endless()
    with caplog.at_level(logging.WARNING), serve(endless) as server, Reader(server) as reader:
        reader.read(1000)
        if reads:
            server.stop()
            assert not reader.sees_an_end()
        else:
            settled(endless)
            server.stop()
        assert endless.closed.wait(20)
    assert "download broken off: stopping" in caplog.messages


def test_a_server_that_stops_before_the_first_piece_says_so(serve: Serve) -> None:
    begun, go = threading.Event(), threading.Event()

    def produce(_: Any) -> Iterator[bytes]:
        begun.set()
        assert go.wait(20)
        yield PIECE

    with serve(produce) as server:
        answers: list[httpx.Response] = []
        asking = threading.Thread(target=lambda: answers.append(httpx.get(f"{server.url}{PATH}")))
        asking.start()
        assert begun.wait(20)
        server.stop()
        asking.join(20)
        go.set()
    assert (answers[0].status_code, answers[0].json()["type"]) == (503, "/problems/stopping")
