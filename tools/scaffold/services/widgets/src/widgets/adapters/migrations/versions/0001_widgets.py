"""Widgets, the outbox of their events, the idempotency keys of their clients, and their images."""

import sqlalchemy as sa
from alembic import op

from common.listings.migrations import create_listing_tables, drop_listing_tables

revision = "widgets_0001"
down_revision = None


def upgrade() -> None:
    create_listing_tables("widgets", sa.Column("provider", sa.String(100)))
    op.create_index("widgets_provider", "widgets", ["provider", "id"])


def downgrade() -> None:
    drop_listing_tables("widgets")
