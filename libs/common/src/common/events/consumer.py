"""The consumer loop: takes batches from a queue, decodes, hands them to a handler, acks only what that made durable."""

import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from common.backoff import Backoff
from common.errors import Unavailable
from common.events.catalogue import UnknownSchema
from common.events.codec import Codec, Undecodable
from common.events.envelope import HEARTBEAT, Event, from_message
from common.failpoints import RejectedOnPurpose, failpoint
from common.messaging.port import Broker, Burial, Delivery, Subscription
from common.messaging.topology import Queue
from common.observability.logs import Trouble
from common.observability.metrics import Consumed, Metrics

log = logging.getLogger(__name__)

#: From this many earlier attempts on, a delivery is handled by itself: whatever it breaks, it breaks alone.
ALONE_FROM = 5


@dataclass(frozen=True, slots=True)
class Rejected:
    """The handler will never be able to apply this event: a dead letter."""

    reason: str
    detail: str


class Handler(ABC):
    """Applies events. Called by one thread."""

    @abstractmethod
    def apply(self, events: Sequence[Event]) -> Sequence[Rejected | None]:
        """One answer per event, in order: None once it is durable (also when it was already there, or is stale), or Rejected.

        Raises Unavailable when a neighbour is down: the same batch comes again. After any other exception its halves come.
        """


class Consumer:
    """Runs a handler over a queue until told to stop. Duplicates and reordering are the handler's to bear."""

    def __init__(
        self,
        broker: Broker,
        queue: Queue,
        codec: Codec,
        handler: Handler,
        *,
        batch: int = 1000,
        linger: float = 0.05,
        metrics: Consumed | None = None,
    ) -> None:
        self._broker, self._queue, self._codec, self._handler = broker, queue, codec, handler
        self._batch, self._linger = batch, linger
        self._counted = metrics or Consumed(Metrics(queue.name))
        self._trouble = Trouble(log)

    def run(self, stop: threading.Event) -> None:
        """Takes and applies until `stop` is set; what is under way then is finished or given back."""
        subscription = self._broker.subscribe(self._queue, prefetch=4 * self._batch)
        try:
            while not stop.is_set():
                taken = subscription.take(self._batch, self._linger, timeout=0.5)
                if not taken:
                    continue
                failpoint("consumer.taken")
                if again := sum(delivery.attempts > 0 for delivery in taken):
                    log.info("%d of %d events came again", again, len(taken), extra={"redelivered": again})
                suspects = [delivery for delivery in taken if delivery.attempts >= ALONE_FROM]
                together = [delivery for delivery in taken if delivery.attempts < ALONE_FROM]
                for portion in (together, *([suspect] for suspect in suspects)):
                    if portion:
                        self._settle(subscription, portion, stop)
        finally:
            subscription.close()

    def _settle(self, subscription: Subscription, deliveries: Sequence[Delivery], stop: threading.Event) -> None:
        """Applies these until each is acked or buried. A neighbour that is down makes them wait, held, with growing pauses."""
        burials: list[Burial] = []
        readable: list[tuple[Delivery, Event]] = []
        for delivery in deliveries:
            try:
                event = from_message(delivery.message, self._codec, delivery.attempts + 1)
                failpoint("consumer.apply", event.data)
                readable.append((delivery, event))
            except UnknownSchema as error:
                burials.append(Burial(delivery, "unknown-schema", str(error)))
            except Undecodable as error:
                burials.append(Burial(delivery, "undecodable", str(error)))
            except RejectedOnPurpose as error:
                burials.append(Burial(delivery, "failpoint", str(error)))
        if burials:
            self._persist(lambda: self._bury(subscription, burials), stop)
        if readable:
            self._counted.took(event.type for _, event in readable)
            self._apply(subscription, readable, stop)

    def _apply(self, subscription: Subscription, readable: Sequence[tuple[Delivery, Event]], stop: threading.Event) -> None:
        answers: list[Rejected | None] = []

        def apply() -> None:
            answers[:] = self._handler.apply([event for _, event in readable])

        try:
            if not self._persist(apply, stop):
                return  # told to stop: closing the subscription gives them back
        except Exception as error:
            if len(readable) > 1:  # halving finds one culprit among a thousand in twenty steps
                log.warning("a batch of %d failed and is tried in halves: %r", len(readable), error)
                middle = len(readable) // 2
                for half in (readable[:middle], readable[middle:]):
                    self._apply(subscription, half, stop)
                return
            log.exception("an event failed and becomes a dead letter", extra={"subject": readable[0][1].subject})
            answers[:] = [Rejected("failed", f"{type(error).__name__}: {error}"[:1000])]
        failpoint("consumer.applied")
        done = [each for each, answer in zip(readable, answers, strict=True) if answer is None]
        if done:
            subscription.ack([delivery for delivery, _ in done])
            failpoint("consumer.acked")
            self._counted.applied(((event.type, event.time) for _, event in done), datetime.now(UTC))
        if told := [event.id for _, event in done if event.type != HEARTBEAT]:
            log.info("applied", extra={"events": told, "queue": self._queue.name})
        burials = [
            Burial(delivery, answer.reason, answer.detail)
            for (delivery, _), answer in zip(readable, answers, strict=True)
            if answer is not None
        ]
        if burials:
            self._persist(lambda: self._bury(subscription, burials), stop)

    def _bury(self, subscription: Subscription, burials: Sequence[Burial]) -> None:
        failpoint("consumer.bury")
        subscription.bury(burials)
        failpoint("consumer.buried")
        self._counted.buried(burial.reason for burial in burials)
        for burial in burials:
            log.error(
                "dead letter: %s",
                burial.detail,
                extra={"reason": burial.reason, "event_id": burial.delivery.message.id, "queue": self._queue.name},
            )

    def _persist(self, step: Callable[[], None], stop: threading.Event) -> bool:
        """Runs `step`, again after each Unavailable; False when told to stop first. Other errors are raised."""
        backoff = Backoff(longest=10.0)
        while True:
            try:
                step()
            except Unavailable as error:
                self._trouble.warn(f"waiting: {error}", queue=self._queue.name)
            else:
                self._trouble.over()
                return True
            if stop.wait(backoff.pause()):
                return False
