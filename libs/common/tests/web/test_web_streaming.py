"""Imports as streams, over real sockets: prompt, in order, in constant memory, and with a clear end whatever happens."""

import asyncio
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from common.errors import Unavailable
from common.security.current import use
from common.security.principal import Principal
from common.web import exchange
from common.web.serve import HttpServer, running
from common.web.streaming import CONTENT_TYPES, Limits, Line, Stream, ndjson

PATH = "/v1.0/toys/import"
NDJSON = {"Content-Type": "application/x-ndjson"}
HEAD = b"POST /v1.0/toys/import HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


def outcomes(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.content.splitlines()]


@contextmanager
def importing(toys: ModuleType, process: Callable[[Sequence[Line]], Sequence[bytes]], **options: Any) -> Iterator[HttpServer]:
    app = toys.toy_app(streams=[Stream("POST", "/toys/import", lambda _: ndjson(process, **options))])
    with running(app) as server:
        yield server


def echo(lines: Sequence[Line]) -> list[bytes]:
    return [b'{"line":%d}' % number for number, _ in lines]


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within ten seconds"
        time.sleep(0.005)


def send_then_read(server: HttpServer, chunks: Iterable[bytes]) -> tuple[int, list[dict[str, Any]]]:
    """Like many clients: everything is sent before anything is read."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", PATH, iter(chunks), NDJSON, encode_chunked=True)
    answer = connection.getresponse()
    lines = [json.loads(line) for line in answer.read().splitlines()]
    connection.close()
    return answer.status, lines


class Talk:
    """A client that sends and reads in turn."""

    def __init__(self, server: HttpServer) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), 10)
        self._file = self._socket.makefile("rb")
        self._socket.sendall(HEAD)

    def send(self, data: bytes) -> None:
        self._socket.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def head(self) -> bytes:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._file.readline()
        return head

    def chunk(self) -> bytes:
        size = int(self._file.readline(), 16)
        data = self._file.read(size)
        self._file.readline()
        return data

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@pytest.mark.parametrize("content_type", [*CONTENT_TYPES, "Application/JSONL; charset=utf-8"])
@pytest.mark.parametrize("chunked", [False, True])
def test_each_line_has_its_outcome_in_order_sized_or_chunked(client: httpx.Client, content_type: str, chunked: bool) -> None:
    body = b"".join(b'{"n": %d}\n' % number for number in range(1, 2001))
    content: Any = iter([body[at : at + 777] for at in range(0, len(body), 777)]) if chunked else body
    found = outcomes(client.post(PATH, content=content, headers={"Content-Type": content_type, "X-Request-Id": "imp-1"}))
    assert [(each["line"], each["toy"]["n"]) for each in found] == [(number, number) for number in range(1, 2001)]
    assert {each["request"] for each in found} == {"imp-1"}


def test_lines_are_numbered_as_an_editor_numbers_them(client: httpx.Client) -> None:
    long = b'"%s"\n' % (b"x" * (256 * 1024 - 2))
    body = b'\xef\xbb\xbf{"a": 1}\r\n\n  \r\nnot json\n' + long + b"x" * 700_000 + b'\n{"b": "\\u0000"}\n{"z": 26}'
    found = outcomes(client.post(PATH, content=body, headers=NDJSON))
    assert [(each["line"], each["outcome"]) for each in found] == [
        (1, "created"),
        (4, "invalid"),
        (5, "created"),
        (6, "invalid"),
        (7, "invalid"),
        (8, "created"),
    ]
    assert found[3]["problem"] == "too long"
    assert found[4]["problem"] == "b: contains the character U+0000"


@pytest.mark.parametrize("body", [b"", b"\n\n \r\n", b"\xef\xbb\xbf"])
def test_a_body_without_a_line_has_no_outcome(client: httpx.Client, body: bytes) -> None:
    assert outcomes(client.post(PATH, content=body, headers=NDJSON)) == []
    assert outcomes(client.post(PATH, content=iter([body]), headers=NDJSON)) == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": "application/json"},
        NDJSON | {"Content-Encoding": "gzip"},
        {"Content-Type": "application/jsonl; charset=latin-1"},
    ],
)
def test_other_content_is_refused(client: httpx.Client, headers: dict[str, str]) -> None:
    refused = client.post(PATH, content=b"{}\n", headers=headers)
    assert refused.status_code == 415
    assert refused.json()["accepted"] == list(CONTENT_TYPES)


def test_a_slow_client_sees_each_outcome_before_it_sends_the_next_line(server: HttpServer) -> None:
    talk = Talk(server)
    talk.send(b'{"n":')
    talk.send(b" 1}\n")
    assert talk.head().startswith(b"HTTP/1.1 200")
    assert json.loads(talk.chunk())["line"] == 1
    for number in (2, 3):
        talk.send(b'{"n": %d}\n' % number)
        assert json.loads(talk.chunk())["toy"] == {"n": number}
    talk.send(b"")
    assert talk.chunk() == b""
    talk.close()


def test_who_reads_only_after_sending_everything_gets_everything(toys: ModuleType) -> None:
    def wordy(lines: Sequence[Line]) -> list[bytes]:
        return [b'{"line":%d,"text":"%s"}' % (number, b"x" * 500) for number, _ in lines]

    with importing(toys, wordy) as server:
        status, found = send_then_read(server, (b"{}\n" * 1000 for _ in range(60)))  # 33 MB of outcomes
    assert status == 200
    assert [each["line"] for each in found] == list(range(1, 60_001))


def test_memory_does_not_grow_with_the_import() -> None:
    script = f"""
