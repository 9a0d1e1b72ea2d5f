"""A row, its event and what stands beside them are written as one, on both databases; or nothing is."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import Column, Connection, Engine, Integer, MetaData, String, Table, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from common.db.engine import Contended, open_engine, transaction
from common.db.versioned import Beside, NotHeld, merged, outbox_table, retried, write, write_all

METADATA = MetaData()
THINGS = Table(
    "things",
    METADATA,
    Column("id", String(10), primary_key=True),
    Column("version", Integer),
    Column("name", String(10), unique=True),
)
NOTES = Table("notes", METADATA, Column("key", String(10), primary_key=True), Column("text", String(10)))
PLACES = Table("places", METADATA, Column("id", String(10), primary_key=True), Column("version", Integer))
OUTBOX = outbox_table(METADATA)


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    with transaction(engine) as connection:
        METADATA.create_all(connection)
        connection.execute(insert(PLACES), [{"id": "here", "version": 1}, {"id": "there", "version": 1}])
    yield engine
    engine.dispose()


def event(subject: str, sequence: int = 1) -> dict[str, Any]:
    told = {"event_id": f"e-{subject}", "type": "T", "subject": subject, "sequence": sequence, "time": 0}
    return told | {"traceparent": "", "request_id": "", "body": b"b"}


def addition(id: str, name: str | None = None) -> Any:
    return insert(THINGS).values(id=id, version=1, name=name or id)


def revision(id: str, version: int) -> Any:
    return update(THINGS).where(THINGS.c.id == id, THINGS.c.version == version).values(version=version + 1)


def addable(engine: Engine) -> Any:
    dialect: Any = postgresql if engine.dialect.name == "postgresql" else sqlite
    return dialect.insert(THINGS).on_conflict_do_nothing(index_elements=["name"]).returning(THINGS.c.id)


def note(key: str, text: str = "", *, spare: bool = False) -> Beside:
    return Beside(NOTES, [{"key": key, "text": text}], spare)


def at(id: str, version: int) -> Any:
    """Holds while this place has this version."""

    def held(connection: Connection) -> bool:
        here = select(PLACES.c.version).where(PLACES.c.id == id).with_for_update(read=True)
        return connection.scalar(here) == version

    return held


def there(engine: Engine) -> tuple[dict[str, int], list[str], dict[str, str]]:
    """(things by version, subjects of events, notes)"""
    with engine.connect() as connection:
        return (
            {row.id: row.version for row in connection.execute(select(THINGS))},
            list(connection.scalars(select(OUTBOX.c.subject).order_by(OUTBOX.c.id))),
            {row.key: row.text for row in connection.execute(select(NOTES))},
        )


HELD = [None, at("here", 1)]


@pytest.mark.parametrize("held", HELD, ids=["free", "held"])
class TestOne:
    def test_all_of_it_is_there_or_nothing(self, engine, held):
        assert write(engine, addition("a"), OUTBOX, event("a"), [note("k"), note("l", "x"), Beside(NOTES, [])], held)
        assert there(engine) == ({"a": 1}, ["a"], {"k": "", "l": "x"})
        assert write(engine, revision("a", 1), OUTBOX, event("a", 2), [note("m")], held)
        with pytest.raises(IntegrityError):
            write(engine, addition("b"), OUTBOX, event("b"), [note("n"), note("k", "again")], held)
        with pytest.raises(IntegrityError):
            write(engine, addition("b", "a"), OUTBOX, event("b"), [note("n")], held)
        assert there(engine) == ({"a": 2}, ["a", "a"], {"k": "", "l": "x", "m": ""})

    def test_what_finds_no_row_to_change_writes_nothing_beside_it(self, engine, held):
        assert not write(engine, revision("a", 1), OUTBOX, event("a", 2), [note("k")], held)
        assert there(engine) == ({}, [], {})

    def test_what_is_there_already_is_spared(self, engine, held):
        assert write(engine, addition("a"), OUTBOX, event("a"), [note("k", "first", spare=True)], held)
        rows = [{"key": "k", "text": "second"}, {"key": "l", "text": "second"}]
        assert write(engine, addition("b"), OUTBOX, event("b"), [Beside(NOTES, rows, spare=True)], held)
        assert there(engine) == ({"a": 1, "b": 1}, ["a", "b"], {"k": "first", "l": "second"})


def test_what_is_not_held_any_more_writes_nothing(engine):
    with pytest.raises(NotHeld):
        write(engine, addition("a"), OUTBOX, event("a"), [note("k")], at("here", 2))
    assert there(engine) == ({}, [], {})


def test_what_is_held_does_not_change_until_it_is_written(engine):
    looked, moving, seen = threading.Event(), threading.Event(), []

    def held(connection: Connection) -> bool:
        ok = at("here", 1)(connection)
        looked.set()
        moving.wait(10)
        with engine.connect() as other:
            if engine.dialect.name == "postgresql":  # which shows who waits; SQLite lets one writer in at a time anyway
                waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
                while other.exec_driver_sql(waits).scalar_one() == 0:
                    pass
        return ok

    def move() -> None:
        looked.wait(10)
        moving.set()
        with transaction(engine) as connection:
            connection.execute(update(PLACES).values(version=2))
            seen.append(connection.scalar(select(func.count()).select_from(THINGS)))

    with ThreadPoolExecutor(1) as pool:
        moved = pool.submit(move)
        assert write(engine, addition("a"), OUTBOX, event("a"), (), held)
        moved.result(20)
    assert seen == [1], "the place moved only once the thing was there"
    with pytest.raises(NotHeld):
        write(engine, addition("b"), OUTBOX, event("b"), (), at("here", 1))


class TestMany:
    def test_what_cannot_be_written_has_nothing_beside_it_and_leaves_the_rest_alone(self, engine):
        write(engine, addition("a"), OUTBOX, event("a"))
        rows = [{"id": id, "version": 1, "name": name} for id, name in (("b", "b"), ("c", "a"), ("d", "d"))]
        changes = [revision("a", 1), revision("a", 7)]
        subjects = ["b", "c", "d", "a", "stale"]
        beside = [[note(f"k-{subject}")] for subject in subjects]
        done = write_all(engine, addable(engine), rows, changes, OUTBOX, [event(each) for each in subjects], beside)
        assert done == [True, False, True, True, False]
        assert there(engine) == ({"a": 2, "b": 1, "d": 1}, ["a", "b", "d", "a"], {"k-b": "", "k-d": "", "k-a": ""})

    def test_each_that_is_not_held_is_left_out(self, engine):
        write(engine, addition("a"), OUTBOX, event("a"))
        write(engine, addition("b"), OUTBOX, event("b"))
        rows = [{"id": id, "version": 1, "name": id} for id in ("c", "d")]
        events = [event(each) for each in ("c", "d", "a", "b")]
        beside = [[note(each)] for each in ("c", "d", "a", "b")]
        asked = []

        def held(connection: Connection) -> list[bool]:
            asked.append(at("here", 1)(connection))
            return [True, False, False, True]

        done = write_all(engine, addable(engine), rows, [revision("a", 1), revision("b", 1)], OUTBOX, events, beside, held)
        assert (done, asked) == ([True, False, False, True], [True])
        assert there(engine) == ({"a": 1, "b": 2, "c": 1}, ["a", "b", "c", "b"], {"c": "", "b": ""})

    def test_nothing_of_it_is_there_where_something_beside_cannot_be(self, engine):
        rows = [{"id": id, "version": 1, "name": id} for id in ("c", "d")]
        with pytest.raises(IntegrityError):
            write_all(engine, addable(engine), rows, [], OUTBOX, [event("c"), event("d")], [[note("k")], [note("k")]])
        assert there(engine) == ({}, [], {})

    def test_nothing_is_fine(self, engine):
        assert write_all(engine, addable(engine), [], [], OUTBOX, []) == []
        assert write_all(engine, addable(engine), [], [], OUTBOX, [], [], lambda _: []) == []


def test_who_write_the_same_rows_beside_in_another_order_do_not_wait_for_each_other(engine):
    keys = [f"k-{number:02}" for number in range(50)]

    def store(number: int) -> list[bool]:
        mine = keys if number % 2 else keys[::-1]
        rows = [{"id": f"{number}-{at}", "version": 1, "name": f"{number}-{at}"} for at in range(50)]
        beside = [[note(key, str(number), spare=True)] for key in mine]
        return write_all(engine, addable(engine), rows, [], OUTBOX, [event(row["id"]) for row in rows], beside)

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(store, range(8))) == [[True] * 50] * 8
    things, subjects, notes = there(engine)
    assert (len(things), len(subjects), sorted(notes)) == (400, 400, keys)


def test_rows_beside_are_written_table_by_table_in_one_order():
    spared, plain = note("b", spare=True), note("a")
    (first, second) = merged([[spared, plain], [note("a", spare=True)], []])
    assert (first.spare, [row["key"] for row in first.rows]) == (True, ["a", "b"])
    assert (second.spare, [row["key"] for row in second.rows]) == (False, ["a"])


def test_what_stood_in_the_way_is_tried_again_but_not_for_ever(monkeypatch):
    monkeypatch.setattr("common.db.versioned.time.sleep", lambda _: None)
    tried = []

    def step(times: int, error: Exception) -> str:
        tried.append(1)
        if len(tried) <= times:
            raise error
        return "done"

    assert retried(lambda: step(10, Contended("the database"))) == "done"
    tried.clear()
    with pytest.raises(Contended):
        retried(lambda: step(11, Contended("the database")))
    tried.clear()
    assert retried(lambda: step(3, KeyError("url")), KeyError) == "done"
    tried.clear()
    with pytest.raises(KeyError):
        retried(lambda: step(1, KeyError("url")))
    assert len(tried) == 1
