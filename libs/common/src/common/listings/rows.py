"""Listings as rows: the tables that each kind has, and what stands in their columns."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

from sqlalchemy import JSON, BigInteger, Boolean, Column, DateTime, LargeBinary, MetaData, Row, String, Table, Uuid

from common.db.versioned import outbox_table
from common.images.table import images_table
from common.listings.domain import Aggregate, Kind
from common.listings.ports import Kept, Origin

#: What a row shares with the event that tells it.
ORIGIN = ("event_id", "request_id", "traceparent")
#: The columns of every kind, and those of them that a tombstone keeps.
_COMMON = ("url_hash", "is_visible", "owner", "given", "located", "created_at", "updated_at")


@dataclass(frozen=True)
class Tables:
    """A kind's own tables. `filters` are the columns in which it keeps fields that lists are filtered by."""

    metadata: MetaData
    listings: Table
    outbox: Table
    keys: Table
    images: Table
    filters: tuple[str, ...]

    @property
    def blank(self) -> dict[str, None]:
        """What a tombstone lacks of a listing."""
        return dict.fromkeys((*_COMMON, *self.filters))


def listing_tables(kind: Kind, *filters: Column[Any]) -> Tables:
    """The tables of this kind; `filters` are columns with the names of fields that are given."""
    metadata = MetaData()
    listings = Table(
        kind.plural,
        metadata,
        Column("id", Uuid(as_uuid=False), primary_key=True),
        Column("version", BigInteger, nullable=False),
        # All of the following are null in a tombstone. A url is too long to be an index's key; its hash is not.
        Column("url_hash", LargeBinary(32), unique=True),
        *filters,
        Column("is_visible", Boolean),
        Column("owner", String(300)),
        Column("given", JSON(none_as_null=True)),
        Column("located", JSON(none_as_null=True)),
        Column("created_at", DateTime(timezone=True)),
        Column("updated_at", DateTime(timezone=True)),
        Column("deleted_at", DateTime(timezone=True)),
        # Of the last write; empty in rows that are older than these columns.
        Column("event_id", String(36), nullable=False, server_default=""),
        Column("request_id", String(128), nullable=False, server_default=""),
        Column("traceparent", String(64), nullable=False, server_default=""),
    )
    keys = Table(
        "idempotency_keys",
        metadata,
        Column("key", LargeBinary(32), primary_key=True),
        Column("body", LargeBinary(32), nullable=False),
        Column("answer", LargeBinary, nullable=False),
        Column("created_at", DateTime(timezone=True), nullable=False, index=True),
    )
    return Tables(
        metadata, listings, outbox_table(metadata), keys, images_table(metadata), tuple(column.name for column in filters)
    )


def columns(tables: Tables, listing: Aggregate) -> dict[str, Any]:
    """Of a listing's row, all but what never changes and what its event tells."""
    given = listing.given
    return {
        "version": listing.version,
        "url_hash": None if given.url is None else url_hash(given.url),
        **{name: getattr(given, name) for name in tables.filters},
        "is_visible": listing.is_visible,
        "owner": listing.owner,
        "given": given.document(),
        "located": None if listing.located is None else listing.located.document(),
        "created_at": listing.created_at,
        "updated_at": listing.updated_at,
    }


def origin(event: Mapping[str, Any]) -> dict[str, str]:
    """Of a row, what it shares with the outbox row of its last change."""
    return {name: event[name] for name in ORIGIN}


def to_listing(kind: Kind, row: Row[Any]) -> Aggregate:
    return kind.listing(
        id=row.id,
        version=row.version,
        owner=row.owner or "",  # null in rows that are older than this column
        given=kind.given.restored(row.given),
        located=None if row.located is None else kind.located.restored(row.located),
        created_at=_utc(row.created_at),
        updated_at=_utc(row.updated_at),
    )


def to_kept(kind: Kind, row: Row[Any]) -> Kept:
    return Kept(
        id=row.id,
        version=row.version,
        what=to_listing(kind, row) if row.deleted_at is None else _utc(row.deleted_at),
        origin=Origin(**{name: getattr(row, name) for name in ORIGIN}),
    )


def url_hash(url: str) -> bytes:
    return sha256(url.encode()).digest()


def _utc(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)  # SQLite stores no zone: it is UTC
