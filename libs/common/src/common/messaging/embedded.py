"""The broker port on one SQLite file, shared by the processes of one machine: what runs when there is no RabbitMQ."""

import threading
from collections.abc import Sequence
from pathlib import Path

from common.errors import Unavailable
from common.failpoints import failpoint
from common.file_lock import FileLock
from common.messaging.declared import Declared, of_queue
from common.messaging.embedded_file import QueueFile, declare_in
from common.messaging.embedded_holder import free_the_abandoned
from common.messaging.embedded_messages import COLUMNS, from_row, put
from common.messaging.embedded_subscription import FREE, EmbeddedSubscription
from common.messaging.embedded_tap import EmbeddedTap, copy_to_taps
from common.messaging.port import Broker, Held, Hold, Message, NotEmpty, Publisher, Subscription, Tap
from common.messaging.topology import Queue, Topology


class EmbeddedBroker(Broker):
    """Durable queues in the SQLite file at `path`, made with its folder when first used."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._declared = Declared()
        self._file = QueueFile(path, self._declared)
        self._lock = threading.Lock()
        self._used: list[Publisher | Subscription | Tap] = []

    def declare(self, topology: Topology) -> None:
        self._declared.add(topology)
        with self._file.writing() as connection:
            declare_in(connection, topology)

    def publisher(self) -> Publisher:
        publisher = EmbeddedPublisher(self._path, QueueFile(self._path, self._declared))
        with self._lock:
            self._used.append(publisher)
        return publisher

    def subscribe(self, queue: Queue, prefetch: int) -> Subscription:
        self._declared.add(of_queue(queue))
        subscription = EmbeddedSubscription(self._path, self._declared, queue, prefetch)
        with self._lock:
            self._used.append(subscription)
        return subscription

    def tap(self, exchange: str) -> Tap:
        tap = EmbeddedTap(self._path, self._declared, exchange)
        try:
            tap.begin()
        except BaseException:
            tap.close()
            raise
        with self._lock:
            self._used.append(tap)
        return tap

    def unbind(self, queue: Queue) -> None:
        self._declared.unbind(queue)
        bindings = [(exchange, pattern, queue.name) for exchange, pattern in queue.bindings]
        with self._file.writing() as connection:
            connection.executemany("DELETE FROM binding WHERE exchange = ? AND pattern = ? AND queue = ?", bindings)

    def remove(self, queue: Queue, *, with_messages: bool = False) -> None:
        with self._file.writing() as connection:
            for name in (queue.name, queue.dead, queue.discarded):
                held = connection.execute("SELECT count(*) FROM message WHERE queue = ?", (name,)).fetchone()[0]
                if held and not with_messages:
                    raise NotEmpty(name, f"it holds {held} messages")
            self._declared.remove(queue)
            for name in (queue.name, queue.dead, queue.discarded):
                connection.execute("DELETE FROM handed_out WHERE seq IN (SELECT seq FROM message WHERE queue = ?)", (name,))
                for table, column in (("message", "queue"), ("binding", "queue"), ("queue", "name")):
                    connection.execute(f"DELETE FROM {table} WHERE {column} = ?", (name,))  # noqa: S608

    def hold(self, name: str) -> Hold:
        return EmbeddedHold(self._path, name)

    def depth(self, queue: str) -> int:
        free_the_abandoned(self._file, self._path)
        with self._file.reading() as connection:
            return int(connection.execute(f"SELECT count(*) FROM (SELECT 1 {FREE})", (queue, -1)).fetchone()[0])  # noqa: S608

    def browse(self, queue: str, limit: int) -> list[Message]:
        free_the_abandoned(self._file, self._path)
        with self._file.reading() as connection:
            return [from_row(row) for row in connection.execute(f"SELECT {COLUMNS} {FREE}", (queue, max(0, limit)))]

    def ping(self) -> None:
        with self._file.reading() as connection:
            connection.execute("SELECT count(*) FROM exchange").fetchone()

    def close(self) -> None:
        with self._lock:
            used, self._used = self._used, []
        for each in used:
            each.close()
        self._file.close()


class EmbeddedPublisher(Publisher):
    """A batch is one transaction, on disk when it returns."""

    def __init__(self, path: Path, file: QueueFile) -> None:
        self._path, self._file = path, file

    def publish(self, exchange: str, messages: Sequence[Message], timeout: float, *, mandatory: bool = True) -> list[bool]:
        with self._file.writing(timeout) as connection:
            accepted = [queued or not mandatory for queued in put(connection, exchange, messages)]
            taken = [message for message, ok in zip(messages, accepted, strict=True) if ok]
            copy_to_taps(connection, self._path, exchange, taken)
            failpoint("publisher.sent")
        return accepted

    def close(self) -> None:
        self._file.close()


class EmbeddedHold(Hold):
    """A lock beside the broker's file."""

    def __init__(self, broker: Path, name: str) -> None:
        self._lock = FileLock(broker.with_name(f"{broker.name}-hold-{name}"))
        try:
            if not self._lock.take():
                raise Held(name)
        except OSError as error:
            raise Unavailable("broker", str(error)) from error

    def check(self) -> None:
        pass  # the kernel takes it from nobody

    def free(self) -> None:
        self._lock.free()
