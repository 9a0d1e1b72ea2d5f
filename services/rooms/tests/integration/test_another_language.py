"""Another language's Avro reads what we write: exports, and events as they stand in the outbox and in messages."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

import schemas
from backing import java_avro
from backing.elasticsearch import find_jdk
from backing.place import CannotStart
from common.events.catalogue import Catalogue
from common.events.container import Container
from common.listings.export import exported
from common.testing.listings.tested import LATER, SHOWING
from common.testing.real_servers import fail_or_skip
from rooms.adapters.tables import TABLES
from rooms.domain import ROOM

READER = Path(__file__).with_name("ReadAvro.java")
MICROSECONDS = 1_000_000

ReadInJava = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def read_in_java() -> ReadInJava:
    """`read_in_java(what, *paths)`: what Apache Avro for Java makes of it."""
    try:
        java, jars = find_jdk() / "bin" / "java", java_avro.jars(fetch=False)
    except CannotStart as error:
        fail_or_skip(f"Avro for Java is missing: {error}")

    def read(*arguments: object) -> list[dict[str, Any]]:
        command = [str(java), "-cp", ":".join(map(str, jars)), str(READER), *map(str, arguments)]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    return read


@pytest.fixture
def filled(opened, sqlite_url, a_listing):
    """A database with a few rooms, one hidden and one deleted; more than a block of them."""
    database = opened(sqlite_url)
    rooms = [a_listing(description="Zeile\n" * 100, is_visible=number != 3, monthly_price=None) for number in range(150)]
    for room in rooms:
        database.listings.add(room)
    database.listings.put(rooms[1].revised(rooms[1].given, rooms[1].located, LATER))
    database.listings.remove(rooms[2], LATER)
    return database


def test_java_reads_an_export_record_by_record(filled, read_in_java, tmp_path):
    kept = filled.listings.kept(None, None, 1000)
    file = tmp_path / "rooms.avro"
    file.write_bytes(b"".join(Container(Catalogue.load(), "RoomExported").write(exported(ROOM, SHOWING, each) for each in kept)))
    read = read_in_java("export", file)
    assert [(each["id"], each["version"], each["event_id"]) for each in read] == [
        (each.id, each.version, each.origin.event_id) for each in kept
    ]
    for datum, each in zip(read, kept, strict=True):
        if each.listing is None:
            assert (datum["room"], datum["deleted_at"]) == (None, LATER.timestamp() * MICROSECONDS)
        else:
            assert (datum["room"]["name"], datum["room"]["is_visible"]) == (
                each.listing.given.name,
                each.listing.given.is_visible,
            )
            assert (datum["derived"], datum["deleted_at"]) == (["monthly_price"], None)
    assert [each["version"] for each in read if each["room"] is None] == [2]


def test_java_decodes_events_by_the_fingerprints_they_bear(filled, read_in_java, tmp_path):
    with filled.engine.connect() as connection:
        bodies = connection.scalars(select(TABLES.outbox.c.body).order_by(TABLES.outbox.c.id)).all()
    file = tmp_path / "events"
    file.write_text("\n".join(body.hex() for body in bodies))
    read = read_in_java("events", schemas.DIRECTORY, file)
    told = filled.decoded()
    assert [(each["id"], each["version"], each["url"]) for each in read] == [
        (each["id"], each["version"], each["url"]) for each in told
    ]
    assert [each.get("name") for each in read] == [each.get("name") for each in told]
    assert read[-1]["deleted_at"] == LATER.timestamp() * MICROSECONDS
