"""What is known of rooms, in memory: the same promises as the database's, but durable only as long as the object lives."""

import threading
from collections.abc import Collection, Iterator, Sequence
from uuid import uuid4

from items.domain import KnownRoom, Unsettled
from items.ports import KnownRooms


class MemoryKnownRooms(KnownRooms):
    """For tests."""

    def __init__(self) -> None:
        self._rooms: dict[str, tuple[KnownRoom, str | None]] = {}  # by id, with its mark
        self._lock = threading.Lock()

    def of(self, ids: Collection[str]) -> dict[str, KnownRoom]:
        with self._lock:
            return {id: self._rooms[id][0] for id in ids if id in self._rooms}

    def learn(self, rooms: Sequence[KnownRoom]) -> None:
        with self._lock:
            for room in rooms:
                known, mark = self._rooms.get(room.id, (None, str(uuid4())))
                if known is None or known.version < room.version:
                    same = known is not None and _says_the_same(known, room)
                    self._rooms[room.id] = room, mark if same and mark is None else str(uuid4())

    def correct(self, rooms: Sequence[tuple[KnownRoom, KnownRoom]]) -> None:
        with self._lock:
            for seen, right in rooms:
                if self._rooms[seen.id][0] == seen:
                    self._rooms[seen.id] = right, str(uuid4())

    def scan(self) -> Iterator[KnownRoom]:
        with self._lock:
            rooms = [room for room, _ in self._rooms.values()]
        yield from sorted(rooms, key=lambda room: room.id)

    def unsettled(self, limit: int, without: Collection[str] = ()) -> Sequence[Unsettled]:
        with self._lock:
            marked = [Unsettled(room=room, mark=mark) for room, mark in self._rooms.values() if mark is not None]
        start = str(uuid4())
        wanted = [each for each in marked if each.room.id not in without]
        return sorted(wanted, key=lambda each: (each.mark < start, each.mark))[:limit]

    def count(self) -> tuple[int, int, int]:
        with self._lock:
            places = [room.place for room, _ in self._rooms.values()]
            unsettled = sum(mark is not None for _, mark in self._rooms.values())
        return len(places) - places.count(None), places.count(None), unsettled

    def settle(self, room: Unsettled) -> None:
        with self._lock:
            known, mark = self._rooms[room.room.id]
            if mark == room.mark:
                self._rooms[room.room.id] = known, None


def _says_the_same(known: KnownRoom, room: KnownRoom) -> bool:
    if known.place is None or room.place is None:
        return known.place is room.place
    return known.place.says_the_same_as(room.place)
