"""Images that are to be fetched: those that rooms name so far, and from now on each as it is named."""

import sqlalchemy as sa
from alembic import op

from common.images.table import wanted
from common.listings.migrations import create_images

revision = "0006"
down_revision = "0005"

#: Rooms that are read at a time.
PAGE = 500


def upgrade() -> None:
    create_images()
    connection = op.get_bind()
    rooms = sa.table("rooms", sa.column("id", sa.Uuid(as_uuid=False)), sa.column("given", sa.JSON()))
    images = sa.table("images", sa.column("key"), sa.column("url"), sa.column("host"))
    page, known = sa.select(rooms).where(rooms.c.given.is_not(None)).order_by(rooms.c.id).limit(PAGE), set[str]()
    rows = connection.execute(page).all()
    while rows:
        named = wanted(image["url"] for row in rows for image in (row.given or {}).get("images", ()))
        new = [each for each in named if each["key"] not in known]
        known |= {each["key"] for each in new}
        if new:
            connection.execute(sa.insert(images), new)
        rows = connection.execute(page.where(rooms.c.id > rows[-1].id)).all()


def downgrade() -> None:
    op.drop_table("images")
