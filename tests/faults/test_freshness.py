"""`as_of` promises nothing that is not found, and silence makes the index stale: under load, and while parts of the system are away."""

import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import httpx
import pytest

from common.testing.servers import Stack
from common.testing.system import System, free_port, running
from common.testing.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.slow]


class Load:
    """Publishes rooms from several threads, and remembers when each was acknowledged."""

    def __init__(self, system: System, threads: int = 4) -> None:
        self.acknowledged: list[datetime] = []
        self._url = system.rooms.base_url
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._stop.is_set():
                with suppress(httpx.TransportError):  # its service was killed
                    if client.post("/v1.0/rooms", json=_listing()).status_code == 201:
                        self.acknowledged.append(datetime.now(UTC))

    def before(self, moment: datetime) -> int:
        return sum(at < moment for at in list(self.acknowledged))


def _listing() -> dict[str, Any]:
    return {
        "name": "Fresh room",
        "description": "Found, or not promised.",
        "price": 100,
        "recurrency": "daily",
        "provider": "load",
        "url": f"https://load.example/{uuid4()}",
        "coordinates": {"lat": 52.5, "lon": 13.4},
    }


def kept_promise(system: System, load: Load) -> dict[str, Any] | None:
    """The freshness of one answer, in which all that it promises was found; None while nobody answers."""
    try:
        answer = system.search.get("/v1.0/search/rooms", params={"limit": 1})
    except httpx.TransportError:
        return None
    if answer.status_code == 503:
        return None
    found = answer.json()
    if found["index"]["as_of"] is not None:
        promised = load.before(datetime.fromisoformat(found["index"]["as_of"]))
        assert found["total"]["value"] >= promised, found["index"]
    index: dict[str, Any] = found["index"]
    return index


def moves(system: System, load: Load, times: int) -> None:
    """Searches until `as_of` has moved so often, every promise on the way kept."""
    seen: set[str] = set()
    deadline = time.monotonic() + 90
    while len(seen) <= times:
        assert time.monotonic() < deadline, seen
        index = kept_promise(system, load)
        if index and index["as_of"] is not None:
            seen.add(index["as_of"])


def test_under_load_and_through_sudden_deaths_every_promise_is_kept(system: System) -> None:
    relay = next(command for command in system.commands if command in (("rooms", "all"), ("rooms", "relay")))
    consumer = next(command for command in system.commands if command in (("search", "all"), ("search", "consumer")))
    with Load(system) as load:
        moves(system, load, 3)
        for command in (relay, consumer):
            system.end(signal.SIGKILL, command)
            system.start(command)
            moves(system, load, 2)
    ended = datetime.now(UTC)
    # The last change is vouched for, too, and not only after the next five seconds.
    index = eventually(lambda: (now := kept_promise(system, load)) and now["as_of"] and _later(now, ended) and now, seconds=60)
    assert index["stale"] is False
    assert system.found(limit=1)["total"]["value"] >= len(load.acknowledged)


def _later(index: dict[str, Any], moment: datetime) -> bool:
    return datetime.fromisoformat(index["as_of"]) > moment


def test_silence_makes_the_index_stale_until_it_is_heard_again(system: System) -> None:
    relay = next(command for command in system.commands if command in (("rooms", "all"), ("rooms", "relay")))
    eventually(lambda: not system.found(limit=1)["index"]["stale"])
    system.end(signal.SIGTERM, relay)
    stale = eventually(lambda: (index := system.found(limit=1)["index"])["stale"] and index, seconds=40)
    assert stale["lag_seconds"] is None
    assert stale["as_of"] is not None, "what was promised stays promised"
    system.start(relay)
    eventually(lambda: not system.found(limit=1)["index"]["stale"])


class Door:
    """A way to a server that can be shut: connections end, new ones are refused."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname or "", parts.port or 0)
        self.port = free_port()
        user = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(parts._replace(netloc=f"{user}@127.0.0.1:{self.port}" if user else f"127.0.0.1:{self.port}"))
        self._listener: socket.socket | None = None
        self._open: list[socket.socket] = []

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._let_in, args=(self._listener,), daemon=True).start()

    def shut(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self._listener, opened, self._open = None, self._open, []
        for each in opened:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _let_in(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                inside, _ = listener.accept()
                outside = socket.create_connection(self._to)
                self._open += [inside, outside]
                for pair in ((inside, outside), (outside, inside)):
                    threading.Thread(target=_carry, args=pair, daemon=True).start()


def _carry(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    for each in (source, target):
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)


@contextmanager
def opened(url: str) -> Iterator[Door]:
    door = Door(url)
    door.open()
    try:
        yield door
    finally:
        door.shut()


@pytest.mark.parametrize("stack", ["real"], indirect=True)
@pytest.mark.parametrize("neighbour", ["broker", "index"])
def test_while_a_neighbour_is_away_nothing_is_promised_that_is_not_found(stack: Stack, tmp_path: Path, neighbour: str) -> None:
    with opened(stack.broker_url if neighbour == "broker" else stack.index_url) as door:
        ways = {f"{neighbour}_url": door.url}
        through = Stack(**{name: ways.get(name, getattr(stack, name)) for name in ("database_url", "broker_url", "index_url")})
        with running(through, tmp_path, real=True) as system, Load(system, threads=1) as load:
            moves(system, load, 1)
            door.shut()
            if neighbour == "broker":
                eventually(lambda: (index := kept_promise(system, load)) and index["stale"], seconds=40)
            else:
                eventually(lambda: system.search.get("/v1.0/search/rooms").status_code == 503)
            written = len(load.acknowledged)
            eventually(lambda: len(load.acknowledged) > written + 20)
            door.open()
            eventually(lambda: (index := kept_promise(system, load)) and not index["stale"], seconds=60)
            moves(system, load, 2)
