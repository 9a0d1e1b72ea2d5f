"""Images that are to be fetched, from now on each as it is named; those of rooms that are there the worker notes (named_images.py)."""

from alembic import op

from common.listings.migrations import create_images

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    create_images()


def downgrade() -> None:
    op.drop_table("images")
