"""Publishing to RabbitMQ: a batch in one go, its confirms counted as they come, one answer for all of it."""

import logging
import struct
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future

import pika
from pika.channel import Channel
from pika.exceptions import AMQPError

from common.failpoints import failpoint
from common.messaging.port import Message, Publisher
from common.messaging.rabbitmq_connection import Link, settle
from common.messaging.rabbitmq_topology import declare_on, declare_taps_on, taps_of, to_properties
from common.messaging.topology import Topology

log = logging.getLogger(__name__)

# Properties travel in one frame, which is 128 kB unless configured otherwise; the broker ends the connection over a longer one.
_MOST_HEADER_BYTES = 100_000


#: The type of a message that only asks, by being returned or not, whether anybody taps the exchange.
PROBE = "atrium.probe"


class Batch:
    """The messages of one call on the wire, by id and in order: which are confirmed, which came back."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids = ids
        self._open = set(range(len(ids)))
        self._lowest = 0
        self._accepted = [True] * len(ids)
        self._returned = 0

    def confirmed(self, position: int, *, multiple: bool, accepted: bool) -> None:
        """The broker has settled the message at `position`, with `multiple` all before it too."""
        positions = range(self._lowest, position + 1) if multiple else range(position, position + 1)
        for each in positions:
            if each in self._open:
                self._open.discard(each)
                self._accepted[each] &= accepted
        if multiple:
            self._lowest = max(self._lowest, position + 1)

    def returned(self, id: str) -> None:
        """No queue took the first message of this id that has not come back yet. Always told before its confirm."""
        for position, each in enumerate(self._ids):
            if each == id and self._accepted[position] and position in self._open:
                self._accepted[position] = False
                self._returned += 1
                return

    @property
    def complete(self) -> bool:
        return not self._open

    @property
    def any_returned(self) -> bool:
        return self._returned > 0

    @property
    def outcome(self) -> list[bool]:
        return self._accepted


class RabbitPublisher(Publisher):
    """One connection, one channel with confirms. After each reconnect what `topology()` says is declared before anything is published."""

    def __init__(self, parameters: pika.URLParameters, topology: Callable[[], Topology]) -> None:
        self._topology = topology
        self._link = Link(parameters, self._prepare, self._lost)
        # The link's thread alone touches these.
        self._tag = 0  # of the message last sent on this channel
        self._first = 0  # tag of the first message of the batch
        self._batch: Batch | None = None
        self._future: Future[list[bool]] = Future()
        self._declare_again = False
        self._sent: Sent | None = None  # the batch, to be copied to whoever taps its exchange
        self._tappable: set[str] = set()  # exchanges whose tap exchange this channel has declared
        self._id, self._copies = uuid.uuid4().hex, 0

    def publish(self, exchange: str, messages: Sequence[Message], timeout: float, *, mandatory: bool = True) -> list[bool]:
        sendable = [_fits(message) for message in messages]
        ready = [(message, to_properties(message)) for message, fits in zip(messages, sendable, strict=True) if fits]
        if not ready:
            return sendable

        def step(channel: Channel, future: "Future[list[bool]]") -> None:
            self._send(channel, exchange, ready, mandatory, future)

        answer = self._link.call(step, timeout)
        accepted = iter(answer)
        return [fits and next(accepted) for fits in sendable]

    def close(self) -> None:
        self._link.close()

    def _prepare(self, channel: Channel, done: Callable[[], None]) -> None:
        self._tag, self._declare_again = 0, False
        self._tappable.clear()
        channel.add_on_return_callback(lambda _channel, _method, properties, _body: self._on_return(properties))
        declare_on(channel, self._topology())
        channel.confirm_delivery(self._on_confirm, callback=lambda _: done())

    def _lost(self) -> None:
        self._batch = self._sent = None

    def _send(self, channel: Channel, exchange: str, ready: "Ready", mandatory: bool, future: "Future[list[bool]]") -> None:
        if self._declare_again:
            declare_on(channel, self._topology())
            self._declare_again = False
        self._sent = None
        if exchange:
            self._ask_for_taps(channel, exchange)
            self._sent = channel, exchange, ready
        self._batch, self._future, self._first = Batch([message.id for message, _ in ready]), future, self._tag + 1
        for message, properties in ready:
            channel.basic_publish(exchange, message.routing_key, message.body, properties, mandatory=mandatory)
        self._tag += len(ready)
        failpoint("publisher.sent")

    def _ask_for_taps(self, channel: Channel, exchange: str) -> None:
        """A message that comes back before the batch is confirmed, unless there are taps."""
        if exchange not in self._tappable:
            declare_taps_on(channel, exchange)
            self._tappable.add(exchange)
        channel.basic_publish(taps_of(exchange), "", b"", pika.BasicProperties(type=PROBE), mandatory=True)
        self._tag += 1

    def _copy(self, sent: "Sent", accepted: Sequence[bool]) -> None:
        """Copies are numbered, so that a tap can count what it missed. Nobody waits for their confirms."""
        channel, exchange, ready = sent
        for (message, properties), ok in zip(ready, accepted, strict=True):
            if ok:
                self._copies += 1
                properties.correlation_id, properties.delivery_mode = f"{self._id}:{self._copies}", 1
                channel.basic_publish(taps_of(exchange), message.routing_key, message.body, properties)
                self._tag += 1

    def _on_return(self, properties: pika.BasicProperties) -> None:
        if properties.type == PROBE:
            self._sent = None
        elif self._batch is not None:
            self._batch.returned(properties.message_id or "")

    def _on_confirm(self, frame: "pika.frame.Method[pika.spec.Basic.Ack | pika.spec.Basic.Nack]") -> None:
        batch = self._batch
        if batch is None:
            return
        accepted = isinstance(frame.method, pika.spec.Basic.Ack)
        batch.confirmed(frame.method.delivery_tag - self._first, multiple=frame.method.multiple, accepted=accepted)
        if batch.complete:
            self._batch = None
            self._declare_again = batch.any_returned  # a queue may have been deleted under us
            settle(self._future, batch.outcome)
            sent, self._sent = self._sent, None
            if sent is not None:
                self._copy(sent, batch.outcome)


Ready = Sequence[tuple[Message, pika.BasicProperties]]
Sent = tuple[Channel, str, Ready]


def _fits(message: Message) -> bool:
    """Whether AMQP can carry its properties. False is logged: such a message can never be published."""
    try:
        size = sum(len(part) for part in to_properties(message).encode())
        if size <= _MOST_HEADER_BYTES and len(message.routing_key.encode()) < 256:
            return True
        reason = f"its properties take {size} bytes, its routing key {len(message.routing_key)} characters"
    except (AMQPError, struct.error, ValueError) as error:
        reason = f"{type(error).__name__}: {error}"
    log.error("message %.80s cannot be published: %s", message.id, reason)
    return False
