"""Whose a room is, empty for those so far; and the keys with which clients send a creation again, and mean the same one."""

import sqlalchemy as sa
from alembic import op

from common.listings.migrations import create_idempotency_keys

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("rooms", sa.Column("owner", sa.String(300)))
    create_idempotency_keys()


def downgrade() -> None:
    op.drop_table("idempotency_keys")
    op.drop_column("rooms", "owner")
