"""What is particular to listings in a database: events beside the rows, migrations, a full outbox, a database that is away."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import func, insert, select
from uuid_utils import uuid7

from common.db.engine import open_engine
from common.db.migrations import migrate, pending
from common.errors import Unavailable
from common.listings import sql
from common.listings.ports import Kept, Once, Origin
from common.observability.context import bind
from common.testing.listings.repository import Database, Opened
from common.testing.listings.tested import LATER, NOW, SHOWING, MakeListing, Tested


class TestDatabase:
    def test_each_write_has_its_event_which_tells_the_whole_state(self, database: Database, a_listing: MakeListing) -> None:
        listing = a_listing()
        database.listings.add(listing)
        second = listing.revised(listing.given, None, LATER)
        database.listings.put(second)
        database.listings.remove(second, LATER)
        assert database.events() == [("Created", listing.id, 1), ("Updated", listing.id, 2), ("Deleted", listing.id, 3)]
        gone = {"id": listing.id, "version": 3, "url": listing.given.url, "deleted_at": LATER}
        assert database.decoded() == [SHOWING(listing), SHOWING(second), gone]
        assert database.bell.rings == 3
        other = a_listing()
        assert database.listings.store([other], []) == [True]
        assert (database.decoded()[3], database.bell.rings) == (SHOWING(other), 4)

    def test_a_restored_listings_event_is_the_one_that_told_it_first(
        self, opened: Opened, sqlite_url: str, postgres_url: str, tested: Tested, a_listing: MakeListing
    ) -> None:
        one, other = opened(sqlite_url), opened(postgres_url)
        listing, gone = a_listing(), a_listing()
        with bind("r-1"):
            one.listings.add(listing)
            one.listings.add(gone)
            one.listings.remove(gone, LATER)
        given = one.listings.kept(None, None, 10)
        assert {each.outcome for each in other.listings.restore(given)} == {"restored"}
        assert (other.listings.kept(None, None, 10), other.bell.rings) == (given, 1)

        def told(database: Database) -> dict[str, tuple[str, ...]]:
            with database.engine.connect() as connection:
                rows = connection.execute(select(tested.service.tables.outbox))
                return {
                    row.event_id: (row.type, row.subject, row.sequence, row.time, row.traceparent, row.request_id) for row in rows
                }

        before = told(one)
        assert told(other) == {event_id: before[event_id] for event_id in (each.origin.event_id for each in given)}
        assert {datum["id"]: datum.get("name", datum["url"]) for datum in other.decoded()} == {
            listing.id: listing.given.name,
            gone.id: "",
        }

    def test_a_full_outbox_refuses_and_writes_nothing(self, opened: Opened, database_url: str, a_listing: MakeListing) -> None:
        database = opened(database_url, outbox_max=3)
        listings = [a_listing() for _ in range(3)]
        for listing in listings:
            database.listings.add(listing)
        for write in (
            lambda: database.listings.add(a_listing()),
            lambda: database.listings.put(listing.revised(listing.given, None, LATER)),
            lambda: database.listings.remove(listing, LATER),
            lambda: database.listings.store([a_listing()], []),
            lambda: database.listings.restore([Kept(id=listing.id, version=9, what=LATER, origin=Origin())]),
        ):
            with pytest.raises(Unavailable) as full:
                write()
            assert (full.value.neighbour, full.value.retry_after) == ("the outbox", 5)
        assert database.listings.list({}, None, 100) == sorted(listings, key=lambda listing: listing.id)

    def test_who_store_the_same_listings_in_another_order_do_not_deadlock(
        self, opened: Opened, postgres_url: str, tested: Tested, a_listing: MakeListing
    ) -> None:
        database, table = opened(postgres_url), tested.service.tables.listings
        first, middle, last = (f"https://a.example/{number}" for number in (1, 2, 3))
        listing = a_listing(url=middle)

        def waiting() -> int:
            asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            with database.engine.connect() as connection:
                return int(connection.exec_driver_sql(asked).scalar_one())

        def blocked(number: int) -> None:
            deadline = time.monotonic() + 10
            while waiting() != number:
                assert time.monotonic() < deadline, "nobody waits where somebody should"

        with ThreadPoolExecutor(2) as pool, database.engine.connect() as rival:
            # The one takes the first url and waits for the middle one; the other takes the last, unless it waits for the first before.
            rival.exec_driver_sql("BEGIN")
            rival.execute(insert(table).values(id=listing.id, version=1, url_hash=sha256(middle.encode()).digest()))
            one = pool.submit(database.listings.store, [a_listing(url=url) for url in (first, middle, last)], [])
            blocked(1)
            other = pool.submit(database.listings.store, [a_listing(url=url) for url in (last, first)], [])
            blocked(2)
            rival.exec_driver_sql("ROLLBACK")
            assert (one.result(10), other.result(10)) == ([True, True, True], [False, False])
        assert len(database.events()) == 3

    def test_the_migrations_make_what_the_adapter_expects(self, database: Database, tested: Tested) -> None:
        migrations = tested.service.migrations
        assert not pending(database.engine, migrations)
        with database.engine.connect() as connection:
            assert compare_metadata(MigrationContext.configure(connection), tested.service.tables.metadata) == []
        before, after = migrate(database.engine, migrations)
        assert before == after

    def test_two_may_migrate_at_once(self, database_url: str, tested: Tested) -> None:
        failures = []

        def run() -> None:
            engine = open_engine(database_url)
            try:
                migrate(engine, tested.service.migrations)
            except Exception as error:  # noqa: BLE001 (of whatever kind: the test fails for it)
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
            assert connection.scalar(select(func.count()).select_from(tested.service.tables.outbox)) == 0
        engine.dispose()

    def test_an_absent_database_is_unavailable(self, opened: Opened, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a directory, not a database: " * 40)
        for url in (f"sqlite:///{tmp_path}/file", "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"):
            listings = opened(url, migrated=False).listings
            with pytest.raises(Unavailable) as absent:
                listings.get(str(uuid7()))
            assert absent.value.neighbour == "the database"
            assert "secret" not in str(absent.value)

    def test_keys_are_forgotten_a_portion_at_a_time(
        self, database: Database, tested: Tested, a_listing: MakeListing, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        keys = tested.service.tables.keys
        old = [{"key": bytes([n]) * 32, "body": b"b" * 32, "answer": b"{}", "created_at": NOW} for n in range(25)]
        with database.engine.connect() as connection:
            connection.execute(insert(keys), old)
        database.listings.add(a_listing(), Once(b"k" * 32, b"b" * 32))  # of this very moment
        monkeypatch.setattr(sql, "FORGOTTEN", 10)
        assert database.listings.forget_keys(LATER) == 25
        with database.engine.connect() as connection:
            assert connection.scalars(select(keys.c.key)).all() == [b"k" * 32]
