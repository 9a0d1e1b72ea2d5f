"""The tables of items, and of what is known of rooms."""

from sqlalchemy import JSON, BigInteger, Column, Index, LargeBinary, String, Table, Uuid

from common.listings.rows import listing_tables
from items.domain import ITEM

TABLES = listing_tables(
    ITEM, Column("provider", String(100)), Column("category", String(100)), Column("room_id", Uuid(as_uuid=False))
)
Index("items_provider", TABLES.listings.c.provider, TABLES.listings.c.id)
Index("items_category", TABLES.listings.c.category, TABLES.listings.c.id)
Index("items_room", TABLES.listings.c.room_id, TABLES.listings.c.id)

known_rooms = Table(
    "known_rooms",
    TABLES.metadata,
    Column("id", Uuid(as_uuid=False), primary_key=True),
    Column("version", BigInteger, nullable=False),
    Column("place", JSON(none_as_null=True)),  # null once the room has been deleted
    # Of the place but for its version, so that one statement can tell whether it has changed.
    Column("place_hash", LargeBinary(32), nullable=False),
    # Not null while items may not tell yet where their room is; another one each time that this may have become so.
    Column("unsettled", Uuid(as_uuid=False)),
)
_UNSETTLED = known_rooms.c.unsettled.is_not(None)
# By the mark, which is random: rooms that change all the time hold up no others.
Index("known_rooms_unsettled", known_rooms.c.unsettled, postgresql_where=_UNSETTLED, sqlite_where=_UNSETTLED)
