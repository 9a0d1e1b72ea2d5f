"""`rooms import` against a running API: exit statuses, what is kept, and an API that comes and goes."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.config import load
from common.testing.system import free_port
from common.testing.waiting import eventually
from rooms.__main__ import main
from rooms.bootstrap import SERVICE
from rooms.config import Config

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`rooms import` within this process: (exit status, what it said). Starting Python takes longer than all else."""

    def run(*arguments: object, stdin: bytes = b"") -> tuple[int, str]:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin))))
        status = main(["import", *map(str, arguments)])
        out, err = capsys.readouterr()
        assert out == ""
        return status, err

    return run


def process(*arguments: str, **settings: str) -> subprocess.Popen[str]:
    environ = {"PATH": os.environ["PATH"], "LOG_LEVEL": "WARNING"} | settings
    command = [sys.executable, "-m", "rooms", *arguments]
    return subprocess.Popen(
        command, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def written(path: Path, lines: Sequence[dict[str, Any] | bytes]) -> Path:
    path.write_bytes(b"".join((each if isinstance(each, bytes) else json.dumps(each).encode()) + b"\n" for each in lines))
    return path


def test_a_file_is_imported_and_imported_again_without_change(run, shared, listing, tmp_path):
    file = written(
        tmp_path / "rooms [of] a file with a name that is longer than a line of eighty characters.ndjson",
        [listing() for _ in range(2500)],
    )
    status, said = run(file, "--url", shared.client.base_url)
    assert status == 0
    assert "2,500 listings: 2,500 created · 0 updated · 0 unchanged · 0 invalid · " in said
    events = len(shared.events())
    status, said = run(file, "--url", shared.client.base_url)
    assert (status, "0 created · 0 updated · 2,500 unchanged · 0 invalid" in said) == (0, True)
    assert len(shared.events()) == events
    assert sorted(tmp_path.iterdir()) == [file]


def test_rejected_lines_are_kept_with_their_reasons(run, shared, listing, tmp_path):
    bad = [b'{"name": "no end"', json.dumps(listing(price=-1)).encode(), b'{"\xe2\x80\xa8": "\xc2\x85"}\r', b"\xff"]
    file = written(
        tmp_path / "[a] rooms.ndjson", [listing(), bad[0], b"", *(listing() for _ in range(2000)), *bad[1:], listing()]
    )
    status, said = run(file, "--url", shared.client.base_url)
    assert status == 1
    assert "2,002 created · 0 updated · 0 unchanged · 4 invalid" in said
    rejected, reasons = Path(f"{file}.rejected.ndjson"), Path(f"{file}.rejected.txt")
    assert f"rejected lines are in {rejected}, the reasons in {reasons}" in said
    assert rejected.read_bytes() == b"\n".join([*bad[:2], bad[2].rstrip(b"\r"), bad[3], b""])
    told = [line.partition(": ") for line in reasons.read_text(encoding="utf-8").split("\n")[:-1]]
    assert [where for where, _, _ in told] == ["line 2", "line 2004", "line 2005", "line 2006"]
    assert told[1][2] == "price: must be at least 0"
    assert "is not UTF-8" in told[3][2]

    # Once it is mended nothing is left of that.
    written(file, [listing()])
    assert run(file, "--url", shared.client.base_url)[0] == 0
    assert sorted(tmp_path.iterdir()) == [file]


def test_standard_input_is_imported(run, shared, listing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lines = json.dumps(listing()) + "\n\n" + json.dumps(listing()) + "\nno JSON"
    status, said = run("-", "--url", shared.client.base_url, stdin=lines.encode())
    assert (status, "2 created · 0 updated · 0 unchanged · 1 invalid" in said) == (1, True)
    assert Path("import.rejected.ndjson").read_text() == "no JSON\n"
    assert run("-", "--url", shared.client.base_url)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.ndjson"], "rooms: nowhere.ndjson: cannot be read: No such file or directory"),
        (["."], "rooms: .: cannot be read: Is a directory"),
        (["-", "--url", "rooms.example"], "rooms: --url: must be an address like http://127.0.0.1:8001, not 'rooms.example'"),
        (["-", "--url", "http://[::1"], "rooms: --url: must be an address like http://127.0.0.1:8001, not 'http://[::1'"),
        (["-", "--url", "ftp://a"], "rooms: --url: must be an address like http://127.0.0.1:8001, not 'ftp://a'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == (2, said + "\n")


def test_a_place_that_cannot_be_written_is_named(run, shared, tmp_path):
    file = written(tmp_path / ("x" * 250), [b"no JSON"])  # there is no room for a longer name
    status, said = run(file, "--url", shared.client.base_url)
    assert (status, said) == (2, f"rooms: {file}.rejected.ndjson: cannot be written: File name too long\n")


def test_an_api_that_is_away_is_waited_for_and_then_named(run, listing, tmp_path):
    file = written(tmp_path / "rooms.ndjson", [listing()])
    url = f"http://127.0.0.1:{free_port()}"
    status, said = run(file, "--url", url, "--patience", "0.5")
    assert status == 2
    assert said.count(f"waiting up to 0.5 s for {url}: ") == 1
    assert said.splitlines()[-1].startswith(f"rooms: the API at {url} is not available: ")
    assert said.endswith("Connection refused; importing the file again goes on from line 1\n")


def test_what_answers_but_is_no_rooms_api_is_named(run, shared, listing, tmp_path):
    file = written(tmp_path / "rooms.ndjson", [listing()])
    status, said = run(file, "--url", f"{shared.client.base_url}/v1.0/elsewhere")
    assert (status, said.splitlines()[-1].partition(" is not available: ")[2]) == (
        2,
        "it answered 404 There is nothing at this path; the specification at /v1.0/openapi.json lists the paths there are",
    )
    with scripted([lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html>\n"]) as (url, _):
        status, said = run(file, "--url", url)
    assert (status, said.splitlines()[-1].partition(" is not available: ")[2]) == (2, "what answers there is no rooms API")


def test_an_import_goes_on_when_the_api_was_killed_and_comes_back(listing, tmp_path):
    port = str(free_port())
    data = {"DATA_DIR": str(tmp_path / "data"), "ROOMS_PORT": port}
    SERVICE.migrate(load(Config, data))
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}")

    def ready() -> bool:
        try:
            return client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def stored() -> list[str]:
        urls, path = [], "/v1.0/rooms?limit=100"
        while path:
            page = client.get(path)
            urls += [room["url"] for room in page.json()]
            path = page.links.get("next", {}).get("url")
        return urls

    api = process("api", **data)
    importing = process("import", "-", **data)
    listings = [listing() for _ in range(4500)]
    try:
        eventually(ready, seconds=30)
        importing.stdin.write("".join(json.dumps(each) + "\n" for each in listings[:2000]))
        importing.stdin.flush()
        eventually(lambda: len(stored()) == 2000, seconds=30)
        api.kill()
        api.communicate()
        importing.stdin.write("".join(json.dumps(each) + "\n" for each in listings[2000:4000]))
        importing.stdin.flush()
        assert importing.stderr.readline().startswith(f"waiting up to 60 s for http://127.0.0.1:{data['ROOMS_PORT']}: ")
        api = process("api", **data)
        out, said = importing.communicate("".join(json.dumps(each) + "\n" for each in listings[4000:]), timeout=60)
        assert (importing.returncode, out) == (0, "")
        assert said.splitlines()[-1].startswith("4,500 listings: ")
        assert sorted(stored()) == sorted(each["url"] for each in listings)
        api.send_signal(signal.SIGTERM)
        assert api.wait(15) == 0
    finally:
        client.close()
        for each in (api, importing):
            each.kill()
            each.communicate()


Answer = Callable[[list[bytes]], bytes]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


def outcomes(count: int, *, end: bool = True, abort: bool = False) -> Answer:
    """Answers the first `count` of the lines; the connection is closed afterwards, properly or not."""

    def answer(lines: list[bytes]) -> bytes:
        answered = [{"line": number, "outcome": "created", "id": "x", "problem": None} for number in range(1, count + 1)]
        if abort:
            answered.append({"line": count + 1, "outcome": "aborted", "problem": {"detail": "the outbox is not available"}})
        body = b"".join(json.dumps(each).encode() + b"\n" for each in answered)
        return HEAD + (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + (b"0\r\n\r\n" if end else b"")

    return answer


@contextmanager
def scripted(answers: Sequence[Answer]) -> Iterator[tuple[str, list[list[bytes]]]]:
    """A server that gives these answers, one connection each; its address, and the lines it was sent each time."""
    seen: list[list[bytes]] = []

    def serve() -> None:
        for answer in answers:
            with listener.accept()[0] as connection, connection.makefile("rb") as file:
                length = 0
                while (line := file.readline()) != b"\r\n":
                    if line.lower().startswith(b"content-length:"):
                        length = int(line.split(b":")[1])
                seen.append(file.read(length).splitlines())
                connection.sendall(answer(seen[-1]))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", seen
        thread.join(10)
        assert not thread.is_alive(), "it was asked less often than expected"


def test_only_what_was_not_answered_is_sent_again(run, listing, tmp_path):
    lines = [json.dumps(listing()).encode() for _ in range(10)]
    file = written(tmp_path / "rooms.ndjson", lines)
    busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"
    script = [lambda _: busy, outcomes(3, end=False), outcomes(2, abort=True), outcomes(0, end=False), lambda _: b"", outcomes(5)]
    with scripted(script) as (url, seen):
        status, said = run(file, "--url", url)
    assert (status, said.splitlines()[-1].partition(" · ")[0]) == (0, "10 listings: 10 created")
    assert seen == [lines, lines, lines[3:], lines[5:], lines[5:], lines[5:]]
    waits = [line for line in said.splitlines() if line.startswith("waiting")]
    assert len(waits) == 3
    assert waits[1].startswith(f"waiting up to 60 s for {url}: peer closed connection")
    assert waits[2] == f"waiting up to 60 s for {url}: the outbox is not available"
