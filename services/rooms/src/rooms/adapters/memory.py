"""Rooms in memory: the same promises as the database's, but durable only as long as the object lives."""

import threading
from collections.abc import Sequence
from datetime import datetime

from common.errors import Conflict, NotFound, Stale
from rooms.domain import Room
from rooms.ports import Filter, Rooms


class MemoryRooms(Rooms):
    """For tests, and for who wants to try the API without a database. Nothing publishes its `events`."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._living: dict[str, Room] = {}
        self.events: list[tuple[str, str, int]] = []  # type, subject, sequence

    def add(self, room: Room) -> None:
        with self._lock:
            self._check_url(room)
            self._keep(room)

    def get(self, id: str) -> Room:
        with self._lock:
            if id not in self._living:
                raise NotFound(id)
            return self._living[id]

    def put(self, room: Room) -> None:
        with self._lock:
            self._check_version(room.id, room.version - 1)
            self._check_url(room)
            self._keep(room)

    def remove(self, room: Room, at: datetime) -> None:
        with self._lock:
            self._check_version(room.id, room.version)
            del self._living[room.id]
            self.events.append(("RoomDeleted", room.id, room.version + 1))

    def list(self, filter: Filter, after: str | None, limit: int) -> Sequence[Room]:
        with self._lock:
            rooms = sorted(self._living.values(), key=lambda room: room.id)
        return [
            room
            for room in rooms
            if (after is None or room.id > after)
            and filter.provider in (None, room.given.provider)
            and filter.is_visible in (None, room.given.is_visible)
            and filter.furnished in (None, room.given.furnished)
        ][:limit]

    def by_urls(self, urls: Sequence[str]) -> dict[str, Room]:
        wanted = set(urls)
        with self._lock:
            return {room.given.url: room for room in self._living.values() if room.given.url in wanted}

    def store(self, added: Sequence[Room], revised: Sequence[Room]) -> Sequence[bool]:
        with self._lock:
            return [self._written(room) for room in (*added, *revised)]

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
        self._living[room.id] = room
        self.events.append(("RoomCreated" if room.version == 1 else "RoomUpdated", room.id, room.version))

    def _check_url(self, room: Room) -> None:
        for holder in self.by_urls([room.given.url]).values():
            if holder.id != room.id:
                raise Conflict("url", holder.id)

    def _check_version(self, id: str, version: int) -> None:
        current = self.get(id)
        if current.version != version:
            raise Stale(id, current.version)
