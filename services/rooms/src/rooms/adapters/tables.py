"""The tables of rooms, and the columns in which they are looked for."""

from sqlalchemy import Boolean, Column, Index, String

from common.listings.rows import listing_tables
from rooms.domain import ROOM

TABLES = listing_tables(ROOM, Column("provider", String(100)), Column("furnished", Boolean))
Index("rooms_provider", TABLES.listings.c.provider, TABLES.listings.c.id)
