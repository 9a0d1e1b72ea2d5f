"""Rooms in memory: the same promises as the database's, but durable only as long as the object lives."""

import threading
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from datetime import datetime

from uuid_utils import uuid7

from common.errors import Conflict, NotFound, Stale
from common.observability.context import current
from rooms.adapters.restore import judged
from rooms.domain import Room
from rooms.ports import Filter, Kept, Origin, Restored, Rooms


class MemoryRooms(Rooms):
    """For tests, and for who wants to try the API without a database. Nothing publishes its `events`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._kept: dict[str, Kept] = {}
        self.events: list[tuple[str, str, int]] = []  # type, subject, sequence

    def add(self, room: Room) -> None:
        with self._lock:
            self._check_url(room)
            self._keep(room)

    def get(self, id: str) -> Room:
        with self._lock:
            kept = self._kept.get(id)
        if kept is None or kept.room is None:
            raise NotFound(id)
        return kept.room

    def put(self, room: Room) -> None:
        with self._lock:
            self._check_version(room.id, room.version - 1)
            self._check_url(room)
            self._keep(room)

    def remove(self, room: Room, at: datetime) -> None:
        with self._lock:
            self._check_version(room.id, room.version)
            version = room.version + 1
            self._kept[room.id] = Kept(id=room.id, version=version, what=at, origin=_origin())
            self.events.append(("RoomDeleted", room.id, version))

    def list(self, filter: Filter, after: str | None, limit: int) -> Sequence[Room]:
        return [
            room
            for room in self._living()
            if (after is None or room.id > after)
            and filter.provider in (None, room.given.provider)
            and filter.is_visible in (None, room.given.is_visible)
        ][:limit]

    def by_urls(self, urls: Sequence[str]) -> dict[str, Room]:
        wanted = set(urls)
        return {room.given.url: room for room in self._living() if room.given.url in wanted}

    def store(self, added: Sequence[Room], revised: Sequence[Room]) -> Sequence[bool]:
        with self._lock:
            return [self._written(room) for room in (*added, *revised)]

    def kept(self, ids: Collection[str] | None, after: str | None, limit: int) -> Sequence[Kept]:
        return [kept for kept in self._all() if (ids is None or kept.id in ids) and (after is None or kept.id > after)][:limit]

    def restore(self, kept: Sequence[Kept]) -> Sequence[Restored]:
        with self._lock:
            current = {each.id: (each.version, None if each.room is None else each.room.given.url) for each in self._all()}
            outcomes = judged(kept, current)
            for each, outcome in zip(kept, outcomes, strict=True):
                if outcome.outcome == "restored":
                    known = {name: value for name, value in asdict(each.origin).items() if value}
                    self._kept[each.id] = replace(each, origin=replace(_origin(), **known))
                    self.events.append((each.event, each.id, each.version))
        return outcomes

    def _all(self) -> Sequence[Kept]:
        with self._lock:
            return sorted(self._kept.values(), key=lambda kept: kept.id)

    def _living(self) -> Sequence[Room]:
        return [kept.room for kept in self._all() if kept.room is not None]

    def _written(self, room: Room) -> bool:
        try:
            if room.version > 1:
                self._check_version(room.id, room.version - 1)
            self._check_url(room)
        except (Conflict, NotFound, Stale):
            return False
        self._keep(room)
        return True

    def _keep(self, room: Room) -> None:
        self._kept[room.id] = Kept(id=room.id, version=room.version, what=room, origin=_origin())
        self.events.append(("RoomCreated" if room.version == 1 else "RoomUpdated", room.id, room.version))

    def _check_url(self, room: Room) -> None:
        for holder in self.by_urls([room.given.url]).values():
            if holder.id != room.id:
                raise Conflict("url", holder.id)

    def _check_version(self, id: str, version: int) -> None:
        room = self.get(id)
        if room.version != version:
            raise Stale(id, room.version)


def _origin() -> Origin:
    trace = current()
    return Origin(event_id=str(uuid7()), request_id=trace.request_id, traceparent=trace.traceparent)
