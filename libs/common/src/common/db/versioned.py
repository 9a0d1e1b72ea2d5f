"""A versioned row and its event, written as one: the outbox table, and the two ways to write into both."""

import contextlib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    Update,
    insert,
    literal,
    select,
    union_all,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningInsert

from common.backoff import Backoff
from common.db.engine import Contended, transaction
from common.failpoints import failpoint

Row = Mapping[str, Any]
T = TypeVar("T")


def outbox_table(metadata: MetaData) -> Table:
    """The events that wait for the relay, already encoded; `id` orders them, `time` counts microseconds since 1970.

    `attempts` counts how often it was published in vain.
    """
    return Table(
        "outbox",
        metadata,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True),
        Column("event_id", String(36), nullable=False),
        Column("type", String(64), nullable=False),
        Column("subject", String(64), nullable=False),
        Column("sequence", BigInteger, nullable=False),
        Column("time", BigInteger, nullable=False),
        Column("traceparent", String(64), nullable=False),
        Column("request_id", String(128), nullable=False),
        Column("body", LargeBinary, nullable=False),
        Column("attempts", Integer, nullable=False, server_default="0"),
        sqlite_autoincrement=True,
    )


def retried(step: Callable[[], T], *also: type[Exception]) -> T:
    """Runs what is one transaction again where another one stood in its way, which shows as Contended or is one of `also`."""
    backoff = Backoff(shortest=0.005, longest=0.2)
    for _ in range(10):
        with contextlib.suppress(Contended, *also):
            return step()
        time.sleep(backoff.pause())
    return step()


@dataclass(frozen=True, slots=True)
class Beside:
    """Rows that are written with a change, if that is. With `spare` one whose key is there already is left as it is."""

    table: Table
    rows: Sequence[Row]
    spare: bool = False


#: Locks what a change was decided on against changes until the transaction ends; False where it has changed already.
Held = Callable[[Connection], bool]


def write(
    engine: Engine, change: Insert | Update, outbox: Table, event: Row, beside: Sequence[Beside] = (), held: Held | None = None
) -> bool:
    """Applies `change`, appends `event`, and writes what stands `beside` it: all durable on return, or nothing.

    False where `change` found no row to change. Raises NotHeld where `held` says no; what `change` raises: IntegrityError above all, and
    Unavailable, after which all or nothing may be there.
    """
    failpoint("api.write")
    written = retried(lambda: _write(engine, change, outbox, event, beside, held))
    failpoint("api.written")
    return written


class NotHeld(Exception):
    """What a change was decided on has changed since."""


def _write(
    engine: Engine, change: Insert | Update, outbox: Table, event: Row, beside: Sequence[Beside], held: Held | None
) -> bool:
    if engine.dialect.name == "postgresql" and held is None:  # one statement, one round trip, just as atomic
        with engine.connect() as connection:
            return connection.scalar(_statement(change, outbox, event, beside)) is not None
    with transaction(engine) as connection:
        if held is not None and not held(connection):
            raise NotHeld
        # Not by its rowcount, which psycopg does not keep of an insert.
        if connection.scalar(change.returning(literal(1))) is None:
            return False
        connection.execute(insert(outbox).values(**event))
        write_beside(connection, beside)
        return True


def _statement(change: Insert | Update, outbox: Table, event: Row, beside: Sequence[Beside]) -> ReturningInsert[Any]:
    """All of it for PostgreSQL; answers a row if `change` found one."""
    changed = change.returning(literal(1).label("one")).cte("changed")

    def once_changed(table: Table, row: Row) -> Select[Any]:
        return select(*(literal(value, table.c[name].type) for name, value in row.items())).select_from(changed)

    statement = insert(outbox).from_select(list(event), once_changed(outbox, event))
    for number, each in enumerate(each for each in beside if each.rows):
        rows = union_all(*(once_changed(each.table, row) for row in each.rows))
        further = postgresql.insert(each.table).from_select(list(each.rows[0]), rows)
        statement = statement.add_cte((further.on_conflict_do_nothing() if each.spare else further).cte(f"beside_{number}"))
    return statement.returning(outbox.c.id)


def write_beside(connection: Connection, beside: Sequence[Beside]) -> None:
    """What stands beside changes, within their transaction."""
    dialect: Any = postgresql if connection.dialect.name == "postgresql" else sqlite
    for each in beside:
        if each.rows:
            added = dialect.insert(each.table)
            connection.execute(added.on_conflict_do_nothing() if each.spare else added, list(each.rows))


def write_all(
    engine: Engine,
    added: Insert,
    rows: Sequence[Row],
    changes: Sequence[Update],
    outbox: Table,
    events: Sequence[Row],
    beside: Sequence[Sequence[Beside]] = (),
    held: Callable[[Connection], Sequence[bool]] | None = None,
) -> list[bool]:
    """`write` for many in one transaction: `rows` are added by `added`, then each of `changes` is applied.

    `events`, what stands `beside` each, and what `held` says of each have the same order, rows first. The answer says of each whether it
    was written; one that could not be (its key is taken, its version is stale, it is not held) has no event and leaves the others alone.
    `added` must be `ON CONFLICT DO NOTHING … RETURNING id`.
    """
    failpoint("api.write")
    done = retried(lambda: _write_all(engine, added, rows, changes, outbox, events, beside, held))
    failpoint("api.written")
    return done


def _write_all(
    engine: Engine,
    added: Insert,
    rows: Sequence[Row],
    changes: Sequence[Update],
    outbox: Table,
    events: Sequence[Row],
    beside: Sequence[Sequence[Beside]],
    held: Callable[[Connection], Sequence[bool]] | None,
) -> list[bool]:
    with transaction(engine) as connection:
        holds = [True] * len(events) if held is None else list(held(connection))
        insertable = [row for row, ok in zip(rows, holds, strict=False) if ok]
        written: set[Any] = set()
        if insertable:
            written = {id for (id,) in connection.execute(added, insertable)}
        done = [row["id"] in written for row in rows]
        for change, ok in zip(changes, holds[len(rows) :], strict=True):
            done.append(ok and connection.execute(change).rowcount == 1)
        appended = [event for event, ok in zip(events, done, strict=True) if ok]
        if appended:
            connection.execute(insert(outbox), appended)
        write_beside(connection, merged(each for each, ok in zip(beside, done, strict=False) if ok))
    return done


def merged(beside: Iterable[Sequence[Beside]]) -> list[Beside]:
    """The same rows with each table once, in the order of their values: all who write take their locks in one order."""
    rows: dict[tuple[Table, bool], list[Row]] = {}
    for each in chain.from_iterable(beside):
        rows.setdefault((each.table, each.spare), []).extend(each.rows)
    return [
        Beside(table, sorted(some, key=lambda row: str(next(iter(row.values())))), spare) for (table, spare), some in rows.items()
    ]
