"""Whether a room is furnished, to list rooms by it; null, as it is for every room so far, is: not known."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("rooms", sa.Column("furnished", sa.Boolean()))


def downgrade() -> None:
    op.drop_column("rooms", "furnished")
