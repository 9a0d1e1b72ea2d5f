"""The rooms service, asked over HTTP: for rooms of which nothing is known yet, and for all that it keeps."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cache
from math import ceil
from ssl import SSLContext

import httpx

from common.backoff import Backoff
from common.deadline import Deadline
from common.errors import Unavailable, WrongSetting
from common.events.codec import Undecodable
from common.events.container import Container
from common.listings.client import ListingsClient
from common.security.client import NO_CREDENTIALS
from items.domain import KnownRoom, Place
from items.ports import KeptRooms, RoomsService

#: Times that it is asked until it answers, and rooms that it is asked for at a time.
TRIES, TOGETHER = 3, 100
#: Bytes of an answer: more than the largest rooms take.
LONGEST = 64 * 1024 * 1024
#: Seconds: without an answer to anybody, after which nobody waits for a turn any more, which holds up a thread of the API; and how long
#: a service that is silent is left alone.
PATIENCE, REST = 0.25, 5.0
#: Ids that were found to name no room: how many are remembered, and for how many seconds.
MOST_REMEMBERED, REMEMBERED = 10_000, 30.0
#: What may pass by itself; that we may not ask, or ask something that is not there, does not.
_MAY_PASS = (408, 425, 429, 500, 502, 503, 504)


class _Refused(Unavailable):
    """It answers, but not to this: asking again at once is of no use."""


class _NotAsked(Unavailable):
    """It is asked too much, or has been silent."""


class _Silent(Unavailable):
    """It did not answer in time."""


class HttpRoomsService(RoomsService):
    def __init__(
        self,
        url: str,
        container: Container,
        *,
        timeout: float,
        calls: int,
        auth: httpx.Auth | None = None,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`timeout` in seconds is for one question, from the token for it to the last byte of the answer; at most `calls` are under way at
        a time. Others wait for their turn, but are refused once none of these ended for `patience`. So is everybody while it rests after
        it was silent to all tries of a question; then a single one is let through once, until it answers again.

        Connects to nothing yet, and holds nothing open between questions.
        """
        self._url, self._container, self._auth, self._timeout = f"{url.rstrip('/')}/v1.0/rooms/export", container, auth, timeout
        try:
            httpx.URL(url)
        except httpx.InvalidURL as error:
            raise WrongSetting("ROOMS_URL", f"cannot be used: {error}") from error
        self._free, self._ended = calls, threading.Condition()
        self._absent: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()
        self._clock, self._patience = clock, patience
        self._rests_until: float | None = None  # where it was silent last
        self._trouble = ""

    def trouble(self) -> str:
        return self._trouble

    def ask(self, ids: Collection[str]) -> Mapping[str, KnownRoom]:
        wanted = sorted(set(ids) - self._known_to_be_absent(ids))
        told: dict[str, KnownRoom] = {}
        for start in range(0, len(wanted), TOGETHER):
            told |= self._patiently(wanted[start : start + TOGETHER])
        self._remember([id for id in wanted if id not in told])
        return told

    def _patiently(self, ids: list[str]) -> dict[str, KnownRoom]:
        backoff, silent = Backoff(shortest=0.05, longest=0.5), True
        for left in reversed(range(self._tries())):
            try:
                with self._turn():
                    told = self._asked(ids)
            except _NotAsked:
                raise
            except Unavailable as error:
                silent &= isinstance(error, _Silent)
                if not left or isinstance(error, _Refused):
                    self._heard(silent, str(error))
                    raise
                time.sleep(backoff.pause())
            else:
                self._heard(silent=False, trouble="")
                return told
        raise AssertionError("unreachable")

    def _tries(self) -> int:
        with self._lock:
            if self._rests_until is None:
                return TRIES
            now = self._clock()
            if now < self._rests_until:
                raise _NotAsked("the rooms service", "it did not answer in time", retry_after=ceil(self._rests_until - now))
            self._rests_until = now + self._timeout + REST  # this one asks whether it is back; the others wait for what it hears
            return 1

    def _heard(self, silent: bool, trouble: str) -> None:
        with self._lock:
            self._rests_until = self._clock() + REST if silent else None
            self._trouble = f"{trouble} (asked at {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ})" if trouble else ""

    @contextmanager
    def _turn(self) -> Iterator[None]:
        ends = time.monotonic() + self._timeout
        with self._ended:
            while not self._free:  # one that answers has turns for all before long, one that hangs has none
                if not self._ended.wait(min(self._patience, ends - time.monotonic())):
                    raise _NotAsked("the rooms service", "too many questions are under way", retry_after=2)
            self._free -= 1
        try:
            yield
        finally:
            with self._ended:
                self._free += 1
                self._ended.notify_all()

    def _asked(self, ids: list[str]) -> dict[str, KnownRoom]:
        with Deadline(self._timeout) as deadline:
            try:
                return self._answer(ids, deadline)
            except (httpx.HTTPError, Undecodable, Unavailable) as error:
                if deadline.over or isinstance(error, httpx.TimeoutException):
                    reason = str(error) if isinstance(error, Unavailable) else "the answer takes too long"
                    raise _Silent("the rooms service", reason, retry_after=2) from None
                if isinstance(error, Unavailable):
                    raise
                raise Unavailable("the rooms service", str(error) or type(error).__name__, retry_after=2) from None

    def _answer(self, ids: list[str], deadline: Deadline) -> dict[str, KnownRoom]:
        with (
            httpx.Client(auth=self._auth, timeout=self._timeout, verify=_certificates()) as client,
            client.stream("GET", self._url, params={"id": ids}, extensions=deadline.extensions) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                kind = Unavailable if answer.status_code in _MAY_PASS else _Refused
                reason = f"it answered {answer.status_code}"
                if answer.status_code == httpx.codes.UNAUTHORIZED and self._auth is None:
                    reason += f" ({NO_CREDENTIALS})"
                raise kind("the rooms service", reason, retry_after=2)
            told = [_known(datum) for datum in self._container.read(_bounded(answer.iter_bytes()))]
            if deadline.over:  # an answer that ends with its connection looks whole then: what it lacks would pass for absent
                raise httpx.ReadTimeout("the answer takes too long")
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


def _bounded(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """These, as long as they are not too many."""
    size = 0
    for piece in pieces:
        size += len(piece)
        if size > LONGEST:
            raise Undecodable(f"it has more than {LONGEST} bytes")
        yield piece


@cache
def _certificates() -> SSLContext:
    """Whom we trust; to load them takes longer than most questions."""
    return httpx.create_ssl_context()


def _known(datum: Mapping[str, object]) -> KnownRoom:
    room = datum["room"]
    place = Place.of(room) if isinstance(room, dict) else None
    return KnownRoom(id=str(datum["id"]), version=int(str(datum["version"])), place=place)
