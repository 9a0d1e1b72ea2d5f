"""An engine that behaves alike for SQLite and PostgreSQL: autocommit, `transaction` for more, Unavailable for trouble."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url
from sqlalchemy import exc as sa
from sqlalchemy.engine import ExceptionContext

from common.errors import Unavailable, WrongSetting

#: Seconds: to connect, for one statement, for another's lock.
CONNECT, STATEMENT, LOCK = 5, 15, 10

#: What PostgreSQL says to one of two who wait for each other. Nothing was written: trying again is all it takes.
_CONTENDED = ("40P01", "40001")
#: What PostgreSQL says before it was migrated (no such table, no such column), and while it is a standby.
_NOT_READY = ("42P01", "42703", "25006")


class Contended(Unavailable):
    """Others hold what this needs, and it was rolled back."""


def open_engine(url: str, pool_size: int = 16) -> Engine:
    """No connection is made yet. Every statement runs in autocommit unless inside `transaction`.

    What a caller cannot mend (no connection, a lock that stays, a full disk) is raised as Unavailable by every use. Raises
    WrongSetting when SQLite's file cannot have a folder.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        if parsed.database:
            _make_folder(Path(parsed.database).parent)
        arguments: dict[str, Any] = {"timeout": LOCK, "check_same_thread": False}
    else:
        options = f"-c statement_timeout={STATEMENT}s -c lock_timeout={LOCK}s -c idle_in_transaction_session_timeout=60s"
        arguments = {"connect_timeout": CONNECT, "options": options, "application_name": "atrium"}
    engine = create_engine(
        parsed, isolation_level="AUTOCOMMIT", pool_size=pool_size, max_overflow=0, pool_timeout=LOCK, connect_args=arguments
    )
    event.listen(engine, "handle_error", _translate)
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _durable)
        # SQLite lets one writer in at a time and makes the others sleep and guess; a lock wakes them in turn.
        engine.dialect.atrium_writer = threading.Lock()  # type: ignore[attr-defined]
    return engine


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WrongSetting("DATABASE_URL or DATA_DIR", f"{folder} cannot be made: {error.strerror}") from None


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """One transaction: committed when the block ends, rolled back when it raises."""
    if engine.dialect.name != "sqlite":
        with engine.execution_options(isolation_level="READ COMMITTED").begin() as connection:
            yield connection
        return
    with engine.dialect.atrium_writer, engine.connect() as connection:  # type: ignore[attr-defined]
        # A read that turns into a write ignores the busy timeout: take the write lock at once.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.exec_driver_sql("COMMIT")
        except BaseException:
            if connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
                connection.exec_driver_sql("ROLLBACK")
            raise


def ping(engine: Engine) -> None:
    """Raises Unavailable if the database does not answer."""
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")


def _durable(connection: Any, _record: object) -> None:
    try:
        deadline = time.monotonic() + LOCK
        while True:
            try:
                connection.execute("PRAGMA journal_mode=WAL").close()
                break
            except sqlite3.OperationalError as error:
                # Another process is making the same change to a new file: this one statement ignores the busy timeout.
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.01)
        for pragma in ("synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {pragma}").close()
    except BaseException:
        connection.close()
        raise


def _translate(context: ExceptionContext) -> None:
    error = context.original_exception
    kind = type(context.sqlalchemy_exception)
    # DatabaseError itself is what SQLite says of a file that is no database; its subclasses speak of our statement.
    if getattr(error, "sqlstate", None) in _CONTENDED:
        raise Contended("the database", "others are writing the same rows") from error
    trouble = kind in (sa.OperationalError, sa.InterfaceError, sa.TimeoutError, sa.DatabaseError)
    if context.is_disconnect or trouble or getattr(error, "sqlstate", None) in _NOT_READY:
        # The driver's first line; its text may go on with the statement.
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Unavailable("the database", reason) from error
