"""Rows that were written before there was all that rooms have now."""

from dataclasses import replace

from alembic import command
from sqlalchemy import JSON, column, insert, table, update
from uuid_utils import uuid7

from common.db.engine import transaction
from common.db.migrations import alembic_config, migrate
from common.listings.ports import Kept, Origin
from common.testing.listings.tested import LATER
from rooms.adapters.tables import TABLES
from rooms.bootstrap import SERVICE


def migrated_to(database, revision: str, **row: object) -> None:
    """The tables as of this revision, with a row of rooms."""
    with transaction(database.engine) as connection:
        config = alembic_config(SERVICE.migrations)
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        connection.execute(insert(TABLES.listings).values(**row))


def test_rows_that_are_older_than_their_origins_have_none(opened, database_url):
    database = opened(database_url, migrated=False)
    migrated_to(database, "0001", id=(id := str(uuid7())), version=3, deleted_at=LATER)
    assert migrate(database.engine, SERVICE.migrations)[0] == "0001"
    assert database.listings.kept(None, None, 10) == [Kept(id=id, version=3, what=LATER, origin=Origin())]


def test_rows_that_are_older_than_owners_are_nobodys(opened, database_url, a_listing):
    database, room = opened(database_url, migrated=False), a_listing()
    row = {"id": room.id, "version": 1, "given": room.given.document(), "located": None, "is_visible": True}
    migrated_to(database, "0004", **row, created_at=room.created_at, updated_at=room.updated_at)
    assert migrate(database.engine, SERVICE.migrations)[0] == "0004"
    assert database.listings.get(room.id) == replace(room, owner="", located=None)
    assert database.listings.list({}, None, 10, "i|a") == [replace(room, located=None)]


def test_a_room_stored_before_a_field_came_reads_back_without_it(database, a_listing):
    room = a_listing(furnished=None)
    database.listings.add(room)
    given = {name: value for name, value in room.given.document().items() if name != "furnished"}
    with database.engine.begin() as connection:
        connection.execute(update(table("rooms", column("given", JSON))).values(given=given))
    assert database.listings.get(room.id) == room
    for furnished in (True, False):
        assert database.listings.list({"furnished": furnished}, None, 10) == []
