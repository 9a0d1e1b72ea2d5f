"""The file of the embedded broker: how it is opened, what stands in it, and what becomes of SQLite's errors."""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from common.errors import Unavailable
from common.messaging.declared import names
from common.messaging.topology import Topology

# Sequence numbers are never used twice (AUTOINCREMENT): an ack that comes late must not meet another message. Who holds a message
# stands beside it, so that handing out a thousand large ones writes a few pages.
_FIRST = """
CREATE TABLE exchange (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE queue (name TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE binding (exchange TEXT, pattern TEXT, queue TEXT, PRIMARY KEY (exchange, pattern, queue)) WITHOUT ROWID;
CREATE TABLE message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, id TEXT NOT NULL, routing_key TEXT NOT NULL,
    content_type TEXT NOT NULL, timestamp INTEGER NOT NULL, headers TEXT NOT NULL, body BLOB NOT NULL
);
CREATE INDEX message_queue ON message (queue);
CREATE TABLE handed_out (seq INTEGER PRIMARY KEY, attempts INTEGER NOT NULL, holder TEXT);
CREATE INDEX handed_out_holder ON handed_out (holder) WHERE holder IS NOT NULL;
CREATE TABLE holder (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
# A tap is a holder. Its copies are messages of a queue with its id, which no exchange leads to.
# How many wait, and their bytes, stand beside it: a publisher shall not count them.
_TAPS = """
CREATE TABLE tap (
    id TEXT PRIMARY KEY, exchange TEXT NOT NULL,
    waiting INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0, missed INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID
"""
_SCHEMAS = (_FIRST, _TAPS)  # each brings the file to the next version
_MOST_WAL = 16 << 20  # bytes that the write-ahead log keeps on disk once its content is in the file
_GLANCE = 0.015  # seconds between looks whether somebody has written
_BUSY = 3.0  # seconds to wait for another writer, unless told otherwise


def unavailable(reason: str) -> Unavailable:
    """The error for callers of the port."""
    return Unavailable("broker", reason)


class QueueFile:
    """One connection to the file, made when first needed and again when the file is replaced or fails. One thread at a time.

    What `topology()` says is declared whenever the file is opened, so that one that was deleted is whole again before it is used.
    Without `durable` a commit survives our crash but perhaps not the machine's: enough for acks, whose loss is only a duplicate.
    """

    def __init__(self, path: Path, topology: Callable[[], Topology], *, durable: bool = True) -> None:
        self._path, self._topology, self._durable = path, topology, durable
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        self._using = threading.RLock()
        self._closed = threading.Event()
        self.opened = 0  # how often; what was known of an earlier file is void

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees one state of the file. Raises Unavailable."""
        with self._use("BEGIN", _BUSY) as connection:
            yield connection

    @contextlib.contextmanager
    def writing(self, timeout: float = _BUSY) -> Iterator[sqlite3.Connection]:
        """A connection inside a transaction that is the only one to write. Raises Unavailable, and then nothing is written."""
        with self._use("BEGIN IMMEDIATE", timeout) as connection:
            yield connection

    def changes(self) -> int:
        """A number that differs after others have written. Costs microseconds. Raises Unavailable."""
        with self._use("", _BUSY) as connection:
            return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def wait(self, changes: int, until: float, stop: threading.Event) -> None:
        """Until others have written to the file since `changes()`, or until then. Without knowing how it was (-1) only the latter."""
        with contextlib.suppress(Unavailable):
            while not stop.is_set() and (rest := until - time.monotonic()) > 0:
                stop.wait(rest if changes == -1 else min(rest, _GLANCE))
                if changes != -1 and self.changes() != changes:
                    return

    def close(self) -> None:
        """Lets go of the file; who uses it afterwards gets Unavailable."""
        self._closed.set()
        if self._using.acquire(timeout=1):
            try:
                self._let_go()
            finally:
                self._using.release()

    @contextlib.contextmanager
    def _use(self, begin: str, timeout: float) -> Iterator[sqlite3.Connection]:
        with self._using:
            if self._closed.is_set():
                raise unavailable("closed")
            try:
                connection = self._current(timeout)
                if begin:
                    connection.execute(f"PRAGMA busy_timeout = {int(timeout * 1000)}")
                    connection.execute(begin)
                yield connection
                if begin:
                    connection.execute("COMMIT")
            except (sqlite3.Error, OSError) as error:
                if _is_passing(error):
                    self._roll_back()
                else:
                    self._let_go()
                raise unavailable(f"{self._path.name}: {error}") from error
            except BaseException:
                self._roll_back()
                raise
            finally:
                if self._closed.is_set():  # while we were at it
                    self._let_go()

    def _roll_back(self) -> None:
        try:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._let_go()

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()  # rolls back

    def _current(self, timeout: float) -> sqlite3.Connection:
        if self._connection is not None:
            # Whoever deletes the file under us would otherwise let us write into nowhere, confirmed and lost.
            if self._identity == _identity(self._path):
                return self._connection
            self._let_go()
        self._path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(self._path, timeout=timeout, isolation_level=None, check_same_thread=False)
        try:
            self._prepare(connection, timeout)
        except BaseException:
            connection.close()
            raise
        self._connection, self._identity = connection, _identity(self._path)
        self.opened += 1
        return connection

    def _prepare(self, connection: sqlite3.Connection, timeout: float) -> None:
        _make_wal(connection, time.monotonic() + timeout)
        connection.execute(f"PRAGMA synchronous = {'FULL' if self._durable else 'NORMAL'}")
        connection.execute(f"PRAGMA journal_size_limit = {_MOST_WAL}")
        connection.execute("BEGIN IMMEDIATE")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > len(_SCHEMAS):
            raise sqlite3.DatabaseError(f"a broker file of version {version}, this program knows {len(_SCHEMAS)}")
        for schema in _SCHEMAS[version:]:
            for statement in schema.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(_SCHEMAS)}")
        declare_in(connection, self._topology())
        connection.execute("COMMIT")


def declare_in(connection: sqlite3.Connection, topology: Topology) -> None:
    """Adds what is not there yet; nothing is ever taken away."""
    connection.executemany("INSERT OR IGNORE INTO exchange VALUES (?)", [(name,) for name in topology.exchanges])
    for queue in topology.queues:
        connection.executemany("INSERT OR IGNORE INTO queue VALUES (?)", [(name,) for name in names(queue)])
        bindings = [(exchange, pattern, queue.name) for exchange, pattern in queue.bindings]
        connection.executemany("INSERT OR IGNORE INTO binding VALUES (?, ?, ?)", bindings)


def _make_wal(connection: sqlite3.Connection, deadline: float) -> None:
    """Switches a new file to write-ahead logging; SQLite does not wait its turn for that as it does for everything else."""
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if not _is_passing(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.01)


def _is_passing(error: Exception) -> bool:
    """Whether the same connection may work again as soon as others have made room."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL)


def _identity(path: Path) -> tuple[int, int]:
    try:
        status = os.stat(path)
    except OSError:
        return (0, 0)
    return status.st_dev, status.st_ino
