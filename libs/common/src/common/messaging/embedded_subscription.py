"""Consuming from the embedded broker: messages are claimed for a holder, and whoever sees it gone frees them."""

import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

from common.errors import Unavailable
from common.messaging.burial import dead_letter
from common.messaging.declared import holds_dead_letters
from common.messaging.embedded_file import QueueFile, unavailable
from common.messaging.embedded_holder import Holder, free, free_the_abandoned
from common.messaging.embedded_messages import COLUMNS, PUT, from_row, to_row
from common.messaging.port import Burial, Delivery, Subscription
from common.messaging.topology import Queue, Topology

log = logging.getLogger(__name__)

_LOOK = 1.0  # seconds between looks for holders that are gone, which no write tells
#: Messages of a queue (first parameter) that nobody holds, oldest first, at most so many (second).
FREE = (
    "FROM message AS m LEFT JOIN handed_out AS h ON h.seq = m.seq WHERE m.queue = ? AND h.holder IS NULL ORDER BY m.seq LIMIT ?"
)


@dataclass(frozen=True, slots=True)
class Tag:
    """A message that was handed to a holder."""

    holder: str
    seq: int


class EmbeddedSubscription(Subscription):
    """Several on one queue, in one process or many, share its messages. Attempts are counted in the file before they are handed out."""

    def __init__(self, path: Path, topology: Callable[[], Topology], queue: Queue, prefetch: int) -> None:
        self._path, self._queue, self._prefetch = path, queue, max(1, prefetch)
        self._file = QueueFile(path, topology, durable=False)
        self._opened = 0  # the file that the holder is known in
        self._holder: Holder | None = None
        self._held: set[int] = set()
        self._done: set[Tag] = set()  # acked, and not yet gone from the file
        self._back: set[Tag] = set()  # released, and still ours in the file
        self._closed = threading.Event()
        self._complaint = ""

    def take(self, limit: int, linger: float, timeout: float) -> list[Delivery]:
        if self._closed.is_set():
            raise unavailable("the subscription is closed")
        deadline = time.monotonic() + timeout
        looked = first = float("-inf")  # when we last looked for abandoned messages; when the first that is ours to take was seen
        while not self._closed.is_set():
            now, changes = time.monotonic(), -1
            try:
                self._settle()
                if now - looked >= _LOOK:
                    free_the_abandoned(self._file, self._path)
                    looked = now
                changes = self._file.changes()
                room = min(limit, self._prefetch - len(self._held))
                waiting = self._waiting(room)
                if waiting and first < 0:
                    first = now
                if waiting >= room > 0 or (waiting and now >= first + linger):
                    if taken := self._claim(room):
                        return taken
                    first = float("-inf")  # another was quicker
                self._complaint = ""
            except Unavailable as error:
                self._complain(error)
            until = deadline if first < 0 else first + linger
            if first < 0 and now >= deadline:
                break
            self._file.wait(changes, min(until, now + _LOOK), self._closed)
        return []

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self._done.update(self._give_up(deliveries))
        self._settle_or_complain()

    def release(self, deliveries: Sequence[Delivery]) -> None:
        self._back.update(self._give_up(deliveries))
        self._settle_or_complain()

    def bury(self, burials: Sequence[Burial]) -> None:
        ours = [burial for burial in burials if self._is_ours(burial.delivery.tag)]
        if not ours:
            return
        if holds_dead_letters(self._queue.name):
            raise unavailable(f"{self._queue.name} has no dead letters of its own")
        tags = [tag for burial in ours if self._is_ours(tag := burial.delivery.tag)]
        letters = [(self._queue.dead, *to_row(dead_letter(burial, self._queue.name))) for burial in ours]
        with self._file.writing() as connection:  # there before they are gone here: one transaction
            if self._is_current():
                connection.executemany(PUT, letters)
                _delete(connection, tags)
        self._give_up([burial.delivery for burial in ours])

    def close(self) -> None:
        self._closed.set()
        self._settle_or_complain()
        if self._holder is not None:
            with contextlib.suppress(Unavailable), self._file.writing(timeout=1) as connection:
                free(connection, self._holder.id)
            self._holder.close()
        self._file.close()

    def _complain(self, error: Unavailable) -> None:
        if self._complaint != error.reason:  # once, not at every attempt
            self._complaint = error.reason
            log.warning("%s waits: %s", self._queue.name, error)

    def _is_current(self) -> bool:
        """Whether the file is still the one that our holder is known in."""
        return self._holder is not None and self._opened == self._file.opened

    def _is_ours(self, tag: object) -> TypeGuard[Tag]:
        return isinstance(tag, Tag) and self._holder is not None and tag.holder == self._holder.id and tag.seq in self._held

    def _give_up(self, deliveries: Sequence[Delivery]) -> list[Tag]:
        """The tags of those that are ours, and from now on no more."""
        tags = [tag for delivery in deliveries if self._is_ours(tag := delivery.tag)]
        self._held.difference_update(tag.seq for tag in tags)
        return tags

    def _settle_or_complain(self) -> None:
        """An ack that cannot be written now is written later, or is forgotten with us and its message comes again."""
        try:
            self._settle()
        except Unavailable as error:
            self._complain(error)

    def _settle(self) -> None:
        """Writes what was acked and released."""
        if self._done or self._back:
            with self._file.writing() as connection:
                if self._is_current():
                    _delete(connection, self._done)
                    connection.executemany(
                        "UPDATE handed_out SET holder = NULL WHERE seq = ? AND holder = ?",
                        [(tag.seq, tag.holder) for tag in self._back],
                    )
            self._done.clear()
            self._back.clear()

    def _waiting(self, limit: int) -> int:
        with self._file.reading() as connection:
            return int(connection.execute(f"SELECT count(*) FROM (SELECT 1 {FREE})", (self._queue.name, limit)).fetchone()[0])  # noqa: S608

    def _claim(self, limit: int) -> list[Delivery]:
        with self._file.writing() as connection:
            holder = self._register(connection)
            select = f"SELECT m.seq, coalesce(h.attempts, 0), {COLUMNS} {FREE}"
            rows = connection.execute(select, (self._queue.name, limit)).fetchall()
            connection.executemany(
                "INSERT INTO handed_out (seq, attempts, holder) VALUES (?, 1, ?)"
                " ON CONFLICT (seq) DO UPDATE SET attempts = attempts + 1, holder = excluded.holder",
                [(seq, holder) for seq, *_ in rows],
            )
        self._held.update(seq for seq, *_ in rows)
        return [Delivery(from_row(columns), Tag(holder, seq), attempts) for seq, attempts, *columns in rows]

    def _register(self, connection: sqlite3.Connection) -> str:
        """Makes us a holder that others can see; another one in a file that was opened anew, where nothing is ours."""
        if self._holder is None or not self._is_current():
            if self._holder is not None:
                free(connection, self._holder.id)
                self._holder.close()
            self._held.clear()
            self._holder = Holder(self._path)
            self._opened = self._file.opened
        # Also when somebody took us for gone: what we claim must be found if we really go.
        connection.execute("INSERT OR IGNORE INTO holder VALUES (?)", (self._holder.id,))
        return self._holder.id


def _delete(connection: sqlite3.Connection, tags: Iterable[Tag]) -> None:
    """Only what is still held by the tag's holder: an ack that comes too late finds nothing."""
    held = "SELECT seq FROM handed_out WHERE seq = ? AND holder = ?"
    pairs = [(tag.seq, tag.holder) for tag in tags]
    connection.executemany(f"DELETE FROM message WHERE seq = ({held})", pairs)  # noqa: S608
    connection.executemany("DELETE FROM handed_out WHERE seq = ? AND holder = ?", pairs)
