"""Taps of the embedded broker: publishers leave copies in the file, bounded, for whoever is alive to take them."""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from common.errors import Unavailable
from common.messaging.embedded_file import QueueFile
from common.messaging.embedded_holder import Holder, forget, free, is_alive
from common.messaging.embedded_messages import COLUMNS, PUT, from_row, to_row
from common.messaging.port import MOST_TAPPED, MOST_TAPPED_BYTES, Message, Tap
from common.messaging.topology import Topology

log = logging.getLogger(__name__)

_PORTION = 1000
_LOOK = 1.0  # seconds between looks whether the file is still there, which no write tells


class EmbeddedTap(Tap):
    """Its copies lie in the file under the name of a holder. Whoever finds that holder gone, a publisher first, removes them."""

    def __init__(self, path: Path, topology: Callable[[], Topology], exchange: str) -> None:
        self._path, self._exchange = path, exchange
        self._file = QueueFile(path, topology, durable=False)
        self._holder: Holder | None = None
        self._opened = 0  # the file that the holder is known in
        self._missed = self._missed_before = 0  # in this file; in earlier ones
        self._closed = threading.Event()
        self._complaint = ""

    def begin(self) -> None:
        """From now on there are copies. Raises Unavailable."""
        with self._file.writing() as connection:
            if self._holder is not None:  # of an earlier file
                self._holder.close()
            self._holder = Holder(self._path)
            connection.execute("INSERT INTO holder VALUES (?)", (self._holder.id,))
            connection.execute("INSERT INTO tap (id, exchange) VALUES (?, ?)", (self._holder.id, self._exchange))
        self._opened = self._file.opened
        self._missed_before, self._missed = self._missed_before + self._missed, 0

    def take(self, timeout: float) -> list[Message]:
        deadline = time.monotonic() + timeout
        while not self._closed.is_set():
            changes = -1
            try:
                changes = self._file.changes()
                if self._opened != self._file.opened:
                    self.begin()
                elif taken := self._taken():
                    return taken
                self._complaint = ""
            except Unavailable as error:
                if self._complaint != error.reason:  # once, not at every attempt
                    self._complaint = error.reason
                    log.warning("the tap of %s waits: %s", self._exchange, error)
            now = time.monotonic()
            if now >= deadline:
                break
            self._file.wait(changes, min(deadline, now + _LOOK), self._closed)
        return []

    @property
    def missed(self) -> int:
        return self._missed_before + self._missed

    def close(self) -> None:
        self._closed.set()
        if self._holder is not None:
            with contextlib.suppress(Unavailable), self._file.writing(timeout=1) as connection:
                free(connection, self._holder.id)
            self._holder.close()
        self._file.close()

    def _taken(self) -> list[Message]:
        id = self._holder.id if self._holder is not None else ""
        select = f"SELECT seq, {COLUMNS} FROM message WHERE queue = ? ORDER BY seq LIMIT {_PORTION}"  # noqa: S608
        with self._file.reading() as connection:
            if connection.execute(select, (id,)).fetchone() is None:
                return []
        with self._file.writing() as connection:
            rows = connection.execute(select, (id,)).fetchall()
            taken = [from_row(columns) for _, *columns in rows]
            _delete(connection, id, [(seq, len(message.body)) for (seq, *_), message in zip(rows, taken, strict=True)])
            (self._missed,) = connection.execute("SELECT missed FROM tap WHERE id = ?", (id,)).fetchone() or (self._missed,)
        return taken


def copy_to_taps(connection: sqlite3.Connection, path: Path, exchange: str, messages: Sequence[Message]) -> None:
    """Leaves copies for each tap of the exchange that is alive, drops the oldest of too many, and removes the others."""
    select = "SELECT id, waiting, bytes FROM tap WHERE exchange = ?"
    for id, waiting, size in connection.execute(select, (exchange,)).fetchall():
        if not is_alive(path, id):
            free(connection, id)
            forget(path, id)
            continue
        connection.executemany(PUT, ((id, *to_row(message)) for message in messages))
        waiting, size = waiting + len(messages), size + sum(len(message.body) for message in messages)
        connection.execute("UPDATE tap SET waiting = ?, bytes = ? WHERE id = ?", (waiting, size, id))
        if waiting > MOST_TAPPED or size > MOST_TAPPED_BYTES:
            _drop(connection, id, waiting, size)


def _drop(connection: sqlite3.Connection, id: str, waiting: int, size: int) -> None:
    """The oldest, until no more are left than may be."""
    dropped: list[tuple[int, int]] = []
    for seq, length in connection.execute("SELECT seq, length(body) FROM message WHERE queue = ? ORDER BY seq", (id,)):
        if waiting <= MOST_TAPPED and size <= MOST_TAPPED_BYTES:
            break
        waiting, size = waiting - 1, size - length
        dropped.append((seq, length))
    _delete(connection, id, dropped)
    connection.execute("UPDATE tap SET missed = missed + ? WHERE id = ?", (len(dropped), id))


def _delete(connection: sqlite3.Connection, id: str, copies: Sequence[tuple[int, int]]) -> None:
    """Removes these copies, (number, bytes of the body) each."""
    connection.executemany("DELETE FROM message WHERE seq = ?", [(seq,) for seq, _ in copies])
    size = sum(length for _, length in copies)
    connection.execute("UPDATE tap SET waiting = waiting - ?, bytes = bytes - ? WHERE id = ?", (len(copies), size, id))
