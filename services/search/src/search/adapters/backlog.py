"""The second queue of a kind: bound beside `search.rooms` while a generation of its index is built (docs/adr/0010)."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

from common.errors import Unavailable
from common.events.consumer import Consumer
from common.messaging.port import Broker, Message, NotEmpty
from common.messaging.topology import Queue, Topology
from search.ports import Backlog, Index

log = logging.getLogger(__name__)

_PORTION, _WINDOW = 500, 2000
_CONFIRM = 30.0  # seconds for a portion to be confirmed
#: Seconds to wait for messages that must be there, and for those that consumed a queue to be gone from it.
_PATIENCE, _GONE = 10.0, 10.0


class QueueBacklog(Backlog):
    def __init__(self, broker: Broker, queue: Queue, consumer: Callable[[Queue, Index], Consumer]) -> None:
        """`queue` is the live index's own; `consumer` makes one that applies what is in a queue to an index."""
        self._broker, self._queue, self._consumer = broker, queue, consumer

    def begin(self, number: int) -> None:
        queue = beside(self._queue, number)
        self._broker.remove(queue, with_messages=True)
        self._broker.declare(Topology(tuple(exchange for exchange, _ in queue.bindings), (queue,)))

    @contextmanager
    def draining(self, number: int, into: Index) -> Iterator[None]:
        consumer, stop = self._consumer(beside(self._queue, number), into), threading.Event()

        def drain() -> None:
            while not stop.is_set():
                try:
                    consumer.run(stop)
                except Exception:
                    log.exception("draining failed and starts anew")
                    stop.wait(1.0)

        thread = threading.Thread(target=drain, name="draining", daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def waiting(self, number: int) -> int:
        return self._broker.depth(beside(self._queue, number).name)

    def end(self, number: int, *, forget: bool) -> None:
        queue = beside(self._queue, number)
        self._broker.unbind(queue)
        deadline = time.monotonic() + _GONE
        while True:
            if not forget:
                self._moved(queue.name, self._queue.name)
                self._moved(queue.dead, self._queue.dead)
            try:
                return self._broker.remove(queue, with_messages=forget)
            except NotEmpty as error:  # what a consumer that is on its way out has given back
                if time.monotonic() > deadline:
                    raise Unavailable("broker", str(error)) from error
            time.sleep(0.1)

    def _moved(self, source: str, target: str) -> None:
        """Publishes, then acks: who is killed in between leaves duplicates, never a gap."""
        while self._broker.depth(source):
            publisher = self._broker.publisher()
            with closing(publisher), closing(self._broker.subscribe(Queue(source, ()), _WINDOW)) as subscription:
                while taken := subscription.take(_PORTION, linger=0.05, timeout=_PATIENCE if self._broker.depth(source) else 0.5):
                    messages = [_addressed(delivery.message, target) for delivery in taken]
                    confirmed = publisher.publish("", messages, _CONFIRM)
                    if not all(confirmed):
                        raise Unavailable("broker", f"{target} does not take what {source} holds")
                    subscription.ack(taken)


def beside(queue: Queue, number: int) -> Queue:
    """The second queue for the generation of this number: `search.rooms-g2`."""
    return Queue(f"{queue.name}-g{number}", queue.bindings)


def _addressed(message: Message, target: str) -> Message:
    """To that queue alone, through the default exchange; its own routing key travels along as that of a dead letter does."""
    key = message.headers.get("dead_routing_key", message.routing_key)
    return replace(message, routing_key=target, headers={**message.headers, "dead_routing_key": key})
