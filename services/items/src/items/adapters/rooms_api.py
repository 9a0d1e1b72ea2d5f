"""The rooms service, asked over HTTP for rooms of which nothing is known yet."""

import threading
import time
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import httpx

from common.backoff import Backoff
from common.errors import Unavailable
from common.events.codec import Undecodable
from common.events.container import Container
from items.domain import KnownRoom, Place
from items.ports import RoomsService

#: Times that it is asked until it answers, and rooms that it is asked for at a time.
TRIES, TOGETHER = 3, 100
#: Ids that were found to name no room: how many are remembered, and for how many seconds.
MOST_REMEMBERED, REMEMBERED = 10_000, 30.0


class HttpRoomsService(RoomsService):
    def __init__(self, url: str, container: Container, *, timeout: float, calls: int, auth: httpx.Auth | None = None) -> None:
        """`timeout` in seconds is for one question, of which at most `calls` are under way at a time."""
        self._url, self._container, self._auth, self._timeout = url, container, auth, timeout
        self._turns = threading.BoundedSemaphore(calls)
        self._absent: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def ask(self, ids: Collection[str]) -> Mapping[str, KnownRoom]:
        wanted = sorted(set(ids) - self._known_to_be_absent(ids))
        told: dict[str, KnownRoom] = {}
        for start in range(0, len(wanted), TOGETHER):
            told |= self._patiently(wanted[start : start + TOGETHER])
        self._remember([id for id in wanted if id not in told])
        return told

    def _patiently(self, ids: list[str]) -> dict[str, KnownRoom]:
        backoff = Backoff(shortest=0.05, longest=0.5)
        for left in reversed(range(TRIES)):
            try:
                with self._turn():
                    return self._asked(ids)
            except Unavailable:
                if not left:
                    raise
                time.sleep(backoff.pause())
        raise AssertionError("unreachable")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=self._timeout):
            raise Unavailable("the rooms service", "too many questions are under way", retry_after=2)
        try:
            yield
        finally:
            self._turns.release()

    def _asked(self, ids: list[str]) -> dict[str, KnownRoom]:
        try:
            answer = httpx.get(
                f"{self._url.rstrip('/')}/v1.0/rooms/export", params={"id": ids}, auth=self._auth, timeout=self._timeout
            )
            if answer.status_code != httpx.codes.OK:
                raise Unavailable("the rooms service", f"it answered {answer.status_code}", retry_after=2)
            return {datum["id"]: _known(datum) for datum in self._container.read([answer.content])}
        except (httpx.TransportError, Undecodable) as error:
            raise Unavailable("the rooms service", str(error) or type(error).__name__, retry_after=2) from None

    def _known_to_be_absent(self, ids: Collection[str]) -> set[str]:
        now = time.monotonic()
        with self._lock:
            return {id for id in ids if self._absent.get(id, 0.0) > now}

    def _remember(self, ids: Collection[str]) -> None:
        until = time.monotonic() + REMEMBERED
        with self._lock:
            for id in ids:
                self._absent[id] = until
                self._absent.move_to_end(id)
            while len(self._absent) > MOST_REMEMBERED:
                self._absent.popitem(last=False)


def _known(datum: Mapping[str, object]) -> KnownRoom:
    room = datum["room"]
    place = Place.of(room) if isinstance(room, dict) else None
    return KnownRoom(id=str(datum["id"]), version=int(str(datum["version"])), place=place)
