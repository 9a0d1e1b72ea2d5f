"""The broker port on RabbitMQ: durable topic exchanges and quorum queues. Control, each publisher, each subscription have a connection."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import pika
from pika.channel import Channel

from common.messaging.declared import Declared, of_queue
from common.messaging.port import Broker, Hold, Message, NotEmpty, Publisher, Subscription, Tap
from common.messaging.rabbitmq_connection import Link, parameters, reason_of, refuse, settle
from common.messaging.rabbitmq_hold import RabbitHold
from common.messaging.rabbitmq_publisher import RabbitPublisher
from common.messaging.rabbitmq_subscription import RabbitSubscription
from common.messaging.rabbitmq_tap import RabbitTap
from common.messaging.rabbitmq_topology import declare_on, from_wire
from common.messaging.topology import Queue, Topology

T = TypeVar("T")
_DECLARE, _ASK, _PING = 10.0, 5.0, 1.5  # seconds until an answer
_NOT_FOUND = 404


class RabbitBroker(Broker):
    """RabbitMQ from 3.10 on. `name` and the role stand in its list of connections. Connects when first used."""

    def __init__(self, url: str, name: str) -> None:
        self._parameters: Callable[[str], pika.URLParameters] = lambda role: parameters(url, f"{name} {role}")
        self._lock = threading.Lock()
        self._declared = Declared()
        self._used: list[Publisher | Subscription | Tap] = []
        self._control = Link(self._parameters("control"), lambda _channel, done: done())

    def declare(self, topology: Topology) -> None:
        self._declared.add(topology)  # before trying: publishers shall declare it when the broker is back

        def step(channel: Channel, future: "Future[None]") -> None:
            declare_on(channel, topology)
            channel.basic_qos(prefetch_count=1, callback=lambda _: settle(future, None))  # answered after all of them

        self._apart(step, _DECLARE)

    def publisher(self) -> Publisher:
        return self._keep(RabbitPublisher(self._parameters("publisher"), self._declared))

    def subscribe(self, queue: Queue, prefetch: int) -> Subscription:
        self._declared.add(of_queue(queue))
        left = partial(self._declared.of, queue)
        return self._keep(
            RabbitSubscription(self._parameters(f"consumer of {queue.name}"), left, queue, prefetch, self.publisher)
        )

    def tap(self, exchange: str) -> Tap:
        tap = RabbitTap(self._parameters(f"tap of {exchange}"), exchange)
        try:
            tap.begin(_DECLARE)
        except BaseException:
            tap.close()
            raise
        return self._keep(tap)

    def unbind(self, queue: Queue) -> None:
        self._declared.unbind(queue)

        def step(channel: Channel, future: "Future[int]") -> None:
            for exchange, pattern in queue.bindings:
                channel.queue_unbind(queue.name, exchange, pattern)
            channel.basic_qos(prefetch_count=1, callback=lambda _: settle(future, 0))  # answered after all of them

        self._apart(step, _DECLARE, missing=0)

    def remove(self, queue: Queue, *, with_messages: bool = False) -> None:
        everything = [queue.name, queue.dead, queue.discarded]
        if not with_messages:
            for name in everything:  # quorum queues know no `if_empty`
                waiting, consumers = self._counts(name)
                if waiting or consumers:
                    raise NotEmpty(name, f"it holds {waiting} messages" if waiting else f"{consumers} still consume from it")
        self._declared.remove(queue)

        def step(channel: Channel, future: "Future[None]") -> None:
            for name in everything:
                channel.queue_delete(name)
            channel.basic_qos(prefetch_count=1, callback=lambda _: settle(future, None))  # answered after all of them

        self._apart(step, _DECLARE)

    def hold(self, name: str) -> Hold:
        hold = RabbitHold(self._parameters(f"holder of {name}"), name)
        try:
            hold.begin(_DECLARE)
        except BaseException:
            hold.free()
            raise
        return hold

    def depth(self, queue: str) -> int:
        """Messages that wait and are not on their way to a consumer; what a consumer has prefetched is not counted."""
        return self._counts(queue)[0]

    def browse(self, queue: str, limit: int) -> list[Message]:
        """The oldest that wait. The queue notes that they were handed out: their next attempt counts one more."""

        def step(channel: Channel, future: "Future[list[Message]]") -> None:
            seen: list[Message] = []

            def ask() -> None:
                if len(seen) < limit:
                    channel.basic_get(queue, on_message)
                else:
                    settle(future, seen)

            def on_message(_: Channel, method: "pika.spec.Basic.GetOk", properties: pika.BasicProperties, body: bytes) -> None:
                seen.append(from_wire(method.routing_key, properties, body)[0])
                ask()

            channel.add_callback(lambda _: settle(future, seen), [pika.spec.Basic.GetEmpty])
            ask()

        return self._apart(step, _ASK + limit / 100, missing=[])  # one round trip a message

    def ping(self) -> None:
        def step(channel: Channel, future: "Future[None]") -> None:
            channel.basic_qos(prefetch_count=1, callback=lambda _: settle(future, None))

        self._control.call(step, _PING)

    def close(self) -> None:
        with self._lock:
            used, self._used = self._used, []
        # Side by side: with the broker gone each of them waits for its own good-bye.
        closing = [threading.Thread(target=each.close, daemon=True) for each in (*used, self._control)]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()

    def _counts(self, queue: str) -> tuple[int, int]:
        """How many messages wait in the queue of this name, and how many consume from it."""

        def step(channel: Channel, future: "Future[tuple[int, int]]") -> None:
            def answered(frame: "pika.frame.Method[pika.spec.Queue.DeclareOk]") -> None:
                settle(future, (frame.method.message_count or 0, frame.method.consumer_count or 0))

            channel.queue_declare(queue, passive=True, callback=answered)

        return self._apart(step, _ASK, missing=(0, 0))

    def _keep(self, used: "Used") -> "Used":
        with self._lock:
            self._used.append(used)
        return used

    def _apart(self, step: "Callable[[Channel, Future[T]], None]", timeout: float, missing: "T | None" = None) -> T:
        """Runs `step` on a channel of its own, since a broker answers mistakes by closing it. `missing` is the answer for a 404."""

        def closed(future: "Future[T]", _channel: Channel, error: Exception) -> None:
            if missing is not None and getattr(error, "reply_code", None) == _NOT_FOUND:
                settle(future, missing)
            else:
                refuse(future, reason_of(error))

        def close(channel: Channel) -> None:
            if channel.is_open:
                channel.close()

        def opened(future: "Future[T]", channel: Channel) -> None:
            ioloop = channel.connection.ioloop  # type: ignore[attr-defined]
            future.add_done_callback(lambda _: ioloop.add_callback_threadsafe(partial(close, channel)))
            if not future.done():
                step(channel, future)

        def outer(kept: Channel, future: "Future[T]") -> None:
            channel = kept.connection.channel(on_open_callback=partial(opened, future))
            channel.add_on_close_callback(partial(closed, future))

        return self._control.call(outer, timeout)


Used = TypeVar("Used", RabbitPublisher, RabbitSubscription, RabbitTap)
