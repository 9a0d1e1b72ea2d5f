"""What is particular to rooms in a database: events beside the rows, migrations, a full outbox, a database that is away."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from hashlib import sha256

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, insert, select, update
from uuid_utils import uuid7

from common.db.engine import open_engine, transaction
from common.db.migrations import alembic_config, migrate, pending
from common.errors import Unavailable
from common.listings.ports import Kept, Origin
from common.listings.showing import Showing
from common.observability.context import bind
from rooms.adapters.tables import TABLES
from rooms.bootstrap import SERVICE

outbox, table = TABLES.outbox, TABLES.listings
shown = Showing("http://127.0.0.1:8001/images")
LATER = datetime(2026, 5, 2, tzinfo=UTC)


def test_each_write_has_its_event_which_tells_the_whole_state(database, a_room):
    room = a_room()
    database.rooms.add(room)
    second = room.revised(room.given, None, LATER)
    database.rooms.put(second)
    database.rooms.remove(second, LATER)
    assert database.events() == [("RoomCreated", room.id, 1), ("RoomUpdated", room.id, 2), ("RoomDeleted", room.id, 3)]
    gone = {"id": room.id, "version": 3, "url": room.given.url, "deleted_at": LATER}
    assert database.decoded() == [shown(room), shown(second), gone]
    assert database.bell.rings == 3
    other = a_room()
    assert database.rooms.store([other], []) == [True]
    assert (database.decoded()[3], database.bell.rings) == (shown(other), 4)


def test_a_restored_rooms_event_is_the_one_that_told_it_first(opened, sqlite_url, postgres_url, a_room):
    one, other = opened(sqlite_url), opened(postgres_url)
    room, gone = a_room(), a_room()
    with bind("r-1"):
        one.rooms.add(room)
        one.rooms.add(gone)
        one.rooms.remove(gone, LATER)
    given = one.rooms.kept(None, None, 10)
    assert {each.outcome for each in other.rooms.restore(given)} == {"restored"}
    assert (other.rooms.kept(None, None, 10), other.bell.rings) == (given, 1)

    def told(database) -> dict[str, tuple[str, ...]]:
        with database.engine.connect() as connection:
            rows = connection.execute(select(outbox))
            return {
                row.event_id: (row.type, row.subject, row.sequence, row.time, row.traceparent, row.request_id) for row in rows
            }

    before = told(one)
    assert told(other) == {event_id: before[event_id] for event_id in (each.origin.event_id for each in given)}
    assert {datum["id"]: datum.get("name", datum["url"]) for datum in other.decoded()} == {room.id: room.given.name, gone.id: ""}


def test_rows_that_are_older_than_their_origins_have_none(opened, database_url, a_room):
    database = opened(database_url, migrated=False)
    with transaction(database.engine) as connection:
        config = alembic_config(SERVICE.migrations)
        config.attributes["connection"] = connection
        command.upgrade(config, "0001")
        connection.execute(insert(table).values(id=(id := str(uuid7())), version=3, deleted_at=LATER))
    assert migrate(database.engine, SERVICE.migrations)[0] == "0001"
    assert database.rooms.kept(None, None, 10) == [Kept(id=id, version=3, what=LATER, origin=Origin())]


def test_a_full_outbox_refuses_and_writes_nothing(opened, database_url, a_room):
    database = opened(database_url, outbox_max=3)
    rooms = [a_room() for _ in range(3)]
    for room in rooms:
        database.rooms.add(room)
    for write in (
        lambda: database.rooms.add(a_room()),
        lambda: database.rooms.put(room.revised(room.given, None, LATER)),
        lambda: database.rooms.remove(room, LATER),
        lambda: database.rooms.store([a_room()], []),
        lambda: database.rooms.restore([Kept(id=room.id, version=9, what=LATER, origin=Origin())]),
    ):
        with pytest.raises(Unavailable) as full:
            write()
        assert (full.value.neighbour, full.value.retry_after) == ("the outbox", 5)
    assert database.rooms.list({}, None, 100) == sorted(rooms, key=lambda room: room.id)


def test_who_store_the_same_rooms_in_another_order_do_not_deadlock(opened, postgres_url, a_room):
    database = opened(postgres_url)
    first, middle, last = (f"https://a.example/{number}" for number in (1, 2, 3))
    room = a_room(url=middle)

    def waiting() -> int:
        asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        with database.engine.connect() as connection:
            return connection.exec_driver_sql(asked).scalar_one()

    def blocked(number: int) -> None:
        deadline = time.monotonic() + 10
        while waiting() != number:
            assert time.monotonic() < deadline, "nobody waits where somebody should"

    with ThreadPoolExecutor(2) as pool, database.engine.connect() as rival:
        # The one takes the first url and waits for the middle one; the other takes the last, unless it waits for the first before.
        rival.exec_driver_sql("BEGIN")
        rival.execute(insert(table).values(id=room.id, version=1, url_hash=sha256(middle.encode()).digest()))
        one = pool.submit(database.rooms.store, [a_room(url=url) for url in (first, middle, last)], [])
        blocked(1)
        other = pool.submit(database.rooms.store, [a_room(url=url) for url in (last, first)], [])
        blocked(2)
        rival.exec_driver_sql("ROLLBACK")
        assert (one.result(10), other.result(10)) == ([True, True, True], [False, False])
    assert len(database.events()) == 3


def test_the_migrations_make_what_the_adapter_expects(database, database_url):
    assert not pending(database.engine, SERVICE.migrations)
    with database.engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), TABLES.metadata) == []
    before, after = migrate(database.engine, SERVICE.migrations)
    assert before == after


def test_a_room_stored_before_a_field_came_reads_back_without_it(database, a_room):
    room = a_room(furnished=None)
    database.rooms.add(room)
    given = {name: value for name, value in room.given.document().items() if name != "furnished"}
    with database.engine.begin() as connection:
        connection.execute(update(table).values(given=given))
    assert database.rooms.get(room.id) == room
    for furnished in (True, False):
        assert database.rooms.list({"furnished": furnished}, None, 10) == []


def test_two_may_migrate_at_once(database_url):
    failures = []

    def run() -> None:
        engine = open_engine(database_url)
        try:
            migrate(engine, SERVICE.migrations)
        except Exception as error:
            failures.append(error)
        finally:
            engine.dispose()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    engine = open_engine(database_url)
    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(outbox)) == 0
    engine.dispose()


def test_an_absent_database_is_unavailable(opened, tmp_path):
    (tmp_path / "file").write_text("not a directory, not a database: " * 40)
    for url in (f"sqlite:///{tmp_path}/file", "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"):
        rooms = opened(url, migrated=False).rooms
        with pytest.raises(Unavailable) as absent:
            rooms.get(str(uuid7()))
        assert absent.value.neighbour == "the database"
        assert "secret" not in str(absent.value)
