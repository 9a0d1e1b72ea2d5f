"""The relay: publishes what waits in the outbox, at least once, and deletes what the broker has confirmed."""

import logging
import threading
import time
from datetime import UTC, datetime

from sqlalchemy import Connection, Engine, Row, Table, delete, func, insert, select

from common.backoff import Backoff
from common.db.doorbell import Doorbell
from common.db.engine import transaction
from common.errors import Unavailable
from common.events.codec import Codec
from common.events.envelope import to_message
from common.events.outbox import EPOCH, MICROSECOND, outbox_row
from common.messaging.port import Broker, Message, Publisher
from common.messaging.topology import Topology
from common.observability.logs import Trouble
from common.observability.metrics import Metrics, Relayed

log = logging.getLogger(__name__)

#: Seconds: between heartbeats, for a batch to be confirmed, to flush when told to stop.
HEARTBEAT, CONFIRM, FLUSH = 5.0, 10.0, 3.0
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
        exchange: str,
        codec: Codec,
        window: int = 1000,
        metrics: Relayed | None = None,
    ) -> None:
        self._engine, self._outbox, self._doorbell = engine, outbox, doorbell
        self._broker, self._topology, self._exchange = broker, topology, exchange
        self._codec, self._window = codec, window
        self._counted = metrics or Relayed(Metrics(exchange))
        self._beat = float("-inf")
        is_heartbeat = outbox.c.type == "Heartbeat"
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
                return self._relay(connection, connection, publisher)
        # Holding SQLite's only write lock while the broker thinks would stop every write: take, publish, then delete.
        with self._engine.connect() as connection:
            return self._relay(connection, None, publisher)

    def _relay(self, reading: Connection, deleting: Connection | None, publisher: Publisher) -> tuple[int, int]:
        waiting = select(self._outbox).order_by(self._outbox.c.id).limit(self._window).with_for_update(skip_locked=True)
        rows = reading.execute(waiting).all()
        if not rows:
            return 0, 0
        confirmed = self._publish(publisher, [self._message(row) for row in rows])
        done = [row.id for row, ok in zip(rows, confirmed, strict=True) if ok]
        if done:
            published = delete(self._outbox).where(self._outbox.c.id.in_(done))
            if deleting is not None:
                deleting.execute(published)
            else:
                with transaction(self._engine) as connection:
                    connection.execute(published)
        return len(rows), len(done)

    def _publish(self, publisher: Publisher, messages: list[Message]) -> list[bool]:
        self._counted.published.inc(len(messages))
        with self._counted.failures.count_exceptions(Unavailable):
            confirmed = publisher.publish(self._exchange, messages, CONFIRM)
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
        )

    def _heartbeat(self) -> None:
        """Every few seconds one row that says up to when all that was written has been published.

        That is the oldest event which still waits, for another relay may hold it: rows only go once they are confirmed.
        """
        if time.monotonic() - self._beat < HEARTBEAT:
            return
        with self._engine.connect() as connection:
            oldest = {bool(is_heartbeat): at for is_heartbeat, at in connection.execute(self._oldest)}
        self._beat = time.monotonic()
        if True in oldest:  # the last one still waits: one is enough
            return
        now = datetime.now(UTC)
        at = min(now, EPOCH + oldest[False] * MICROSECOND) if False in oldest else now
        row = outbox_row(
            self._codec,
            type="Heartbeat",
            subject=self._exchange,
            sequence=0,
            time=now,
            data={"source": self._exchange, "at": at},
        )
        with transaction(self._engine) as connection:
            connection.execute(insert(self._outbox).values(**row))
