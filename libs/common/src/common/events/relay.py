"""The relay: publishes what waits in the outbox, at least once, and deletes what the broker has confirmed."""

import logging
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection, Delete, Engine, Row, Table, Update, delete, func, insert, select, update

from common.backoff import Backoff
from common.db.doorbell import Doorbell
from common.db.engine import transaction
from common.errors import Unavailable
from common.events.codec import Codec
from common.events.envelope import HEARTBEAT, to_message
from common.events.outbox import EPOCH, MICROSECOND, outbox_row
from common.failpoints import failpoint
from common.messaging.port import Broker, Message, Publisher
from common.messaging.topology import Queue, Topology
from common.observability.logs import Trouble
from common.observability.metrics import Metrics, Relayed

log = logging.getLogger(__name__)

#: Seconds: between heartbeats, and where there is something new to say; for a batch to be confirmed; to flush when told to stop.
HEARTBEATS, NEWS, CONFIRM, FLUSH = 5.0, 1.0, 10.0, 3.0
#: How long a relay that hears no doorbell sleeps before it looks by itself.
LOOK = 1.0


class Relay:
    """Relays one service's outbox. On PostgreSQL any number may run; on SQLite a second one would only publish duplicates."""

    def __init__(
        self,
        *,
        engine: Engine,
        outbox: Table,
        doorbell: Doorbell,
        broker: Broker,
        topology: Topology,
        absent: Sequence[Queue] = (),
        exchange: str,
        codec: Codec,
        window: int = 1000,
        metrics: Relayed | None = None,
    ) -> None:
        self._engine, self._outbox, self._doorbell = engine, outbox, doorbell
        self._broker, self._topology, self._absent, self._exchange = broker, topology, absent, exchange
        self._codec, self._window = codec, window
        self._heard = topology.hears(exchange)
        self._counted = metrics or Relayed(Metrics(exchange))
        self._beat = float("-inf")
        self._news = False  # whether all that was written has been published, and no heartbeat has told so yet
        is_heartbeat = outbox.c.type == HEARTBEAT
        self._oldest = select(is_heartbeat, func.min(outbox.c.time)).group_by(is_heartbeat)

    def run(self, stop: threading.Event) -> None:
        """Publishes until `stop` is set, then flushes what still waits, for at most FLUSH seconds."""
        publisher = self._broker.publisher()
        backoff, trouble, declared, stopped_at = Backoff(), Trouble(log), False, 0.0
        try:
            while True:
                if stop.is_set():
                    stopped_at = stopped_at or time.monotonic()
                    if not declared or time.monotonic() - stopped_at > FLUSH:
                        return
                try:
                    if not declared:
                        self._broker.declare(self._topology)
                        for queue in self._absent:  # they may have been declared before it was said that nobody listens
                            self._broker.unbind(queue)
                        declared = True
                    if not stop.is_set():
                        self._heartbeat()
                    taken, published = self._round(publisher)
                except Unavailable as error:
                    declared = False
                    trouble.warn(f"the outbox waits: {error}")
                else:
                    if published or not taken:
                        backoff.reset()
                        trouble.over()
                        if not taken:
                            if stop.is_set():
                                return
                            self._doorbell.wait(LOOK)
                        continue
                    # Returned: a subscriber's queue is missing. Declare it again; the rows stay.
                    declared = False
                    trouble.warn(f"the broker returned {taken} events")
                if stop.wait(backoff.pause()):
                    return
        finally:
            publisher.close()

    def _round(self, publisher: Publisher) -> tuple[int, int]:
        """Publishes up to a window of events. Answers how many were taken, and how many of those are gone from the outbox."""
        if self._engine.dialect.name == "postgresql":
            with transaction(self._engine) as connection:  # other relays skip the rows until this ends
                taken, published, failure = self._relay(connection, connection, publisher)
        else:
            # Holding SQLite's only write lock while the broker thinks would stop every write: take, publish, then delete.
            with self._engine.connect() as connection:
                taken, published, failure = self._relay(connection, None, publisher)
        if failure is not None:
            raise failure
        if published:
            failpoint("relay.deleted")
        return taken, published

    def _relay(
        self, reading: Connection, writing: Connection | None, publisher: Publisher
    ) -> tuple[int, int, Unavailable | None]:
        """`_round` on these connections; the failure comes as an answer, so that the attempt which failed is counted all the same."""
        waiting = select(self._outbox).order_by(self._outbox.c.id).limit(self._window).with_for_update(skip_locked=True)
        rows = reading.execute(waiting).all()
        if not rows:
            return 0, 0, None
        failpoint("relay.taken")
        failure = None
        try:
            confirmed = self._publish(publisher, [self._message(row) for row in rows])
        except Unavailable as error:
            confirmed, failure = [False] * len(rows), error
        failpoint("relay.confirmed")
        done = [row.id for row, ok in zip(rows, confirmed, strict=True) if ok]
        left = [row.id for row, ok in zip(rows, confirmed, strict=True) if not ok]
        changes: list[Delete | Update] = []
        if done:
            changes.append(delete(self._outbox).where(self._outbox.c.id.in_(done)))
        if left:
            changes.append(update(self._outbox).where(self._outbox.c.id.in_(left)).values(attempts=self._outbox.c.attempts + 1))
        if writing is not None:
            _execute(writing, changes)
        else:
            with transaction(self._engine) as connection:
                _execute(connection, changes)
        told = [row.event_id for row, ok in zip(rows, confirmed, strict=True) if ok and row.type != HEARTBEAT]
        if told:
            self._news = len(told) < self._window  # behind a full window there is more
            log.info("published", extra={"events": told, "exchange": self._exchange})
        return len(rows), len(done), failure

    def _publish(self, publisher: Publisher, messages: list[Message]) -> list[bool]:
        self._counted.published.inc(len(messages))
        with self._counted.failures.count_exceptions(Unavailable):
            confirmed = publisher.publish(self._exchange, messages, CONFIRM, mandatory=self._heard)
        self._counted.confirmed.inc(sum(confirmed))
        self._counted.returned.inc(len(confirmed) - sum(confirmed))
        return confirmed

    def _message(self, row: Row[tuple[object, ...]]) -> Message:
        return to_message(
            id=row.event_id,
            source=f"/{self._exchange}",
            type=row.type,
            subject=row.subject,
            sequence=row.sequence,
            time=EPOCH + row.time * MICROSECOND,
            dataschema=self._codec.dataschema(row.body),
            traceparent=row.traceparent,
            request_id=row.request_id,
            body=row.body,
            attempts=row.attempts + 1,
        )

    def _heartbeat(self) -> None:
        """Every few seconds one row that says up to when all that was written has been published; sooner after a change.

        That is the oldest event which still waits, for another relay may hold it: rows only go once they are confirmed.
        """
        if time.monotonic() - self._beat < (NEWS if self._news else HEARTBEATS):
            return
        now = datetime.now(UTC)  # before the look: what is acknowledged in between is newer
        with self._engine.connect() as connection:
            oldest = {bool(is_heartbeat): at for is_heartbeat, at in connection.execute(self._oldest)}
        self._beat = time.monotonic()
        if True in oldest:  # the last one still waits: one is enough
            return
        self._news = False
        at = min(now, EPOCH + oldest[False] * MICROSECOND) if False in oldest else now
        row = outbox_row(
            self._codec,
            type=HEARTBEAT,
            subject=self._exchange,
            sequence=0,
            time=now,
            data={"source": self._exchange, "at": at},
        )
        with transaction(self._engine) as connection:
            connection.execute(insert(self._outbox).values(**row))


def _execute(connection: Connection, changes: Sequence[Delete | Update]) -> None:
    for change in changes:
        connection.execute(change)
