"""`rooms export` and `rooms import` of such a file: out of one database, into another, the same; and what breaks on the way."""

import io
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from common.listings import backup
from common.testing.system import free_port
from common.testing.waiting import eventually
from rooms.__main__ import main
from rooms.bootstrap import SERVICE

CONTAINER = SERVICE.container()

Run = Callable[..., tuple[int, bytes, str]]


@pytest.fixture
def run(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(*arguments, stdin=…, DATABASE_URL=…)` within this process: (exit status, standard output, what it said)."""

    def run(*arguments: object, stdin: bytes = b"", **settings: str) -> tuple[int, bytes, str]:
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin))))
        status = main([*map(str, arguments)])
        out, err = capfdbinary.readouterr()
        return status, out, err.decode()

    return run


def read(file: Path | bytes) -> list[dict[str, Any]]:
    return list(CONTAINER.read([file if isinstance(file, bytes) else file.read_bytes()]))


def write(file: Path, data: list[dict[str, Any]]) -> Path:
    file.write_bytes(b"".join(CONTAINER.write(data)))
    return file


@pytest.fixture
def filled(serve, listing, sqlite_url):
    """An API with rooms of every kind: hidden, revised, deleted, their derived values given or not, in many scripts."""
    api = serve(sqlite_url)
    for number in range(20):
        room = api.create(listing(name=f"Zimmer 房间 {number}", is_visible=number % 3 != 0, price=number))
        if number % 4 == 0:
            area = {"name": "X", "city": "Y", "country": "Z", "id": "7", "coordinates": {"lat": 1.5, "lon": 2}}
            api.client.patch(f"/v1.0/rooms/{room['id']}", json={"area": area, "monthly_price": 7, "property_size": 12.5})
        if number % 5 == 0:
            api.client.delete(f"/v1.0/rooms/{room['id']}")
    return api


@pytest.fixture(params=["sqlite", "postgresql"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of another database, which is empty."""
    return f"sqlite:///{tmp_path}/elsewhere.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")


def test_what_was_exported_and_restored_is_exported_again_the_same(run, serve, filled, elsewhere, tmp_path):
    file = tmp_path / "rooms.avro"
    status, _, said = run("export", file, "--url", filled.client.base_url)
    assert (status, "exported 20: 16 rooms · 4 deleted · " in said) == (0, True)
    assert read(file) == filled.exported()

    other = serve(elsewhere)
    status, _, said = run("import", file, DATABASE_URL=elsewhere)
    assert (status, "restored 20: 20 restored · 0 unchanged · 0 rejected · " in said) == (0, True)
    assert other.exported() == filled.exported()
    assert sorted(other.events()) == sorted({event[1]: event for event in filled.events()}.values())
    # What was given is given still, and what was derived follows.
    for api in (filled, other):
        for room in api.client.get("/v1.0/rooms", params={"limit": 100}).json():
            path = f"/v1.0/rooms/{room['id']}"
            api.client.patch(path, json={"price": 1000, "coordinates": {"lat": 45.7578, "lon": 4.832}}).raise_for_status()
            api.client.patch(path, json={"area": None, "monthly_price": None}).raise_for_status()
    both = [
        [{**room, "updated_at": None} for room in api.client.get("/v1.0/rooms", params={"limit": 100}).json()]
        for api in (filled, other)
    ]
    assert both[0] == both[1]

    status, _, said = run("import", file, DATABASE_URL=elsewhere)
    assert (status, "0 restored · 20 unchanged · 0 rejected" in said) == (0, True)
    assert sorted(tmp_path.glob("rooms.avro*")) == [file]


def test_standard_output_leads_to_standard_input(run, serve, filled, tmp_path):
    status, out, _ = run("export", "--url", filled.client.base_url)
    assert status == 0
    other = serve(url := f"sqlite:///{tmp_path}/other.db")
    assert run("import", "-", stdin=out, DATABASE_URL=url)[0] == 0
    assert other.exported() == filled.exported() == read(out)


def test_what_cannot_be_restored_is_kept_with_its_reason_and_the_rest_goes_on(run, serve, filled, listing, tmp_path):
    other = serve(url := f"sqlite:///{tmp_path}/other.db")
    data = filled.exported()
    living = [each for each in data if each["room"]]
    holder = other.create(listing(url=living[0]["room"]["url"]))
    wrong = [
        living[1] | {"id": str(uuid4())},
        living[2] | {"room": living[2]["room"] | {"price": -1}},
        living[3] | {"deleted_at": living[3]["room"]["created_at"]},
        living[4] | {"version": 0},
        living[5] | {"derived": ["name"]},
        living[6] | {"event_id": "x" * 37},
        living[7] | {"room": living[7]["room"] | {"provider": "a\0b"}},
    ]
    rest = [each for each in data if each not in living[:8]]
    file = write(tmp_path / "rooms.avro", [living[0], *wrong, *rest])
    status, _, said = run("import", file, DATABASE_URL=url)
    rejected, reasons = Path(f"{file}.rejected.avro"), Path(f"{file}.rejected.txt")
    assert (status, f"{len(rest)} restored · 0 unchanged · 8 rejected" in said) == (1, True)
    assert f"what was rejected is in {rejected}, the reasons in {reasons}" in said
    assert [each["id"] for each in other.exported()] == sorted([holder["id"], *(each["id"] for each in rest)])
    told = dict(line.split(": ", 1) for line in reasons.read_text().splitlines())
    assert sorted(each["id"] for each in read(rejected)) == sorted(told)
    assert told[living[0]["id"]] == f"the living room {holder['id']} has its url {holder['url']}"
    assert told[living[2]["id"]] == "price: must be at least 0"
    assert "cannot be derived" in told[living[5]["id"]]

    # Once the url is free and the file mended, nothing is left of that.
    other.client.delete(f"/v1.0/rooms/{holder['id']}")
    assert run("import", rejected, DATABASE_URL=url)[0] == 1
    assert run("import", write(file, data), DATABASE_URL=url)[0] == 0
    assert {each["id"] for each in other.exported()} == {holder["id"], *(each["id"] for each in data)}
    assert not rejected.exists() and not reasons.exists()


def test_of_a_file_that_is_not_whole_as_much_as_can_be_is_restored(run, serve, filled, tmp_path):
    other = serve(url := f"sqlite:///{tmp_path}/other.db")
    file = write(tmp_path / "rooms.avro", filled.exported())
    whole = file.read_bytes()
    file.write_bytes(whole[: whole.rindex(whole[-16:])])  # the mark of the end is gone
    status, _, said = run("import", file, DATABASE_URL=url)
    assert (status, said.splitlines()[-1]) == (
        2,
        f"rooms: {file}: is no whole export: block 2: it ends too early; what could be read before that was restored",
    )
    assert other.exported() == filled.exported()


def test_a_restore_that_was_interrupted_goes_on(run, serve, filled, tmp_path, monkeypatch):
    other = serve(url := f"sqlite:///{tmp_path}/other.db")
    file = write(tmp_path / "rooms.avro", filled.exported())
    monkeypatch.setattr(backup, "BATCH", 5)
    restore, batches = backup.Restore.__call__, []

    def interrupted(self, kept):
        batches.append(kept)
        if len(batches) == 3:
            raise KeyboardInterrupt
        return restore(self, kept)

    monkeypatch.setattr(backup.Restore, "__call__", interrupted)
    assert run("import", file, DATABASE_URL=url)[0] == 130
    assert len(other.exported()) == 10
    status, _, said = run("import", file, DATABASE_URL=url)
    assert (status, "10 restored · 10 unchanged" in said) == (0, True)
    assert other.exported() == filled.exported()


def test_a_full_outbox_is_waited_for_and_then_named(run, serve, filled, tmp_path):
    serve(url := f"sqlite:///{tmp_path}/other.db")
    file = write(tmp_path / "rooms.avro", filled.exported())
    assert run("import", file, DATABASE_URL=url)[0] == 0
    status, _, said = run("import", file, "--patience", "0.2", DATABASE_URL=url, OUTBOX_MAX="10")
    assert status == 2
    assert said.count("waiting up to 0.2 s: the outbox is full (10 of at most 10 events wait for the broker)") == 1
    assert said.splitlines()[-1].endswith("restoring the file again goes on")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["import", "nowhere.avro"], "rooms: nowhere.avro: cannot be read: No such file or directory"),
        (["import", "an.avro"], "rooms: DATABASE_URL: the database has an older schema, or none; run `rooms migrate`"),
        (
            ["import", "an.avro", "--url", "http://a"],
            "rooms: --url: an export is restored in the database itself, which DATABASE_URL names",
        ),
        (
            ["export", "no/such/folder", "--url", "http://a"],
            "rooms: no/such/folder: cannot be written: No such file or directory",
        ),
        (["export", "x", "--url", "ftp://a"], "rooms: --url: must be an address like http://127.0.0.1:8001, not 'ftp://a'"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "an.avro", [])
    assert run(*arguments, DATABASE_URL="sqlite:///empty.db") == (2, b"", said + "\n")


@contextmanager
def answering(answer: bytes) -> Iterator[str]:
    """A server that gives this answer to one request, then closes; its address."""

    def serve() -> None:
        with listener.accept()[0] as connection:
            connection.recv(65_536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread.join(10)


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/avro\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (HEAD + b"4\r\nObj\x01\r\n", "there is no export"),
        (HEAD + b"4\r\nObj\x01\r\n0\r\n\r\n", "what it sent is no export of rooms: it ends too early"),
        (HEAD + b"6\r\n<html>\r\n0\r\n\r\n", "what it sent is no export of rooms: it does not start like"),
        (b'HTTP/1.1 503 Busy\r\nContent-Length: 19\r\n\r\n{"detail": "a war"}', "it answered 503 a war"),
    ],
)
def test_a_broken_export_never_looks_whole(run, tmp_path, answer, reason):
    file = tmp_path / "rooms.avro"
    file.write_text("the export of yesterday")
    with answering(answer) as url:
        status, _, said = run("export", file, "--url", url)
    assert (status, reason in said.splitlines()[-1]) == (2, True), said
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"rooms.avro": "the export of yesterday"}


def test_an_api_that_is_away_is_named(run, tmp_path):
    status, _, said = run("export", tmp_path / "x", "--url", url := f"http://127.0.0.1:{free_port()}")
    assert (status, said.splitlines()[-1].startswith(f"rooms: the API at {url} is not available: ")) == (2, True)


def test_an_interrupted_export_leaves_nothing(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        command = [sys.executable, "-m", "rooms", "export", str(tmp_path / "x.avro"), "--url", url]
        environ = {"PATH": os.environ["PATH"]}
        with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as process, listener.accept()[0] as connection:
            connection.sendall(HEAD + b"4\r\nObj\x01\r\n")
            eventually(lambda: [path.name for path in tmp_path.iterdir()] == ["x.avro.part"])
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
    assert list(tmp_path.iterdir()) == []
