"""Taps of RabbitMQ: a queue of this connection alone, behind the exchange that publishers send their copies to."""

import threading
from collections import deque
from collections.abc import Callable

import pika
from pika.channel import Channel

from common.messaging.port import MOST_TAPPED, MOST_TAPPED_BYTES, Message, Tap
from common.messaging.rabbitmq_connection import Link, settle
from common.messaging.rabbitmq_topology import declare_taps_on, from_wire, taps_of

_PORTION = 1000
# Without acks a broker sends whatever comes, and keeps in memory what a reader that is too slow has not read.
_PREFETCH, _ACK_EVERY = 100, 25
# Ours alone, gone with the connection, in memory: a tap may cost the broker no more than this.
_ARGUMENTS: dict[str, str | int] = {
    "x-queue-type": "classic",
    "x-max-length": MOST_TAPPED,
    "x-max-length-bytes": MOST_TAPPED_BYTES,
    "x-overflow": "drop-head",
}


class RabbitTap(Tap):
    """Counts what it missed by the publishers' numbers, wherever it was dropped: here, or by the broker while we were too slow."""

    def __init__(self, parameters: pika.URLParameters, exchange: str) -> None:
        self._exchange = exchange
        self._arrived = threading.Condition()
        self._local: deque[tuple[str | None, pika.BasicProperties, bytes]] = deque()
        self._bytes = 0  # of the bodies in it
        self._missed = 0
        self._closed = False
        self._last: dict[str, int] = {}  # the number of each publisher's copy that came last; the link's thread alone
        self._link = Link(parameters, self._prepare)

    def begin(self, timeout: float) -> None:
        """From now on there are copies. Raises Unavailable."""
        self._link.call(lambda _channel, future: settle(future, None), timeout)

    def take(self, timeout: float) -> list[Message]:
        with self._arrived:
            self._arrived.wait_for(lambda: self._local or self._closed, timeout)
            taken = [self._local.popleft() for _ in range(min(_PORTION, len(self._local)))]
            self._bytes -= sum(len(body) for *_, body in taken)
        return [from_wire(*each)[0] for each in taken]

    @property
    def missed(self) -> int:
        with self._arrived:
            return self._missed

    def close(self) -> None:
        with self._arrived:
            self._closed = True
            self._local.clear()
            self._arrived.notify_all()
        self._link.close()

    # On the link's thread.

    def _prepare(self, channel: Channel, done: Callable[[], None]) -> None:
        def declared(frame: "pika.frame.Method[pika.spec.Queue.DeclareOk]") -> None:
            name = frame.method.queue or ""
            channel.queue_bind(name, taps_of(self._exchange))
            channel.basic_consume(name, self._deliver, callback=lambda _: done())

        channel.add_on_cancel_callback(lambda _: channel.close() if channel.is_open else None)
        channel.basic_qos(prefetch_count=_PREFETCH)
        declare_taps_on(channel, self._exchange)
        channel.queue_declare("", exclusive=True, auto_delete=True, arguments=_ARGUMENTS, callback=declared)

    def _deliver(
        self, channel: Channel, method: "pika.spec.Basic.Deliver", properties: pika.BasicProperties, body: bytes
    ) -> None:
        tag = method.delivery_tag or 0
        if tag % _ACK_EVERY == 0:
            channel.basic_ack(tag, multiple=True)
        publisher, _, number = (properties.correlation_id or "").partition(":")
        if not number.isdecimal():
            return  # a probe, or nothing of ours
        before = self._last.get(publisher, int(number) - 1)
        self._last[publisher] = int(number)
        with self._arrived:
            if self._closed:
                return
            self._missed += max(0, int(number) - before - 1)
            self._local.append((method.routing_key, properties, body))
            self._bytes += len(body)
            while len(self._local) > MOST_TAPPED or self._bytes > MOST_TAPPED_BYTES:
                self._bytes -= len(self._local.popleft()[2])
                self._missed += 1
            self._arrived.notify_all()
