"""A versioned row and its event, written as one: the outbox table, and the two ways to write into both."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from sqlalchemy import (
    BigInteger,
    Column,
    Engine,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Update,
    insert,
    literal,
    select,
)

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


def _retried(step: Callable[[], T]) -> T:
    """Runs what is one transaction again where another one stood in its way."""
    backoff = Backoff(shortest=0.005, longest=0.2)
    for _ in range(10):
        with contextlib.suppress(Contended):
            return step()
        time.sleep(backoff.pause())
    return step()


def write(engine: Engine, change: Insert | Update, outbox: Table, event: Row) -> bool:
    """Applies `change` and appends `event`: both durable on return, or neither. False where `change` found no row to change.

    Raises what `change` raises: IntegrityError above all, and Unavailable, after which both or neither may be there.
    """
    failpoint("api.write")
    written = _retried(lambda: _write(engine, change, outbox, event))
    failpoint("api.written")
    return written


def _write(engine: Engine, change: Insert | Update, outbox: Table, event: Row) -> bool:
    if engine.dialect.name == "postgresql":  # one statement, one round trip, just as atomic
        changed = change.returning(literal(1).label("one")).cte("changed")
        values = select(*(literal(value, outbox.c[name].type) for name, value in event.items())).select_from(changed)
        with engine.connect() as connection:
            return connection.scalar(insert(outbox).from_select(list(event), values).returning(outbox.c.id)) is not None
    with transaction(engine) as connection:
        if connection.execute(change).rowcount != 1:
            return False
        connection.execute(insert(outbox).values(**event))
        return True


def write_all(
    engine: Engine, added: Insert, rows: Sequence[Row], changes: Sequence[Update], outbox: Table, events: Sequence[Row]
) -> list[bool]:
    """`write` for many in one transaction: `rows` are added by `added`, then each of `changes` is applied.

    `events` stand in the same order, rows first. The answer says of each whether it was written; one that could not be (its
    key is taken, its version is stale) has no event and leaves the others alone. `added` must be `ON CONFLICT DO NOTHING … RETURNING id`.
    """
    failpoint("api.write")
    done = _retried(lambda: _write_all(engine, added, rows, changes, outbox, events))
    failpoint("api.written")
    return done


def _write_all(
    engine: Engine, added: Insert, rows: Sequence[Row], changes: Sequence[Update], outbox: Table, events: Sequence[Row]
) -> list[bool]:
    with transaction(engine) as connection:
        written: set[Any] = set()
        if rows:
            written = {id for (id,) in connection.execute(added, list(rows))}
        done = [row["id"] in written for row in rows] + [connection.execute(change).rowcount == 1 for change in changes]
        appended = [event for event, ok in zip(events, done, strict=True) if ok]
        if appended:
            connection.execute(insert(outbox), appended)
    return done