import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})
import conftest
from common.web.serve import HttpServer
server = HttpServer(conftest.toy_app(), "127.0.0.1", 0)
print(server.port, flush=True)
server.run()
"""
    line = b'{"name": "Train", "price": 12, "text": "%s"}\n' % (b"x" * 400)
    with subprocess.Popen([sys.executable, "-W", "ignore", "-c", script], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            peaks = []
            for batches in (5, 200):
                connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
                connection.request("POST", PATH, iter([line * 500] * batches), NDJSON, encode_chunked=True)
                assert connection.getresponse().read().count(b"\n") == batches * 500
                connection.close()
                peaks.append(peak_memory(process.pid))
        finally:
            process.kill()
    assert peaks[1] - peaks[0] < 20_000, f"kB: {peaks}"  # 45 MB come in, and 55 MB go out


def peak_memory(pid: int) -> int:
    """kB."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("there is no /proc here to tell the memory of a process")
    return int(status.read_text().partition("VmHWM:")[2].split()[0])


def test_failing_before_the_first_outcome_is_a_problem_with_its_own_status(client: httpx.Client) -> None:
    down = client.post(PATH, content=b"stop\n" * 100_000, headers=NDJSON)
    assert (down.status_code, down.json()["type"]) == (503, "/problems/unavailable")
    assert down.headers["Retry-After"] == "1"


def test_failing_later_ends_with_a_line_that_says_where(toys: ModuleType) -> None:
    def fails_later(lines: Sequence[Line]) -> list[bytes]:
        if lines[0][0] > 2000:
            raise Unavailable("shelf")
        return echo(lines)

    with importing(toys, fails_later) as server:
        status, found = send_then_read(server, (b"{}\n" * 1000 for _ in range(300)))
        assert httpx.get(f"{server.url}/v1.0/toys").status_code == 200
    assert status == 200
    assert [each["line"] for each in found] == list(range(1, 2002))
    assert found[-1]["outcome"] == "aborted"
    assert found[-1]["problem"]["type"] == "/problems/unavailable"
    assert found[-1]["problem"]["status"] == 503


def test_a_bug_in_the_processing_ends_the_import_without_telling_more(toys: ModuleType) -> None:
    with importing(toys, lambda lines: echo(lines)[1:]) as server:
        status, _ = send_then_read(server, [b"{}\n"])
        assert status == 500


def test_outcomes_nobody_reads_are_kept_up_to_a_limit(toys: ModuleType) -> None:
    def wordy(lines: Sequence[Line]) -> list[bytes]:
        return [b'{"line":%d,"text":"%s"}' % (number, b"x" * 5000) for number, _ in lines]

    with importing(toys, wordy, limits=Limits(spool=8 * 1024 * 1024)) as server:
        status, found = send_then_read(server, (b"{}\n" * 1000 for _ in range(20)))  # 100 MB of outcomes
    assert status == 200
    assert [each["line"] for each in found] == list(range(1, len(found) + 1))
    assert found[-1]["outcome"] == "aborted"
    assert found[-1]["problem"]["type"] == "/problems/unread"


