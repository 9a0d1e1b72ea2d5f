"""What is known of rooms as a copy of what the rooms service keeps: compared with that, and set right whichever way it differs."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from common.errors import AtriumError
from common.listings.audit import PATIENCE, Audit, Copy, Difference, Kind, State
from items.domain import KnownRoom
from items.ports import Items, KeptRooms, KnownRooms

#: Rooms of which nothing is known, but whose items are there, that are asked for together.
_PORTION = 200


@dataclass(eq=False)
class NothingKept(AtriumError):
    """The rooms service keeps no room at all, and a repair would delete every item in a room. Is it the right one, and restored?"""


@dataclass(frozen=True)
class Projection(Copy):
    """A repair has the followers look at the items of each room that it sets right."""

    known: KnownRooms
    rooms: KeptRooms
    name: ClassVar[str] = "the projection"
    mendable: ClassVar[frozenset[Kind]] = frozenset(Kind)

    def scan(self) -> Iterator[tuple[str, State]]:
        return map(_state, self.known.scan())

    def states(self, ids: Collection[str]) -> Mapping[str, State]:
        return dict(map(_state, self.known.of(ids).values()))

    def mend(self, ids: Collection[str]) -> Mapping[str, str]:
        known = self.known.of(ids)  # first: what comes later cannot be behind it
        kept = {room.id: room for room in self.rooms(ids)}
        self.known.learn(list(kept.values()))
        wrong = [
            (room, right) for room in known.values() if _contradicts(room, right := kept.get(room.id, KnownRoom.nowhere(room.id)))
        ]
        self.known.correct(wrong)
        if wrong:
            # What was refused as old until then, since what was known of them had a higher version, is not told again.
            self.known.learn(list(self.rooms([room.id for room, _ in wrong])))
        return {}


@dataclass(frozen=True)
class AuditRooms:
    """Compares what is known of rooms with what is kept of them; and tells of rooms that neither side knows, but in which items are."""

    known: KnownRooms
    items: Items
    rooms: KeptRooms

    def __call__(
        self, *, mend: bool = False, report: Callable[[int], None] = lambda _: None, patience: Sequence[float] = PATIENCE
    ) -> Iterator[Difference]:
        """As `Audit` does. With `mend` items of rooms that are not kept go as those of deleted ones do. Raises NothingKept, Unavailable."""
        if mend and next(self.rooms(), None) is None and (self.known.count()[0] or self.items.in_unknown_rooms(None, 1)):
            raise NothingKept
        copy = Projection(self.known, self.rooms)
        yield from Audit(copy, lambda ids: map(_state, self.rooms(ids)), patience)(mend=mend, report=report)
        after: str | None = None
        while ids := self.items.in_unknown_rooms(after, _PORTION):
            kept = {room.id for room in self.rooms(ids)}  # those are missing, and have been told
            strays = [id for id in ids if id not in kept]
            if mend:
                self.known.learn([KnownRoom.nowhere(id) for id in strays])
            for id in strays:
                yield Difference(id, Kind.STRAY, None, None, mended=mend)
            after = ids[-1]


def _state(room: KnownRoom) -> tuple[str, State]:
    return room.id, State(room.version, room.place is None, None if room.place is None else room.place.said)


def _contradicts(known: KnownRoom, kept: KnownRoom) -> bool:
    """Whether what is known cannot come from the past of what is kept."""
    return known.version > kept.version or (known.version == kept.version and _state(known) != _state(kept))
