"""Rows that were written before there was all that rooms have now."""

from dataclasses import replace

import pytest
from alembic import command
from injector import Injector
from sqlalchemy import JSON, Engine, column, insert, table, update
from uuid_utils import uuid7

from common.config import load
from common.db.doorbell import Doorbell
from common.db.engine import transaction
from common.db.migrations import alembic_config, migrate
from common.images.names import image_key
from common.images.table import STORED, Images
from common.listings import named_images
from common.listings.ports import Kept, Origin
from common.testing.image_server import image_server
from common.testing.listings.tested import LATER
from common.testing.waiting import eventually, in_background
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


@pytest.fixture
def origin():
    with image_server() as server:
        yield server


def old_row(room, version: int = 1) -> dict[str, object]:
    """What a release before images writes of a room: its row, and nothing beside it."""
    times = {"created_at": room.created_at, "updated_at": room.updated_at}
    return {"version": version, "given": room.given.document(), "located": None, "is_visible": True} | times


def test_images_that_a_release_before_them_names_are_fetched_whenever_it_writes(
    opened, database_url, a_listing, origin, monkeypatch, tmp_path
):
    """Some were there before the migration; others come as long as a process of that release runs beside this one."""
    for name, seconds in (("SOON", 0.05), ("SELDOM", 0.05), ("BREATH", 0.0), ("PAGE", 2)):
        monkeypatch.setattr(named_images, name, seconds)
    names = iter(range(100))

    def naming() -> tuple[object, str]:
        url = origin.url(f"/good-{next(names)}.jpg")
        return a_listing(images=[{"url": url}, {"url": origin.url("/good-shared.jpg")}]), url

    database, (first, url) = opened(database_url, migrated=False), naming()
    migrated_to(database, "0005", id=first.id, **old_row(first))
    settings = {"DATABASE_URL": database_url, "BROKER_URL": f"sqlite:///{tmp_path}/broker.db", "DATA_DIR": str(tmp_path)}
    config = load(SERVICE.config, settings | {"IMAGES_ALLOW": origin.address})
    SERVICE.migrate(config)
    injector = Injector(SERVICE.modules(config))
    images = injector.get(Images)

    def stored(url: str) -> bool:
        found = images.find(image_key(url))
        return found is not None and found.state == STORED

    workers = SERVICE.running(injector, "images")
    try:
        with in_background(workers["images"]), in_background(workers["named images"]):
            eventually(lambda: stored(url))
            for _ in range(5):  # more than a page
                room, url = naming()
                with transaction(database.engine) as connection:
                    connection.execute(insert(TABLES.listings).values(id=room.id, **old_row(room)))
            eventually(lambda: stored(url))
            changed, url = naming()
            with transaction(database.engine) as connection:
                there = update(TABLES.listings).where(TABLES.listings.c.id == first.id)
                connection.execute(there.values(**old_row(changed, version=2)))
            eventually(lambda: stored(url))
        assert origin.asked["/good-shared.jpg"] == 1
    finally:
        injector.get(Doorbell).close()
        injector.get(Engine).dispose()
