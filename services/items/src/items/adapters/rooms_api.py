"""The rooms service, asked over HTTP: for rooms of which nothing is known yet, and for all that it keeps."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from ssl import SSLContext

import httpx

from common.backoff import Backoff
from common.errors import Unavailable, WrongSetting
from common.events.codec import Undecodable
from common.events.container import Container
from common.listings.client import ListingsClient
from items.domain import KnownRoom, Place
from items.ports import KeptRooms, RoomsService

#: Times that it is asked until it answers, and rooms that it is asked for at a time.
TRIES, TOGETHER = 3, 100
#: Bytes of an answer: more than the largest rooms take.
LONGEST = 64 * 1024 * 1024
#: Ids that were found to name no room: how many are remembered, and for how many seconds.
MOST_REMEMBERED, REMEMBERED = 10_000, 30.0
#: What may pass by itself; that we may not ask, or ask something that is not there, does not.
_MAY_PASS = (408, 425, 429, 500, 502, 503, 504)


class _Refused(Unavailable):
    """It answers, but not to this, or is asked too much: asking again at once is of no use."""


class HttpRoomsService(RoomsService):
    def __init__(
        self,
        url: str,
        container: Container,
        *,
        timeout: float,
        calls: int,
        auth: httpx.Auth | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout` in seconds is for one question, from its first byte to the last of the answer; at most `calls` are under way at a time.

        Connects to nothing yet, and holds nothing open between questions.
        """
        self._url, self._container, self._auth, self._timeout = f"{url.rstrip('/')}/v1.0/rooms/export", container, auth, timeout
        try:
            httpx.URL(url)
        except httpx.InvalidURL as error:
            raise WrongSetting("ROOMS_URL", f"cannot be used: {error}") from error
        self._turns = threading.BoundedSemaphore(calls)
        self._absent: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()
        self._clock = clock

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
            except _Refused:
                raise
            except Unavailable:
                if not left:
                    raise
                time.sleep(backoff.pause())
        raise AssertionError("unreachable")

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._turns.acquire(timeout=self._timeout):
            raise _Refused("the rooms service", "too many questions are under way", retry_after=2)
        try:
            yield
        finally:
            self._turns.release()

    def _asked(self, ids: list[str]) -> dict[str, KnownRoom]:
        ends = time.monotonic() + self._timeout
        try:
            with (
                httpx.Client(auth=self._auth, timeout=self._timeout, verify=_certificates()) as client,
                client.stream("GET", self._url, params={"id": ids}) as answer,
            ):
                if answer.status_code != httpx.codes.OK:
                    kind = Unavailable if answer.status_code in _MAY_PASS else _Refused
                    raise kind("the rooms service", f"it answered {answer.status_code}", retry_after=2)
                told = [_known(datum) for datum in self._container.read(_in_time(answer.iter_bytes(), ends))]
        except (httpx.HTTPError, Undecodable) as error:
            raise Unavailable("the rooms service", str(error) or type(error).__name__, retry_after=2) from None
        return {room.id: room for room in told if room.id in ids}

    def _known_to_be_absent(self, ids: Collection[str]) -> set[str]:
        now = self._clock()
        with self._lock:
            return {id for id in ids if self._absent.get(id, now) > now}

    def _remember(self, ids: Collection[str]) -> None:
        until = self._clock() + REMEMBERED
        with self._lock:
            for id in ids:
                self._absent[id] = until
                self._absent.move_to_end(id)
            while len(self._absent) > MOST_REMEMBERED:
                self._absent.popitem(last=False)


class RoomsExport(KeptRooms):
    def __init__(self, client: ListingsClient) -> None:
        self._client = client

    def __call__(self, ids: Collection[str] | None = None) -> Iterator[KnownRoom]:
        return map(_known, self._client.exported(ids))


def _in_time(pieces: Iterator[bytes], ends: float) -> Iterator[bytes]:
    """These, as long as there is time, and as they are not too many. (The client's own timeout is for each of them.)"""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > LONGEST:
            raise Undecodable(f"it has more than {LONGEST} bytes")
        if time.monotonic() > ends:
            raise httpx.ReadTimeout("the answer takes too long")
        yield piece


@cache
def _certificates() -> SSLContext:
    """Whom we trust; to load them takes longer than most questions."""
    return httpx.create_ssl_context()


def _known(datum: Mapping[str, object]) -> KnownRoom:
    room = datum["room"]
    place = Place.of(room) if isinstance(room, dict) else None
    return KnownRoom(id=str(datum["id"]), version=int(str(datum["version"])), place=place)
