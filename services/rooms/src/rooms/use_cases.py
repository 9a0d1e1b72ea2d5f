"""What can be done with rooms, one class per verb."""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from uuid_utils import uuid7

from common.backoff import Backoff
from common.errors import Invalid, Stale, Unavailable
from rooms.domain import Area, Listing, Room, web_url
from rooms.ports import Areas, Clock, Filter, Rooms

T = TypeVar("T")

#: How often a change is tried again that another one overtook, after pauses which grow to LONGEST seconds.
RETRIES, LONGEST = 30, 0.2


@dataclass(frozen=True)
class PublishRoom:
    """Raises Conflict if a living room has the same url."""

    rooms: Rooms
    areas: Areas
    clock: Clock

    def __call__(self, given: Listing) -> Room:
        now = self.clock.now()
        room = Room(
            id=str(uuid7()), version=1, given=given, located=self.areas.locate(given.coordinates), created_at=now, updated_at=now
        )
        self.rooms.add(room)
        return room


@dataclass(frozen=True)
class ReviseRoom:
    """Raises NotFound, Conflict, Stale where the current version is not among `expected`, Unavailable where others never let it through."""

    rooms: Rooms
    areas: Areas
    clock: Clock

    def __call__(self, id: str, revision: Callable[[Room], Listing], expected: Collection[int] | None = None) -> Room:
        """`revision` makes the new listing from the current room; it may be asked again if another change comes between."""

        def revised() -> Room:
            current = self.rooms.get(id)
            _expect(current, expected)
            given = revision(current)
            room = current.revised(given, _located(self.areas, given, current), self.clock.now())
            self.rooms.put(room)
            return room

        return _overtaking(revised, expected)


@dataclass(frozen=True)
class WithdrawRoom:
    """Raises NotFound, Stale where the current version is not among `expected`, Unavailable where others never let it through."""

    rooms: Rooms
    clock: Clock

    def __call__(self, id: str, expected: Collection[int] | None = None) -> int:
        """Answers the tombstone's version."""

        def withdrawn() -> int:
            current = self.rooms.get(id)
            _expect(current, expected)
            self.rooms.remove(current, self.clock.now())
            return current.version + 1

        return _overtaking(withdrawn, expected)


@dataclass(frozen=True)
class ReadRoom:
    """Raises NotFound."""

    rooms: Rooms

    def __call__(self, id: str) -> Room:
        return self.rooms.get(id)


@dataclass(frozen=True)
class ListRooms:
    rooms: Rooms

    def __call__(self, filter: Filter, after: str | None, limit: int) -> Sequence[Room]:
        return self.rooms.list(filter, after, limit)


Outcome = Literal["created", "updated", "unchanged", "invalid"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one imported listing."""

    outcome: Outcome
    id: str | None = None
    problem: Invalid | None = None


@dataclass(frozen=True)
class ImportRooms:
    """Publishes or revises many listings, found again by their url. A listing that changes nothing writes nothing."""

    rooms: Rooms
    areas: Areas
    clock: Clock

    def __call__(self, documents: Sequence[dict[str, Any]]) -> list[Imported]:
        """One answer per document, in order; each has been accepted by the API's schema. Raises Unavailable.

        Documents with the same url come one after the other, as if each had been sent alone.
        """
        outcomes: dict[int, Imported] = {}
        waiting: dict[int, str] = {}
        for line, document in enumerate(documents):
            try:
                waiting[line] = web_url(document["url"], "url")
            except Invalid as error:
                outcomes[line] = Imported("invalid", problem=error)
        fruitless, backoff = 0, _backoff()
        while waiting:
            settled = self._store(documents, waiting)
            outcomes |= settled
            waiting = {line: url for line, url in waiting.items() if line not in settled}
            fruitless = 0 if settled else fruitless + 1
            if settled:
                backoff.reset()
            elif fruitless == RETRIES:
                raise Unavailable("a place among those who change the same rooms")
            else:
                time.sleep(backoff.pause())
        return [outcomes[line] for line in range(len(documents))]

    def _store(self, documents: Sequence[dict[str, Any]], waiting: dict[int, str]) -> dict[int, Imported]:
        """Those of `waiting` (line → url) that could be settled: not the ones that another writer overtook, nor lines behind a
        write of the same room, which depend on how that ends.
        """
        now = self.clock.now()
        settled: dict[int, Imported] = {}
        known = self.rooms.by_urls(list(set(waiting.values())))
        added: dict[int, Room] = {}
        revised: dict[int, Room] = {}
        being_written: set[str] = set()
        for line, url in waiting.items():
            if url in being_written:
                continue
            current = known.get(url)
            try:
                given = Listing.parse(documents[line] if current is None else current.unechoed(documents[line]))
            except Invalid as error:
                settled[line] = Imported("invalid", None if current is None else current.id, error)
                continue
            if current is None:
                located = self.areas.locate(given.coordinates)
                added[line] = Room(id=str(uuid7()), version=1, given=given, located=located, created_at=now, updated_at=now)
                being_written.add(url)
            elif current.given == given:
                settled[line] = Imported("unchanged", current.id)
            else:
                revised[line] = current.revised(given, _located(self.areas, given, current), now)
                being_written.add(url)
        if added or revised:
            written = self.rooms.store(list(added.values()), list(revised.values()))
            changes: list[tuple[int, Outcome, Room]] = [(line, "created", room) for line, room in added.items()]
            changes += [(line, "updated", room) for line, room in revised.items()]
            settled |= {
                line: Imported(outcome, room.id) for (line, outcome, room), ok in zip(changes, written, strict=True) if ok
            }
        return settled


def _overtaking(change: Callable[[], T], expected: Collection[int] | None) -> T:
    """Does what may raise Stale until it does not; at once where a version is expected."""
    backoff = _backoff()
    for _ in range(RETRIES):
        try:
            return change()
        except Stale:
            if expected is not None:
                raise
        time.sleep(backoff.pause())
    raise Unavailable("a place among those who change this room")


def _backoff() -> Backoff:
    return Backoff(shortest=0.002, longest=LONGEST)


def _expect(current: Room, expected: Collection[int] | None) -> None:
    if expected is not None and current.version not in expected:
        raise Stale(current.id, current.version)


def _located(areas: Areas, given: Listing, current: Room) -> Area | None:
    return current.located if given.coordinates == current.given.coordinates else areas.locate(given.coordinates)
