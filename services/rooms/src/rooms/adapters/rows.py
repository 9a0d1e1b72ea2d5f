"""Rooms as rows: the tables, and what stands in their columns."""

from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, DateTime, Index, LargeBinary, MetaData, Row, String, Table, Uuid

from common.db.versioned import outbox_table
from rooms.domain import Area, Listing, Room
from rooms.ports import Kept, Origin

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
    # Of the last write; empty in rows that are older than these columns.
    Column("event_id", String(36), nullable=False, server_default=""),
    Column("request_id", String(128), nullable=False, server_default=""),
    Column("traceparent", String(64), nullable=False, server_default=""),
    Index("rooms_provider", "provider", "id"),
)
outbox = outbox_table(metadata)
alive = rooms.c.deleted_at.is_(None)
#: What a row shares with the event that tells it.
ORIGIN = ("event_id", "request_id", "traceparent")
#: What a tombstone lacks of a room.
BLANK: Mapping[str, Any] = dict.fromkeys(("url_hash", "provider", "is_visible", "given", "located", "created_at", "updated_at"))


def columns(room: Room) -> dict[str, Any]:
    """Of a room's row, all but what never changes and what its event tells."""
    return {
        "version": room.version,
        "url_hash": url_hash(room.given.url),
        "provider": room.given.provider,
        "is_visible": room.given.is_visible,
        "given": room.given.document(),
        "located": None if room.located is None else room.located.document(),
        "created_at": room.created_at,
        "updated_at": room.updated_at,
    }


def origin(event: Mapping[str, Any]) -> dict[str, str]:
    """Of a row, what it shares with the outbox row of its last change."""
    return {name: event[name] for name in ORIGIN}


def to_room(row: Row[Any]) -> Room:
    return Room(
        id=row.id,
        version=row.version,
        given=Listing.restored(row.given),
        located=None if row.located is None else Area.restored(row.located),
        created_at=_utc(row.created_at),
        updated_at=_utc(row.updated_at),
    )


def to_kept(row: Row[Any]) -> Kept:
    return Kept(
        id=row.id,
        version=row.version,
        what=to_room(row) if row.deleted_at is None else _utc(row.deleted_at),
        origin=Origin(**{name: getattr(row, name) for name in ORIGIN}),
    )


def url_hash(url: str) -> bytes:
    return sha256(url.encode()).digest()


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)  # SQLite stores no zone: it is UTC
