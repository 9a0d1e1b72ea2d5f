"""Each row keeps which event told its version, and the request and trace that made it: an index that is built anew has its lineage."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

#: Of rows that are older than this nobody knows it any more.
UNKNOWN = ""


def upgrade() -> None:
    for name, length in (("event_id", 36), ("request_id", 128), ("traceparent", 64)):
        op.add_column("rooms", sa.Column(name, sa.String(length), nullable=False, server_default=UNKNOWN))


def downgrade() -> None:
    with op.batch_alter_table("rooms") as rooms:
        for name in ("event_id", "request_id", "traceparent"):
            rooms.drop_column(name)
