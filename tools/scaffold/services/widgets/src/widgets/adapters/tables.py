"""The tables of widgets, and the columns in which they are looked for."""

from sqlalchemy import Column, Index, String

from common.listings.rows import listing_tables
from widgets.domain import WIDGET

TABLES = listing_tables(WIDGET, Column("provider", String(100)))
Index("widgets_provider", TABLES.listings.c.provider, TABLES.listings.c.id)
