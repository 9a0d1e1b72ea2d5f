"""`export` and `import` of such a file: out of one database, into another, the same; and what breaks on the way."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from common.listings import backup
from common.listings.ports import Kept, Restored
from common.listings.use_cases import Restore
from common.testing.listings.api import Api, Serve
from common.testing.listings.command_line import Run
from common.testing.listings.tested import Body, Make, Tested
from common.testing.system import free_port
from common.testing.waiting import eventually

Datum = dict[str, Any]


def read(tested: Tested, file: Path | bytes) -> list[Datum]:
    return list(tested.service.container().read([file if isinstance(file, bytes) else file.read_bytes()]))


def write(tested: Tested, file: Path, data: list[Datum]) -> Path:
    file.write_bytes(b"".join(tested.service.container().write(data)))
    return file


def changed(tested: Tested, datum: Datum, **changes: Any) -> Datum:
    """The datum of a listing, which differs in this."""
    return datum | {tested.kind.singular: datum[tested.kind.singular] | changes}


class Exported:
    @pytest.fixture
    def filled(self, serve: Serve, tested: Tested, listing: Make, sqlite_url: str) -> Api:
        """An API with listings of every kind: hidden, revised, deleted, their derived values given or not, in many scripts."""
        api = serve(sqlite_url)
        for number in range(20):
            made = api.create(listing(name=f"Zimmer 房间 {number}", is_visible=number % 3 != 0))
            if number % 4 == 0:
                api.patched(made, **tested.optional, images=[{"url": "https://a.example/1.jpg"}])
            if number % 5 == 0:
                api.client.delete(api.at(made)).raise_for_status()
        return api

    @pytest.fixture
    def file(self, tested: Tested, tmp_path: Path) -> Path:
        return tmp_path / f"{tested.service.name}.avro"


class TestBackup(Exported):
    def test_what_was_exported_and_restored_is_exported_again_the_same(
        self, run: Run, serve: Serve, tested: Tested, filled: Api, elsewhere: str, file: Path
    ) -> None:
        status, _, said = run("export", file, "--url", filled.client.base_url)
        assert (status, f"exported 20: 16 {tested.kind.plural} · 4 deleted · " in said) == (0, True)
        assert read(tested, file) == filled.exported()

        other = serve(elsewhere)
        status, _, said = run("import", file, DATABASE_URL=elsewhere)
        assert (status, "restored 20: 20 restored · 0 unchanged · 0 rejected · " in said) == (0, True)
        assert other.exported() == filled.exported()
        assert sorted(other.events()) == sorted({event[1]: event for event in filled.events()}.values())
        # What was given is given still, and what was derived follows.
        for api in (filled, other):
            for each in api.listed():
                api.patched(each, **tested.moved)
                api.patched(each, **dict.fromkeys(tested.kind.derivable))
        both: list[list[Body]] = [[{**each, "updated_at": None} for each in api.listed()] for api in (filled, other)]
        assert both[0] == both[1]

        status, _, said = run("import", file, DATABASE_URL=elsewhere)
        assert (status, "0 restored · 20 unchanged · 0 rejected" in said) == (0, True)
        assert sorted(file.parent.glob(f"{file.name}*")) == [file]

    def test_whose_it_is_comes_back_with_it(
        self, run: Run, serve: Serve, tested: Tested, filled: Api, elsewhere: str, file: Path
    ) -> None:
        data = [each | {"owner": f"https://issuer.example|{each['version']}"} for each in filled.exported()]
        other = serve(elsewhere)
        assert run("import", write(tested, file, data), DATABASE_URL=elsewhere)[0] == 0
        living = {each["id"]: each["owner"] for each in data if each[tested.kind.singular]}
        owners = {each["id"]: each["owner"] for each in other.exported()}
        assert {id: owner for id, owner in owners.items() if owner} == living, "a tombstone is nobody's"

    def test_standard_output_leads_to_standard_input(
        self, run: Run, serve: Serve, tested: Tested, filled: Api, tmp_path: Path
    ) -> None:
        status, out, _ = run("export", "--url", filled.client.base_url)
        assert status == 0
        other = serve(url := f"sqlite:///{tmp_path}/other.db")
        assert run("import", "-", stdin=out, DATABASE_URL=url)[0] == 0
        assert other.exported() == filled.exported() == read(tested, out)

    def test_what_cannot_be_restored_is_kept_with_its_reason_and_the_rest_goes_on(
        self, run: Run, serve: Serve, tested: Tested, filled: Api, listing: Make, file: Path, tmp_path: Path
    ) -> None:
        other, singular = serve(url := f"sqlite:///{tmp_path}/other.db"), tested.kind.singular
        data = filled.exported()
        living = [each for each in data if each[singular]]
        holder = other.create(listing(url=living[0][singular]["url"]))
        wrong = [
            living[1] | {"id": str(uuid4())},
            changed(tested, living[2], name=""),
            living[3] | {"deleted_at": living[3][singular]["created_at"]},
            living[4] | {"version": 0},
            living[5] | {"derived": ["name"]},
            living[6] | {"event_id": "x" * 37},
            changed(tested, living[7], name="a\0b"),
            living[8] | {"owner": "x" * 301},
        ]
        rest = [each for each in data if each not in living[:9]]
        write(tested, file, [living[0], *wrong, *rest])
        status, _, said = run("import", file, DATABASE_URL=url)
        rejected, reasons = Path(f"{file}.rejected.avro"), Path(f"{file}.rejected.txt")
        assert (status, f"{len(rest)} restored · 0 unchanged · 9 rejected" in said) == (1, True)
        assert f"what was rejected is in {rejected}, the reasons in {reasons}" in said
        assert [each["id"] for each in other.exported()] == sorted([holder["id"], *(each["id"] for each in rest)])
        told = dict(line.split(": ", 1) for line in reasons.read_text().splitlines())
        assert sorted(each["id"] for each in read(tested, rejected)) == sorted(told)
        assert told[living[0]["id"]] == f"the living {singular} {holder['id']} has its url {holder['url']}"
        assert told[living[2]["id"]] == "name: must not be empty"
        assert "cannot be derived" in told[living[5]["id"]]

        # Once the url is free and the file mended, nothing is left of that.
        other.client.delete(other.at(holder))
        assert run("import", rejected, DATABASE_URL=url)[0] == 1
        assert run("import", write(tested, file, data), DATABASE_URL=url)[0] == 0
        assert {each["id"] for each in other.exported()} == {holder["id"], *(each["id"] for each in data)}
        assert not rejected.exists()
        assert not reasons.exists()

    def test_of_a_file_that_is_not_whole_as_much_as_can_be_is_restored(
        self, run: Run, serve: Serve, tested: Tested, filled: Api, file: Path, tmp_path: Path
    ) -> None:
        other = serve(url := f"sqlite:///{tmp_path}/other.db")
        whole = write(tested, file, filled.exported()).read_bytes()
        file.write_bytes(whole[: whole.rindex(whole[-16:])])  # the mark of the end is gone
        status, _, said = run("import", file, DATABASE_URL=url)
        reason = "is no whole export: block 2: it ends too early; what could be read before that was restored"
        assert (status, said.splitlines()[-1]) == (2, f"{tested.service.name}: {file}: {reason}")
        assert other.exported() == filled.exported()

    def test_a_restore_that_was_interrupted_goes_on(
        self, run: Run, serve: Serve, tested: Tested, filled: Api, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        other = serve(url := f"sqlite:///{tmp_path}/other.db")
        write(tested, file, filled.exported())
        monkeypatch.setattr(backup, "BATCH", 5)
        restore, batches = Restore.__call__, []

        def interrupted(self: Restore, kept: Sequence[Kept]) -> Sequence[Restored]:
            batches.append(kept)
            if len(batches) == 3:
                raise KeyboardInterrupt
            return restore(self, kept)

        monkeypatch.setattr(Restore, "__call__", interrupted)
        assert run("import", file, DATABASE_URL=url)[0] == 130
        assert len(other.exported()) == 10
        status, _, said = run("import", file, DATABASE_URL=url)
        assert (status, "10 restored · 10 unchanged" in said) == (0, True)
        assert other.exported() == filled.exported()

    def test_a_full_outbox_is_waited_for_and_then_named(
        self, run: Run, serve: Serve, tested: Tested, filled: Api, file: Path, tmp_path: Path
    ) -> None:
        serve(url := f"sqlite:///{tmp_path}/other.db")
        write(tested, file, filled.exported())
        assert run("import", file, DATABASE_URL=url)[0] == 0
        status, _, said = run("import", file, "--patience", "0.2", DATABASE_URL=url, OUTBOX_MAX="10")
        assert status == 2
        assert said.count("waiting up to 0.2 s: the outbox is full (10 of at most 10 events wait for the broker)") == 1
        assert said.splitlines()[-1].endswith("restoring the file again goes on")

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["import", "nowhere.avro"], "nowhere.avro: cannot be read: No such file or directory"),
            (["import", "an.avro"], "DATABASE_URL: the database has an older schema, or none; run `{name} migrate`"),
            (
                ["import", "an.avro", "--url", "http://a"],
                "--url: an export is restored in the database itself, which DATABASE_URL names",
            ),
            (
                ["export", "no/such/folder", "--url", "http://a"],
                "no/such/folder: cannot be written: No such file or directory",
            ),
            (["export", "x", "--url", "ftp://a"], "--url: must be an address like http://127.0.0.1:8001, not 'ftp://a'"),
        ],
    )
    def test_what_cannot_be_done_is_said_in_one_line(
        self, run: Run, tested: Tested, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        write(tested, tmp_path / "an.avro", [])
        name = tested.service.name
        expected = f"{name}: {said.format(name=name)}\n"
        assert run(*arguments, DATABASE_URL="sqlite:///empty.db") == (2, b"", expected)


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


class TestBrokenExport(Exported):
    @pytest.mark.parametrize(
        ("answer", "reason"),
        [
            (HEAD + b"4\r\nObj\x01\r\n", "there is no export"),
            (HEAD + b"4\r\nObj\x01\r\n0\r\n\r\n", "what it sent is no export of {plural}: it ends too early"),
            (HEAD + b"6\r\n<html>\r\n0\r\n\r\n", "what it sent is no export of {plural}: it does not start like"),
            (b'HTTP/1.1 503 Busy\r\nContent-Length: 19\r\n\r\n{"detail": "a war"}', "it answered 503 a war"),
            (
                b"HTTP/1.1 401 Who\r\nContent-Length: 0\r\n\r\n",
                "it answered 401 (it wants a token with the scope admin, as these",
            ),
            (b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n", "OAUTH_CLIENT_SECRET and OAUTH_TOKEN_URL, or OAUTH_TOKEN_FILE)"),
        ],
    )
    def test_it_never_looks_whole(self, run: Run, tested: Tested, file: Path, answer: bytes, reason: str) -> None:
        file.write_text("the export of yesterday")
        with answering(answer) as url:
            status, _, said = run("export", file, "--url", url)
        assert (status, reason.format(plural=tested.kind.plural) in said.splitlines()[-1]) == (2, True), said
        assert {path.name: path.read_text() for path in file.parent.iterdir()} == {file.name: "the export of yesterday"}

    def test_an_api_that_is_away_is_named(self, run: Run, tested: Tested, tmp_path: Path) -> None:
        status, _, said = run("export", tmp_path / "x", "--url", url := f"http://127.0.0.1:{free_port()}")
        named = f"{tested.service.name}: the API at {url} is not available: "
        assert (status, said.splitlines()[-1].startswith(named)) == (2, True)

    def test_an_interrupted_export_leaves_nothing(self, tested: Tested, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            command = [sys.executable, "-m", tested.service.name, "export", str(tmp_path / "x.avro"), "--url", url]
            environ = {"PATH": os.environ["PATH"]}
            with subprocess.Popen(command, env=environ, stderr=subprocess.DEVNULL) as process, listener.accept()[0] as connection:
                connection.sendall(HEAD + b"4\r\nObj\x01\r\n")
                eventually(lambda: [path.name for path in tmp_path.iterdir()] == ["x.avro.part"])
                process.send_signal(signal.SIGINT)
                assert process.wait(20) == 130
        assert list(tmp_path.iterdir()) == []
