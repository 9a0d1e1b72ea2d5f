"""The export over real HTTP: all that is kept, tombstones too, of any size, to readers that are slow, gone or still there at the end."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from sqlalchemy import insert
from uuid_utils import uuid7

from common.db.engine import open_engine, transaction
from common.events.codec import Undecodable
from common.listings.rows import columns
from common.testing.system import free_port
from common.testing.waiting import eventually
from rooms.adapters.tables import TABLES
from rooms.bootstrap import SERVICE
from rooms.domain import Listing, Room

PATH = "/v1.0/rooms/export"
NDJSON = {"Content-Type": "application/x-ndjson"}
CONTAINER = SERVICE.container()


def lines(listings: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in listings)


def shown(datum: dict[str, Any]) -> dict[str, Any]:
    """An exported room as the API shows it."""
    return {
        name: value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
        for name, value in datum["room"].items()
    }


def test_an_export_tells_all_that_is_kept_and_who_wrote_it(api, listing):
    plain, hidden, gone = api.create(listing()), api.create(listing(is_visible=False)), api.create(listing())
    given = api.create(listing(monthly_price=7, area={"name": "X", "city": "Y", "country": "Z"}))
    deleted = api.client.delete(f"/v1.0/rooms/{gone['id']}", headers={"X-Request-Id": "r-9"})
    data = {each["id"]: each for each in api.exported()}
    assert list(data) == sorted(data)
    assert [shown(data[room["id"]]) for room in (plain, hidden, given)] == [plain, hidden, given]
    assert (data[plain["id"]]["derived"], data[given["id"]]["derived"]) == (["area", "monthly_price"], [])
    tombstone = data[gone["id"]]
    assert (tombstone["version"], tombstone["room"], tombstone["derived"]) == (2, None, [])
    assert (tombstone["request_id"], deleted.headers["X-Request-Id"]) == ("r-9", "r-9")
    assert tombstone["deleted_at"] > data[plain["id"]]["room"]["created_at"]
    assert all(each["event_id"] and each["traceparent"] for each in (tombstone, data[plain["id"]]))


def test_an_export_can_be_of_some_ids(api, listing):
    one, other = sorted(api.create(listing())["id"] for _ in range(2))
    assert [each["id"] for each in api.exported(other, str(uuid4()), one.upper(), other)] == [one, other]
    assert api.exported(str(uuid4())) == []
    assert [each["id"] for each in api.exported(one, *(str(uuid4()) for _ in range(999)))] == [one]


@pytest.mark.parametrize(
    "query",
    ["id=", "id=7", "id=00000000-0000-0000-0000-00000000000g", "&".join(["id=01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"] * 1001)],
)
def test_ids_that_are_none_or_too_many_are_named(shared, query):
    answer = shared.client.get(f"{PATH}?{query}")
    assert (answer.status_code, {error["name"] for error in answer.json()["errors"]}) == (400, {"id"})


def test_other_parameters_and_methods_are_refused(shared):
    assert shared.client.get(f"{PATH}?limit=3").json()["errors"][0]["name"] == "limit"
    assert shared.client.post(PATH).headers["Allow"] == "GET, HEAD, OPTIONS"
    assert shared.client.head(f"{PATH}/").status_code == 200


def test_an_absent_database_is_a_problem(serve):
    answer = serve("postgresql+psycopg://nobody@127.0.0.1:1/none", migrate=False).client.get(PATH)
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/unavailable")


def test_more_than_a_page_comes_whole_while_others_write(api, listing):
    listings = [listing(provider="pages", description="d" * 300) for _ in range(1234)]
    api.client.post("/v1.0/rooms/import", content=lines(listings), headers=NDJSON).raise_for_status()
    with api.client.stream("GET", PATH) as answer:
        pieces = answer.iter_bytes()
        begin = next(pieces)
        late = api.create(listing())
        data = {each["id"]: each for each in CONTAINER.read(_chain(begin, pieces))}
    assert {each["url"] for each in listings} <= {each["room"]["url"] for each in data.values() if each["room"]}
    assert list(data) == sorted(data)
    assert late["id"] in {each["id"] for each in api.exported()}


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield first
    yield from rest


@contextmanager
def a_process_of_its_own(directory: Path) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`python -m rooms api` on SQLite: its address and the process."""
    port = free_port()
    environ = {"PATH": os.environ["PATH"], "DATA_DIR": str(directory), "ROOMS_PORT": str(port), "LOG_LEVEL": "WARNING"}
    subprocess.run([sys.executable, "-m", "rooms", "migrate"], env=environ, check=True, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([sys.executable, "-m", "rooms", "api"], env=environ) as process:
        try:
            eventually(lambda: answers(url), seconds=30)
            yield url, process
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def filled(directory: Path, listing: dict[str, Any], count: int, size: int) -> None:
    """Puts rooms with descriptions that hardly deflate into the database of `a_process_of_its_own`."""
    now = datetime.now(UTC)
    engine = open_engine(f"sqlite:///{directory}/rooms.db")
    rows = []
    for _ in range(count):
        given = Listing.parse(listing | {"url": f"https://rooms.example/{uuid4()}", "description": os.urandom(size // 2).hex()})
        room = Room(id=str(uuid7()), version=1, given=given, located=None, created_at=now, updated_at=now)
        rows.append({"id": room.id, **columns(TABLES, room)})
    with transaction(engine) as connection:
        connection.execute(insert(TABLES.listings), rows)
    engine.dispose()


@pytest.mark.slow
def test_50_000_rooms_need_no_more_memory_than_a_few_and_a_slow_reader_none(tmp_path, listing):
    with a_process_of_its_own(tmp_path) as (url, process):
        filled(tmp_path, listing(), 2_000, 400)
        assert exported(url) == 2_000
        before = peak_memory(process.pid)
        filled(tmp_path, listing(), 48_000, 400)
        with socket.create_connection(("127.0.0.1", httpx.URL(url).port)) as slow:
            slow.sendall(f"GET {PATH} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert slow.recv(15) == b"HTTP/1.1 200 OK"
            assert exported(url) == 50_000
        assert peak_memory(process.pid) - before < 20_000, f"kB: {before}"  # the file has 15 MB, its data 50
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0


def exported(url: str) -> int:
    with httpx.stream("GET", f"{url}{PATH}", timeout=120) as answer:
        return sum(1 for _ in CONTAINER.read(answer.iter_bytes()))


def peak_memory(pid: int) -> int:
    """kB."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("there is no /proc here to tell the memory of a process")
    return int(status.read_text().partition("VmHWM:")[2].split()[0])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_an_export_whose_service_ends_is_seen_to_be_broken(tmp_path, listing, number):
    """More is to be sent than the sockets hold, so that the end comes in the midst of it."""
    with a_process_of_its_own(tmp_path) as (url, process):
        filled(tmp_path, listing(), 2_000, 20_000)
        received: list[bytes] = []
        with httpx.stream("GET", f"{url}{PATH}") as answer:
            pieces = answer.iter_raw(65_536)
            received.append(next(pieces))
            process.send_signal(number)
            with pytest.raises(httpx.TransportError):
                received.extend(pieces)
        with pytest.raises(Undecodable):
            list(CONTAINER.read(received))
        assert process.wait(15) == (0 if number == signal.SIGTERM else -number)
