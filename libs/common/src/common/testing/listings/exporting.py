"""The export over real HTTP: all that is kept, tombstones too, of any size, to readers that are slow, gone or still there at the end."""

import os
import signal
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import insert

from common.db.engine import open_engine, transaction
from common.events.codec import Undecodable
from common.listings.rows import columns
from common.testing.listings.api import NOBODY, NOWHERE, Api, Serve
from common.testing.listings.command_line import a_process_of_its_own, peak_memory
from common.testing.listings.tested import Body, Make, Tested


def shown(tested: Tested, datum: dict[str, Any]) -> Body:
    """An exported listing as the API shows it."""
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in datum[tested.kind.singular].items()
    }


class TestExport:
    def test_an_export_tells_all_that_is_kept_and_who_wrote_it(self, own: Api, tested: Tested, listing: Make) -> None:
        plain, hidden, gone = own.create(listing()), own.create(listing(is_visible=False)), own.create(listing())
        given = own.create(listing(**tested.optional))
        deleted = own.client.delete(own.at(gone), headers={"X-Request-Id": "r-9"})
        data = {each["id"]: each for each in own.exported()}
        assert list(data) == sorted(data)
        assert [shown(tested, data[each["id"]]) for each in (plain, hidden, given)] == [plain, hidden, given]
        assert (data[plain["id"]]["derived"], data[given["id"]]["derived"]) == (sorted(tested.kind.derivable), [])
        assert {each["owner"] for each in data.values()} == {""}
        tombstone = data[gone["id"]]
        assert (tombstone["version"], tombstone[tested.kind.singular], tombstone["derived"]) == (2, None, [])
        assert (tombstone["request_id"], deleted.headers["X-Request-Id"]) == ("r-9", "r-9")
        assert tombstone["deleted_at"] > data[plain["id"]][tested.kind.singular]["created_at"]
        assert all(each["event_id"] and each["traceparent"] for each in (tombstone, data[plain["id"]]))

    def test_an_export_can_be_of_some_ids(self, api: Api, listing: Make) -> None:
        one, other = sorted(api.create(listing())["id"] for _ in range(2))
        assert [each["id"] for each in api.exported(other, str(uuid4()), one.upper(), other)] == [one, other]
        assert api.exported(str(uuid4())) == []
        assert [each["id"] for each in api.exported(one, *(str(uuid4()) for _ in range(999)))] == [one]

    @pytest.mark.parametrize(
        "query", ["id=", "id=7", "id=00000000-0000-0000-0000-00000000000g", "&".join([f"id={NOBODY}"] * 1001)]
    )
    def test_ids_that_are_none_or_too_many_are_named(self, shared: Api, query: str) -> None:
        answer = shared.client.get(f"{shared.path}/export?{query}")
        assert (answer.status_code, {error["name"] for error in answer.json()["errors"]}) == (400, {"id"})

    def test_other_parameters_and_methods_are_refused(self, shared: Api) -> None:
        path = f"{shared.path}/export"
        assert shared.client.get(f"{path}?limit=3").json()["errors"][0]["name"] == "limit"
        assert shared.client.post(path).headers["Allow"] == "GET, HEAD, OPTIONS"
        assert shared.client.head(f"{path}/").status_code == 200

    def test_an_absent_database_is_a_problem(self, serve: Serve) -> None:
        api = serve(NOWHERE, migrate=False)
        answer = api.client.get(f"{api.path}/export")
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")

    def test_more_than_a_page_comes_whole_while_others_write(self, api: Api, tested: Tested, listing: Make) -> None:
        listings = [listing(name="d" * 200) for _ in range(1234)]
        assert {each["outcome"] for each in api.imported(listings)} == {"created"}
        with api.client.stream("GET", f"{api.path}/export") as answer:
            pieces = answer.iter_bytes()
            begin = next(pieces)
            late = api.create(listing())
            data = {each["id"]: each for each in tested.service.container().read(_chain(begin, pieces))}
        living = (each[tested.kind.singular] for each in data.values())
        assert {each["url"] for each in listings} <= {each["url"] for each in living if each}
        assert list(data) == sorted(data)
        assert late["id"] in {each["id"] for each in api.exported()}

    @pytest.mark.slow
    def test_50_000_listings_need_no_more_memory_than_a_few_and_a_slow_reader_none(self, tmp_path: Path, tested: Tested) -> None:
        with a_process_of_its_own(tested, tmp_path) as (url, process):
            filled(tested, tmp_path, 2_000, 400)
            assert exported(tested, url) == 2_000
            before = peak_memory(process.pid)
            filled(tested, tmp_path, 48_000, 400)
            with socket.create_connection(("127.0.0.1", httpx.URL(url).port or 0)) as slow:
                slow.sendall(f"GET {tested.path}/export HTTP/1.1\r\nHost: x\r\n\r\n".encode())
                assert slow.recv(15) == b"HTTP/1.1 200 OK"
                assert exported(tested, url) == 50_000
            assert peak_memory(process.pid) - before < 20_000, f"kB: {before}"  # the file has 15 MB, its data 50

    @pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
    def test_an_export_whose_service_ends_is_seen_to_be_broken(
        self, tmp_path: Path, tested: Tested, number: signal.Signals
    ) -> None:
        """More is to be sent than the sockets hold, so that the end comes in the midst of it."""
        with a_process_of_its_own(tested, tmp_path, expected=None) as (url, process):
            filled(tested, tmp_path, 2_000, 20_000)
            received: list[bytes] = []
            with httpx.stream("GET", f"{url}{tested.path}/export") as answer:
                pieces = answer.iter_raw(65_536)
                received.append(next(pieces))
                process.send_signal(number)
                with pytest.raises(httpx.TransportError):
                    received.extend(pieces)
            with pytest.raises(Undecodable):
                list(tested.service.container().read(received))
            assert process.wait(15) == (0 if number == signal.SIGTERM else -number)


def filled(tested: Tested, directory: Path, count: int, size: int) -> None:
    """Puts listings of some `size` bytes, which hardly deflate, into the database of `a_process_of_its_own`."""
    engine, tables = open_engine(f"sqlite:///{directory}/{tested.service.name}.db"), tested.service.tables
    rows = []
    for _ in range(count):
        # In addresses, which every kind has.
        hexadecimal = os.urandom(size // 2).hex()
        images = [{"url": f"https://a.example/{hexadecimal[at : at + 2000]}"} for at in range(0, size, 2000)]
        each = tested.listing(images=images)
        rows.append({"id": each.id, **columns(tables, each)})
    with transaction(engine) as connection:
        connection.execute(insert(tables.listings), rows)
    engine.dispose()


def exported(tested: Tested, url: str) -> int:
    with httpx.stream("GET", f"{url}{tested.path}/export", timeout=120) as answer:
        return sum(1 for _ in tested.service.container().read(answer.iter_bytes()))


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest
