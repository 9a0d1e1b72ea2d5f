"""Rooms in a relational database, each change one statement or transaction with its event."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Engine, Insert, Update, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from common.db.doorbell import Doorbell
from common.db.engine import transaction
from common.db.versioned import write, write_all
from common.errors import Conflict, NotFound, Stale, Unavailable
from common.events.codec import Codec
from common.events.outbox import Gate, outbox_row
from rooms.adapters.restore import restored
from rooms.adapters.rows import BLANK, ORIGIN, alive, columns, metadata, origin, outbox, rooms, to_kept, to_room, url_hash
from rooms.domain import Room
from rooms.ports import Filter, Kept, Restored, Rooms, Summary

__all__ = ["SqlRooms", "metadata", "outbox", "rooms"]

#: How often a restore is tried again that another writer got in the way of.
RETRIES = 10


class SqlRooms(Rooms):
    """Rooms on SQLAlchemy Core: SQLite or PostgreSQL."""

    def __init__(self, engine: Engine, codec: Codec, gate: Gate, doorbell: Doorbell) -> None:
        self._engine, self._codec, self._gate, self._doorbell = engine, codec, gate, doorbell

    def add(self, room: Room) -> None:
        event = self._event("RoomCreated", room)
        self._write(insert(rooms).values(id=room.id, **columns(room), **origin(event)), event, room.given.url)

    def put(self, room: Room) -> None:
        event = self._event("RoomUpdated", room)
        if not self._write(_revision(room, event), event, room.given.url):
            self._refuse(room.id)

    def remove(self, room: Room, at: datetime) -> None:
        version = room.version + 1
        event = self._deletion(room.id, version, room.given.url, at)
        tombstone = _current(room.id, room.version).values(**BLANK, version=version, deleted_at=at, **origin(event))
        if not self._write(tombstone, event, room.given.url):
            self._refuse(room.id)

    def get(self, id: str) -> Room:
        with self._engine.connect() as connection:
            row = connection.execute(select(rooms).where(rooms.c.id == id, alive)).one_or_none()
        if row is None:
            raise NotFound(id)
        return to_room(row)

    def list(self, filter: Filter, after: str | None, limit: int) -> Sequence[Room]:
        wanted = select(rooms).where(alive).order_by(rooms.c.id).limit(limit)
        if after is not None:
            wanted = wanted.where(rooms.c.id > after)
        if filter.provider is not None:
            wanted = wanted.where(rooms.c.provider == filter.provider)
        if filter.is_visible is not None:
            wanted = wanted.where(rooms.c.is_visible == filter.is_visible)
        if filter.furnished is not None:
            wanted = wanted.where(rooms.c.furnished == filter.furnished)
        with self._engine.connect() as connection:
            return [to_room(row) for row in connection.execute(wanted)]

    def by_urls(self, urls: Sequence[str]) -> dict[str, Room]:
        wanted = select(rooms).where(rooms.c.url_hash.in_([url_hash(url) for url in urls]))
        with self._engine.connect() as connection:
            return {room.given.url: room for room in map(to_room, connection.execute(wanted))}

    def summary(self) -> Summary:
        everything = select(
            func.count().filter(alive), func.count().filter(~alive), func.coalesce(func.sum(rooms.c.version), 0)
        ).select_from(rooms)
        with self._engine.connect() as connection:
            return Summary(*map(int, connection.execute(everything).one()))

    def store(self, added: Sequence[Room], revised: Sequence[Room]) -> Sequence[bool]:
        # Everyone takes the rows' locks in one order: two who store the same rooms would else wait for each other.
        new = sorted(added, key=lambda room: room.given.url)
        changed = sorted(revised, key=lambda room: (room.id, room.version))
        creations, updates = (
            [self._event(type, room) for room in of] for type, of in (("RoomCreated", new), ("RoomUpdated", changed))
        )
        rows = [{"id": room.id, **columns(room), **origin(event)} for room, event in zip(new, creations, strict=True)]
        revisions = [_revision(room, event) for room, event in zip(changed, updates, strict=True)]
        events = [*creations, *updates]
        self._gate.admit(len(events))
        written = write_all(self._engine, self._addition(), rows, revisions, outbox, events)
        self._doorbell.ring()
        done = {(room.id, room.version): ok for room, ok in zip((*new, *changed), written, strict=True)}
        return [done[room.id, room.version] for room in (*added, *revised)]

    def kept(self, ids: Collection[str] | None, after: str | None, limit: int) -> Sequence[Kept]:
        wanted = select(rooms).order_by(rooms.c.id).limit(limit)
        if ids is not None:
            wanted = wanted.where(rooms.c.id.in_(ids))
        if after is not None:
            wanted = wanted.where(rooms.c.id > after)
        with self._engine.connect() as connection:
            return [to_kept(row) for row in connection.execute(wanted)]

    def restore(self, kept: Sequence[Kept]) -> Sequence[Restored]:
        self._gate.admit(len(kept))
        events = [self._told(each) for each in kept]
        for _ in range(RETRIES):
            try:
                with transaction(self._engine) as connection:
                    outcomes = restored(connection, kept, events)
            except IntegrityError:
                continue  # someone took a url after it was seen to be free
            self._doorbell.ring()
            return outcomes
        raise Unavailable("the database", "others keep taking the urls of these rooms")

    def _addition(self) -> Insert:
        insert_or_leave: Any = (postgresql if self._engine.dialect.name == "postgresql" else sqlite).insert
        addition: Insert = insert_or_leave(rooms).on_conflict_do_nothing(index_elements=["url_hash"]).returning(rooms.c.id)
        return addition

    def _event(self, type: str, room: Room) -> dict[str, Any]:
        return outbox_row(self._codec, type=type, subject=room.id, sequence=room.version, time=room.updated_at, data=room.shown())

    def _deletion(self, id: str, version: int, url: str, at: datetime) -> dict[str, Any]:
        data = {"id": id, "version": version, "url": url, "deleted_at": at}
        return outbox_row(self._codec, type="RoomDeleted", subject=id, sequence=version, time=at, data=data)

    def _told(self, kept: Kept) -> dict[str, Any]:
        """The event that told this version, once more; a tombstone does not know its url any more."""
        what = kept.what
        event = self._event(kept.event, what) if isinstance(what, Room) else self._deletion(kept.id, kept.version, "", what)
        return event | {name: getattr(kept.origin, name) or event[name] for name in ORIGIN}

    def _write(self, change: Insert | Update, event: Mapping[str, Any], url: str) -> bool:
        self._gate.admit()
        try:
            written = write(self._engine, change, outbox, event)
        except IntegrityError as error:
            with self._engine.connect() as connection:
                holder = connection.scalar(select(rooms.c.id).where(rooms.c.url_hash == url_hash(url)))
            # Gone again since then: who asks once more may well succeed.
            raise Conflict("url", holder or "") from error
        if written:
            self._doorbell.ring()
        return written

    def _refuse(self, id: str) -> None:
        """Says why no row was changed."""
        raise Stale(id, self.get(id).version)


def _current(id: str, version: int) -> Update:
    return update(rooms).where(rooms.c.id == id, rooms.c.version == version, alive)


def _revision(room: Room, event: Mapping[str, Any]) -> Update:
    return _current(room.id, room.version - 1).values(**columns(room), **origin(event))
