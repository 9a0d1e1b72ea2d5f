"""The outbox: events wait here, encoded, in the transaction that wrote what they tell, until the relay has published them."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Engine, Table, func, select
from uuid_utils import uuid7

from common.errors import Full
from common.events.codec import Codec
from common.observability.context import current
from common.observability.metrics import Reading

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def outbox_row(
    codec: Codec, *, type: str, subject: str, sequence: int, time: datetime, data: Mapping[str, Any]
) -> dict[str, Any]:
    """The row of an event, caused by the request that is being served. Raises Unencodable: the request fails, never the relay."""
    trace = current()
    return {
        "event_id": str(uuid7()),
        "type": type,
        "subject": subject,
        "sequence": sequence,
        "time": (time - EPOCH) // MICROSECOND,
        "traceparent": trace.traceparent,
        "request_id": trace.request_id,
        "body": codec.encode(type, data),
    }


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many events wait, and since when the oldest does."""

    pending: int
    oldest: datetime | None

    @property
    def age(self) -> float:
        """Seconds that the oldest has waited, by our clock; 0 where none waits."""
        return 0.0 if self.oldest is None else max(0.0, round((datetime.now(UTC) - self.oldest).total_seconds(), 3))


def backlog(engine: Engine, outbox: Table) -> Backlog:
    with engine.connect() as connection:
        pending, oldest = connection.execute(select(func.count(), func.min(outbox.c.time)).select_from(outbox)).one()
    return Backlog(pending, None if oldest is None else EPOCH + oldest * MICROSECOND)


def full(waiting: int, maximum: int) -> Full:
    """What is to be said, to clients and operators alike."""
    return Full("the outbox", f"{waiting} of at most {maximum} events wait for the broker", retry_after=5)


def gauges(engine: Engine, outbox: Table) -> Sequence[Reading]:
    """What /metrics shows of it. Raises Unavailable."""
    waiting = backlog(engine, outbox)
    return [
        Reading("outbox_pending", "Events that wait to be published", waiting.pending),
        Reading("outbox_oldest_seconds", "How long the oldest of them has waited; 0 where none waits", waiting.age),
    ]


class Gate:
    """Refuses writes while the outbox is full, without counting it for each write.

    Counts, then adds what this process has let in since: never less than the truth in one process, as nobody but the relay
    takes rows out. Another process's writes are seen within a second. Safe to share between threads.
    """

    def __init__(self, engine: Engine, outbox: Table, maximum: int) -> None:
        self._engine, self._outbox, self._maximum = engine, outbox, maximum
        self._lock = threading.Lock()
        self._held = maximum  # unknown: count first
        self._counted = float("-inf")

    def admit(self, events: int = 1) -> None:
        """Raises Full if `events` more would be too many."""
        with self._lock:
            # Counting a full outbox is slow: not more often than ten times a second.
            age = time.monotonic() - self._counted
            if age > 1 or (age > 0.1 and self._held + events > self._maximum):
                few = select(self._outbox.c.id).limit(self._maximum).subquery()
                with self._engine.connect() as connection:
                    self._held = connection.scalar(select(func.count()).select_from(few)) or 0
                self._counted = time.monotonic()
            # A batch larger than the whole outbox has to pass some time: alone.
            if self._held and self._held + events > self._maximum:
                raise full(self._held, self._maximum)
            self._held += events
