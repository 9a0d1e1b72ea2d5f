"""`import` of a file of lines, against a running API: exit statuses, what is kept, and an API that comes and goes."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx
import orjson
import pytest

from common.testing.listings.api import Api, lines
from common.testing.listings.command_line import Run, answers, started
from common.testing.listings.tested import Body, Make, Tested
from common.testing.system import free_port
from common.testing.waiting import eventually


def written(path: Path, content: Sequence[Body | bytes]) -> Path:
    path.write_bytes(lines(content))
    return path


class TestImportOfFiles:
    def test_a_file_is_imported_and_imported_again_without_change(
        self, run: Run, shared: Api, listing: Make, tmp_path: Path
    ) -> None:
        name = "a file [of] listings with a name that is longer than a line of eighty characters.ndjson"
        file = written(tmp_path / name, [listing() for _ in range(2500)])
        status, out, said = run("import", file, "--url", shared.client.base_url)
        assert (status, out) == (0, b"")
        assert "2,500 listings: 2,500 created · 0 updated · 0 unchanged · 0 invalid · " in said
        events = len(shared.events())
        status, _, said = run("import", file, "--url", shared.client.base_url)
        assert (status, "0 created · 0 updated · 2,500 unchanged · 0 invalid" in said) == (0, True)
        assert len(shared.events()) == events
        assert sorted(tmp_path.iterdir()) == [file]

    def test_rejected_lines_are_kept_with_their_reasons(self, run: Run, shared: Api, listing: Make, tmp_path: Path) -> None:
        bad = [b'{"name": "no end"', orjson.dumps(listing(name="")), b'{"\xe2\x80\xa8": "\xc2\x85"}\r', b"\xff"]
        content: list[Body | bytes] = [listing(), bad[0], b"", *(listing() for _ in range(2000)), *bad[1:], listing()]
        file = written(tmp_path / "[a] file.ndjson", content)
        status, out, said = run("import", file, "--url", shared.client.base_url)
        assert (status, out) == (1, b"")
        assert "2,002 created · 0 updated · 0 unchanged · 4 invalid" in said
        rejected, reasons = Path(f"{file}.rejected.ndjson"), Path(f"{file}.rejected.txt")
        assert f"rejected lines are in {rejected}, the reasons in {reasons}" in said
        assert rejected.read_bytes() == b"\n".join([*bad[:2], bad[2].rstrip(b"\r"), bad[3], b""])
        told = [line.partition(": ") for line in reasons.read_text(encoding="utf-8").split("\n")[:-1]]
        assert [where for where, _, _ in told] == ["line 2", "line 2004", "line 2005", "line 2006"]
        assert told[1][2] == "name: must not be empty"
        assert "is not UTF-8" in told[3][2]

        # Once it is mended nothing is left of that.
        written(file, [listing()])
        assert run("import", file, "--url", shared.client.base_url)[0] == 0
        assert sorted(tmp_path.iterdir()) == [file]

    def test_standard_input_is_imported(
        self, run: Run, shared: Api, listing: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        content = lines([listing(), b"", listing()]) + b"no JSON"
        status, _, said = run("import", "-", "--url", shared.client.base_url, stdin=content)
        assert (status, "2 created · 0 updated · 0 unchanged · 1 invalid" in said) == (1, True)
        assert Path("import.rejected.ndjson").read_text() == "no JSON\n"
        assert run("import", "-", "--url", shared.client.base_url)[0] == 0

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (["nowhere.ndjson"], "nowhere.ndjson: cannot be read: No such file or directory"),
            (["."], ".: cannot be read: Is a directory"),
            (["-", "--url", "a.example"], "--url: must be an address like http://127.0.0.1:8001, not 'a.example'"),
            (["-", "--url", "http://[::1"], "--url: must be an address like http://127.0.0.1:8001, not 'http://[::1'"),
            (["-", "--url", "ftp://a"], "--url: must be an address like http://127.0.0.1:8001, not 'ftp://a'"),
        ],
    )
    def test_what_cannot_be_done_is_said_in_one_line(
        self, run: Run, tested: Tested, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
    ) -> None:
        monkeypatch.chdir(tmp_path)
        assert run("import", *arguments) == (2, b"", f"{tested.service.name}: {said}\n")

    def test_a_place_that_cannot_be_written_is_named(self, run: Run, tested: Tested, shared: Api, tmp_path: Path) -> None:
        file = written(tmp_path / ("x" * 250), [b"no JSON"])  # there is no room for a longer name
        status, _, said = run("import", file, "--url", shared.client.base_url)
        reason = f"{file}.rejected.ndjson: cannot be written: File name too long"
        assert (status, said) == (2, f"{tested.service.name}: {reason}\n")

    def test_an_api_that_is_away_is_waited_for_and_then_named(
        self, run: Run, tested: Tested, listing: Make, tmp_path: Path
    ) -> None:
        file = written(tmp_path / "a.ndjson", [listing()])
        url = f"http://127.0.0.1:{free_port()}"
        status, _, said = run("import", file, "--url", url, "--patience", "0.5")
        assert status == 2
        assert said.count(f"waiting up to 0.5 s for {url}: ") == 1
        assert said.splitlines()[-1].startswith(f"{tested.service.name}: the API at {url} is not available: ")
        assert said.endswith("Connection refused; importing the file again, as it is, goes on from line 1\n")

    def test_what_answers_but_is_no_such_api_is_named(
        self, run: Run, tested: Tested, shared: Api, listing: Make, tmp_path: Path
    ) -> None:
        file = written(tmp_path / "a.ndjson", [listing()])

        def said(url: str) -> tuple[int, str]:
            status, _, said = run("import", file, "--url", url)
            return status, said.splitlines()[-1].partition(" is not available: ")[2]

        nothing = "There is nothing at this path; the specification at /v1.0/openapi.json lists the paths there are"
        assert said(f"{shared.client.base_url}/v1.0/elsewhere") == (2, f"it answered 404 {nothing}")
        with scripted([lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n<html>\n"]) as (url, _):
            assert said(url) == (2, f"what answers there is no {tested.kind.plural} API")

    def test_an_import_goes_on_when_the_api_was_killed_and_comes_back(
        self, tested: Tested, listing: Make, tmp_path: Path
    ) -> None:
        port = free_port()
        data, url = {"DATA_DIR": str(tmp_path / "data"), **tested.port(port)}, f"http://127.0.0.1:{port}"
        migrating = started(tested, "migrate", **data)
        assert (migrating.communicate(timeout=60)[1], migrating.returncode) == ("", 0)
        client = httpx.Client(base_url=url)

        def stored() -> list[str]:
            urls, path = [], f"{tested.path}?limit=100"
            while path:
                page = client.get(path)
                urls += [each["url"] for each in page.json()]
                path = page.links.get("next", {}).get("url", "")
            return urls

        api = started(tested, "api", **data)
        importing = started(tested, "import", "-", **data)
        assert importing.stdin is not None
        assert importing.stderr is not None
        listings = [listing() for _ in range(4500)]
        try:
            eventually(lambda: answers(url), seconds=30)
            importing.stdin.write(lines(listings[:2000]).decode())
            importing.stdin.flush()
            eventually(lambda: len(stored()) == 2000, seconds=30)
            api.kill()
            api.communicate()
            importing.stdin.write(lines(listings[2000:4000]).decode())
            importing.stdin.flush()
            assert importing.stderr.readline().startswith(f"waiting up to 60 s for {url}: ")
            api = started(tested, "api", **data)
            out, said = importing.communicate(lines(listings[4000:]).decode(), timeout=60)
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

    def test_only_what_was_not_answered_is_sent_again(self, run: Run, listing: Make, tmp_path: Path) -> None:
        content = [orjson.dumps(listing()) for _ in range(10)]
        file = written(tmp_path / "a.ndjson", content)
        busy = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\n{}"
        script: list[Answer] = [lambda _: busy, outcomes(3, end=False), outcomes(2, abort=True)]
        script += [outcomes(0, end=False), lambda _: b"", outcomes(5)]
        with scripted(script) as (url, seen):
            status, _, said = run("import", file, "--url", url)
        assert (status, said.splitlines()[-1].partition(" · ")[0]) == (0, "10 listings: 10 created")
        left = [[b""] * done + content[done:] for done in (0, 0, 3, 5, 5, 5)]  # each in its place
        assert seen == left
        waits = [line for line in said.splitlines() if line.startswith("waiting")]
        assert len(waits) == 3
        assert waits[1].startswith(f"waiting up to 60 s for {url}: peer closed connection")
        assert waits[2] == f"waiting up to 60 s for {url}: the outbox is not available"

    def test_lines_of_listings_that_are_anothers_are_rejected_too(self, run: Run, listing: Make, tmp_path: Path) -> None:
        content = [orjson.dumps(listing()) for _ in range(3)]
        file = written(tmp_path / "a.ndjson", content)
        with scripted([outcomes(3, forbidden=2)]) as (url, _):
            status, _, said = run("import", file, "--url", url)
        assert (status, "2 created · 0 updated · 0 unchanged · 0 invalid · 1 forbidden" in said) == (1, True)
        assert Path(f"{file}.rejected.ndjson").read_bytes() == content[1] + b"\n"
        assert Path(f"{file}.rejected.txt").read_text() == "line 2: another's\n"

    @pytest.mark.parametrize("status_line", ["401 Unauthorized", "403 Forbidden"])
    def test_who_may_not_import_is_told_the_scope_and_the_settings(
        self, run: Run, tested: Tested, listing: Make, tmp_path: Path, status_line: str
    ) -> None:
        file = written(tmp_path / "a.ndjson", [listing()])
        refused = b'HTTP/1.1 %s\r\nContent-Length: 19\r\n\r\n{"detail": "a war"}' % status_line.encode()
        with scripted([lambda _: refused]) as (url, _):
            status, _, said = run("import", file, "--url", url)
        told = f"it answered {status_line[:3]} a war (it wants a token with the scope {tested.kind.plural}:write, "
        assert (status, told in said) == (2, True), said
        assert all(name in said for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET", "OAUTH_TOKEN_URL", "OAUTH_TOKEN_FILE"))


Answer = Callable[[list[bytes]], bytes]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


def outcomes(count: int, *, end: bool = True, abort: bool = False, forbidden: int = 0) -> Answer:
    """Answers the first `count` of the lines that are not blank; the connection is closed afterwards, properly or not."""

    def answer(sent: list[bytes]) -> bytes:
        blank = sum(not line for line in sent)
        created = {"outcome": "created", "id": "x", "problem": None}
        anothers = {"outcome": "forbidden", "id": "x", "problem": {"detail": "another's"}}
        answered = [{"line": blank + n, **(anothers if n == forbidden else created)} for n in range(1, count + 1)]
        if abort:
            answered.append(
                {"line": blank + count + 1, "outcome": "aborted", "problem": {"detail": "the outbox is not available"}}
            )
        body = lines(answered)
        return HEAD + (b"%x\r\n%s\r\n" % (len(body), body) if body else b"") + (b"0\r\n\r\n" if end else b"")

    return answer


@contextmanager
def scripted(script: Sequence[Answer]) -> Iterator[tuple[str, list[list[bytes]]]]:
    """A server that gives these answers, one connection each; its address, and the lines it was sent each time."""
    seen: list[list[bytes]] = []

    def serve() -> None:
        for answer in script:
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
