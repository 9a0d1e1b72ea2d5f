"""Rooms in a relational database, each change one statement or transaction with its event."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Engine,
    Index,
    Insert,
    LargeBinary,
    MetaData,
    Row,
    String,
    Table,
    Update,
    Uuid,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from common.db.doorbell import Doorbell
from common.db.versioned import outbox_table, retried, write, write_all
from common.errors import Conflict, NotFound, Stale
from common.events.codec import Codec
from common.events.outbox import Gate, outbox_row
from rooms.domain import Area, Listing, Room
from rooms.ports import Filter, Rooms

metadata = MetaData()
rooms = Table(
    "rooms",
    metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("version", BigInteger, nullable=False),
    # All of the following are null in a tombstone. A url is too long to be an index's key; its hash is not.
    Column("url_hash", LargeBinary(32), unique=True),
    Column("provider", String(100)),
    Column("is_visible", Boolean),
    Column("given", JSON(none_as_null=True)),
    Column("located", JSON(none_as_null=True)),
    Column("created_at", DateTime(timezone=True)),
    Column("updated_at", DateTime(timezone=True)),
    Column("deleted_at", DateTime(timezone=True)),
    Index("rooms_provider", "provider", "id"),
)
outbox = outbox_table(metadata)
alive = rooms.c.deleted_at.is_(None)


class SqlRooms(Rooms):
    """Rooms on SQLAlchemy Core: SQLite or PostgreSQL."""

    def __init__(self, engine: Engine, codec: Codec, gate: Gate, doorbell: Doorbell) -> None:
        self._engine, self._codec, self._gate, self._doorbell = engine, codec, gate, doorbell

    def add(self, room: Room) -> None:
        self._write(insert(rooms).values(id=room.id, **_columns(room)), self._event("RoomCreated", room), room.given.url)

    def put(self, room: Room) -> None:
        if not self._write(_revision(room), self._event("RoomUpdated", room), room.given.url):
            self._refuse(room.id)

    def remove(self, room: Room, at: datetime) -> None:
        version = room.version + 1
        blank = dict.fromkeys(("url_hash", "provider", "is_visible", "given", "located", "created_at", "updated_at"))
        tombstone = _current(room.id, room.version).values(**blank, version=version, deleted_at=at)
        data = {"id": room.id, "version": version, "url": room.given.url, "deleted_at": at}
        event = outbox_row(self._codec, type="RoomDeleted", subject=room.id, sequence=version, time=at, data=data)
        if not self._write(tombstone, event, room.given.url):
            self._refuse(room.id)

    def get(self, id: str) -> Room:
        with self._engine.connect() as connection:
            row = connection.execute(select(rooms).where(rooms.c.id == id, alive)).one_or_none()
        if row is None:
            raise NotFound(id)
        return _room(row)

    def list(self, filter: Filter, after: str | None, limit: int) -> Sequence[Room]:
        wanted = select(rooms).where(alive).order_by(rooms.c.id).limit(limit)
        if after is not None:
            wanted = wanted.where(rooms.c.id > after)
        if filter.provider is not None:
            wanted = wanted.where(rooms.c.provider == filter.provider)
        if filter.is_visible is not None:
            wanted = wanted.where(rooms.c.is_visible == filter.is_visible)
        with self._engine.connect() as connection:
            return [_room(row) for row in connection.execute(wanted)]

    def by_urls(self, urls: Sequence[str]) -> dict[str, Room]:
        wanted = select(rooms).where(rooms.c.url_hash.in_([_hash(url) for url in urls]))
        with self._engine.connect() as connection:
            return {room.given.url: room for room in map(_room, connection.execute(wanted))}

    def store(self, added: Sequence[Room], revised: Sequence[Room]) -> Sequence[bool]:
        # Everyone takes the rows' locks in one order: two who store the same rooms would else wait for each other.
        new = sorted(added, key=lambda room: room.given.url)
        changed = sorted(revised, key=lambda room: (room.id, room.version))
        events = [self._event("RoomCreated", room) for room in new] + [self._event("RoomUpdated", room) for room in changed]
        rows = [{"id": room.id, **_columns(room)} for room in new]
        self._gate.admit(len(events))
        revisions = [_revision(room) for room in changed]
        written = retried(lambda: write_all(self._engine, self._addition(), rows, revisions, outbox, events))
        self._doorbell.ring()
        done = {(room.id, room.version): ok for room, ok in zip((*new, *changed), written, strict=True)}
        return [done[room.id, room.version] for room in (*added, *revised)]

    def _addition(self) -> Insert:
        insert_or_leave: Any = (postgresql if self._engine.dialect.name == "postgresql" else sqlite).insert
        addition: Insert = insert_or_leave(rooms).on_conflict_do_nothing(index_elements=["url_hash"]).returning(rooms.c.id)
        return addition

    def _event(self, type: str, room: Room) -> dict[str, Any]:
        return outbox_row(self._codec, type=type, subject=room.id, sequence=room.version, time=room.updated_at, data=room.shown())

    def _write(self, change: Insert | Update, event: Mapping[str, Any], url: str) -> bool:
        self._gate.admit()
        try:
            written = retried(lambda: write(self._engine, change, outbox, event))
        except IntegrityError as error:
            with self._engine.connect() as connection:
                holder = connection.scalar(select(rooms.c.id).where(rooms.c.url_hash == _hash(url)))
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


def _revision(room: Room) -> Update:
    return _current(room.id, room.version - 1).values(**_columns(room))


def _columns(room: Room) -> dict[str, Any]:
    given = room.given.document()
    return {
        "version": room.version,
        "url_hash": _hash(room.given.url),
        "provider": room.given.provider,
        "is_visible": room.given.is_visible,
        "given": given,
        "located": None if room.located is None else room.located.document(),
        "created_at": room.created_at,
        "updated_at": room.updated_at,
    }


def _room(row: Row[Any]) -> Room:
    return Room(
        id=row.id,
        version=row.version,
        given=Listing.restored(row.given),
        located=None if row.located is None else Area.restored(row.located),
        created_at=_utc(row.created_at),
        updated_at=_utc(row.updated_at),
    )


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)  # SQLite stores no zone: it is UTC


def _hash(url: str) -> bytes:
    return sha256(url.encode()).digest()
