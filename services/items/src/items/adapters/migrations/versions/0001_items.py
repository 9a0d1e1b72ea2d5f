"""Items, the outbox of their events, the idempotency keys of their clients, and what is known of rooms."""

import sqlalchemy as sa
from alembic import op

from common.listings.migrations import create_listing_tables, drop_listing_tables

revision = "items_0001"
down_revision = None


def upgrade() -> None:
    create_listing_tables(
        "items", sa.Column("provider", sa.String(100)), sa.Column("category", sa.String(100)), sa.Column("room_id", sa.Uuid())
    )
    for name, column in (("items_provider", "provider"), ("items_category", "category"), ("items_room", "room_id")):
        op.create_index(name, "items", [column, "id"])
    op.create_table(
        "known_rooms",
        sa.Column("id", sa.Uuid(), primary_key=True),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("place", sa.JSON()),
        sa.Column("place_hash", sa.LargeBinary(32), nullable=False),
        sa.Column("unsettled", sa.Uuid()),
    )
    unsettled = sa.column("unsettled", sa.Uuid()).is_not(None)
    op.create_index("known_rooms_unsettled", "known_rooms", ["unsettled"], postgresql_where=unsettled, sqlite_where=unsettled)


def downgrade() -> None:
    op.drop_table("known_rooms")
    drop_listing_tables("items")