def test_a_client_that_leaves_stops_its_import(toys: ModuleType) -> None:
    seen: list[int] = []
    go = threading.Event()

    def slow(lines: Sequence[Line]) -> list[bytes]:
        seen.extend(number for number, _ in lines)
        assert go.wait(10)
        return echo(lines)

    with importing(toys, slow, limits=Limits(batch_lines=10), max_streams=1) as server:
        talk = Talk(server)
        talk.send(b"{}\n" * 10)
        wait_for(lambda: len(seen) == 10)
        busy = httpx.post(f"{server.url}{PATH}", content=b"{}\n", headers=NDJSON)
        assert busy.status_code == 503
        talk.close()
        go.set()
        # Its place is free once it has been given up.
        wait_for(lambda: httpx.post(f"{server.url}{PATH}", content=b"", headers=NDJSON).status_code == 200)
        assert seen == list(range(1, 11))


def test_a_server_that_stops_finishes_the_batch_and_says_so(toys: ModuleType) -> None:
    seen: list[int] = []
    go = threading.Event()

    def slow(lines: Sequence[Line]) -> list[bytes]:
        seen.extend(number for number, _ in lines)
        if lines[0][0] > 1:
            assert go.wait(10)
        return echo(lines)

    with importing(toys, slow, limits=Limits(batch_lines=10)) as server:
        talk = Talk(server)
        talk.send(b"{}\n")
        assert talk.head().startswith(b"HTTP/1.1 200")
        assert talk.chunk() == b'{"line":1}\n'
        talk.send(b"{}\n" * 25)
        wait_for(lambda: len(seen) == 11)
        server.stop()
        # The listener closes as the stop begins, before the batch is let go.
        wait_for(lambda: not answers(server))
        go.set()
        text = b""
        while not text.endswith(b"}}\n"):
            text += talk.chunk()
        last = json.loads(text.splitlines()[-1])
        assert len(text.splitlines()) == 11
        assert (last["line"], last["outcome"], last["problem"]["type"]) == (12, "aborted", "/problems/stopping")
        talk.close()
    assert seen == list(range(1, 12))


def answers(server: HttpServer) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("drip", [b"1\r\n \r\n", b"1\r\n\n\r\n", b"1\r\n{\r\n"], ids=["blank", "empty line", "one long line"])
def test_who_sends_bytes_but_no_lines_keeps_no_place(toys: ModuleType, monkeypatch: pytest.MonkeyPatch, drip: bytes) -> None:
    monkeypatch.setattr(exchange, "_SILENT_SECONDS", 0.5)
    with importing(toys, echo, max_streams=1) as server, socket.create_connection(("127.0.0.1", server.port), 10) as client:
        client.sendall(HEAD)
        client.settimeout(0.05)
        answer = b""
        for _ in range(200):  # ten seconds
            try:
                client.sendall(drip)
                answer += client.recv(65536)
                break
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_slow_import_goes_on_as_long_as_lines_come(toys: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_SILENT_SECONDS", 0.5)

    def slowly() -> Iterator[bytes]:
        for _ in range(10):
            yield b"{}\n"
            time.sleep(0.15)

    with importing(toys, echo) as server:
        status, lines = send_then_read(server, slowly())
        assert (status, len(lines)) == (200, 10)
        assert "aborted" not in str(lines)


def test_one_subject_cannot_keep_all_others_out() -> None:
    handle = ndjson(echo, max_streams=4)
    scope = {"type": "http", "path": PATH, "headers": [(b"content-type", NDJSON["Content-Type"].encode())]}

    async def never() -> Any:
        await asyncio.sleep(3600)

    async def ignored(_message: Any) -> None:
        pass

    def begun(subject: str) -> "asyncio.Task[None]":
        context = copy_context()
        context.run(use, Principal("https://issuer.example", subject, frozenset()))
        return asyncio.get_running_loop().create_task(handle(dict(scope), never, ignored), context=context)  # type: ignore[arg-type]

    async def refused() -> list[bool]:
        tasks = [begun(subject) for subject in ("a", "a", "a", "b", "b", "c")]
        await asyncio.sleep(0.05)
        answers = [task.done() and isinstance(task.exception(), Unavailable) for task in tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return answers

    assert asyncio.run(refused()) == [False, False, True, False, False, True]
