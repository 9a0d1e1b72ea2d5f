"""Consuming from RabbitMQ: the link's thread fills a local queue, the worker takes batches from it and settles them."""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeGuard

import pika
from pika.channel import Channel

from common.messaging.burial import dead_letter
from common.messaging.port import Burial, Delivery, Publisher, Subscription
from common.messaging.rabbitmq_connection import Link, unavailable
from common.messaging.rabbitmq_topology import declare_on, from_wire
from common.messaging.topology import Queue, Topology

_BURY = 10.0  # seconds until a dead letter must be confirmed
# RabbitMQ 3.10 may deliver nothing, for ever, to who consumed from a queue that was deleted and declared again at once. Heartbeats come
# more often than this (seconds): after such a silence something is wrong, and a consumer that holds nothing begins anew.
_SILENT = 8.0
_MOST_PREFETCH = 65_535  # a 16-bit number on the wire


@dataclass(frozen=True, slots=True)
class Tag:
    """A delivery on one channel: numbers start again with each, so they mean something only within their generation."""

    generation: object
    number: int


class Window:
    """The deliveries of one channel that are not settled yet. Numbers are given from 1 on without a gap."""

    def __init__(self) -> None:
        self._lowest = 1
        self._settled: set[int] = set()  # above the lowest

    def settle(self, numbers: Iterable[int]) -> list[tuple[int, bool]]:
        """The frames, as (number, multiple), that settle exactly these: one for all that continue what is settled, one for each other."""
        new = {number for number in numbers if number >= self._lowest} - self._settled
        self._settled |= new
        reach = 0  # the last of ours below which nothing is open: the broker refuses a number that is settled already
        while self._lowest in self._settled:
            self._settled.discard(self._lowest)
            if self._lowest in new:
                new.discard(self._lowest)
                reach = self._lowest
            self._lowest += 1
        return [*([(reach, True)] if reach else []), *((number, False) for number in sorted(new))]


class RabbitSubscription(Subscription):
    """Takes from one queue. What `topology()` says of it is declared after each reconnect, and again when somebody deletes it."""

    def __init__(
        self,
        parameters: pika.URLParameters,
        topology: Callable[[], Topology],
        queue: Queue,
        prefetch: int,
        publisher: Callable[[], Publisher],
    ) -> None:
        self._topology, self._queue, self._new_publisher = topology, queue, publisher
        self._prefetch = max(1, min(prefetch, _MOST_PREFETCH))
        self._publisher: Publisher | None = None
        self._arrived = threading.Condition()
        self._local: deque[tuple[int, str | None, pika.BasicProperties, bytes]] = deque()
        self._enough = 0  # local deliveries that the worker waits for
        self._held: set[int] = set()  # numbers that were taken and are not settled
        self._generation = object()
        self._window = Window()  # the link's thread alone
        self._closed = False
        self._heard = time.monotonic()  # when the broker last gave or told us something
        self._link = Link(parameters, self._prepare, self._lost)
        self._link.start()

    def take(self, limit: int, linger: float, timeout: float) -> list[Delivery]:
        deadline = time.monotonic() + timeout
        with self._arrived:
            if self._closed:
                raise unavailable("the subscription is closed")
            while not self._await(1, min(deadline - time.monotonic(), _SILENT)):
                if not self._held and time.monotonic() - self._heard >= _SILENT:
                    self._heard = time.monotonic()
                    self._link.renew()
                if time.monotonic() >= deadline or self._is_closed():
                    return []
            # More than the prefetch allows will not come while we hold what we hold.
            self._await(min(limit, self._prefetch - len(self._held)), linger)
            taken = [self._local.popleft() for _ in range(min(limit, len(self._local)))]
            generation = self._generation
            self._held.update(number for number, *_ in taken)
        deliveries = []
        for number, routing_key, properties, body in taken:
            message, attempts = from_wire(routing_key, properties, body)
            deliveries.append(Delivery(message, Tag(generation, number), attempts))
        return deliveries

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self._settle(self._give_up(deliveries), Channel.basic_ack)

    def release(self, deliveries: Sequence[Delivery]) -> None:
        self._settle(self._give_up(deliveries), Channel.basic_nack)

    def bury(self, burials: Sequence[Burial]) -> None:
        ours = [burial for burial in burials if self._holds(burial.delivery)]
        if not ours:
            return
        # Not on our own connection: an alarm stops the broker from reading one that publishes, and our acks with it.
        if self._publisher is None:
            self._publisher = self._new_publisher()
        letters = [replace(dead_letter(burial, self._queue.name), routing_key=self._queue.dead) for burial in ours]
        accepted = self._publisher.publish("", letters, _BURY)
        self.ack([burial.delivery for burial, ok in zip(ours, accepted, strict=True) if ok])
        if not all(accepted):
            raise unavailable(f"{self._queue.dead} did not take {accepted.count(False)} dead letters")

    def close(self) -> None:
        with self._arrived:
            self._closed = True
            self._arrived.notify_all()
        if self._publisher is not None:
            self._publisher.close()
        self._link.close()

    def _await(self, enough: int, timeout: float) -> bool:
        """Whether so many deliveries are here in time. The lock is ours."""
        self._enough = enough
        self._arrived.wait_for(lambda: len(self._local) >= enough or self._closed, max(0.0, timeout))
        return not self._closed and len(self._local) >= enough

    def _is_closed(self) -> bool:  # another thread may have
        return self._closed

    def _holds(self, delivery: Delivery) -> bool:
        with self._arrived:
            return self._is_ours(delivery.tag)

    def _is_ours(self, tag: object) -> TypeGuard[Tag]:
        return isinstance(tag, Tag) and tag.generation is self._generation and tag.number in self._held

    def _give_up(self, deliveries: Sequence[Delivery]) -> list[Tag]:
        """Those of the tags that are ours, and from now on no more."""
        with self._arrived:
            tags = [tag for delivery in deliveries if self._is_ours(tag := delivery.tag)]
            self._held.difference_update(tag.number for tag in tags)
        return tags

    def _settle(self, tags: Sequence[Tag], frame: Callable[[Channel, int, bool], None]) -> None:
        if tags:
            self._link.post(partial(self._send, tags, frame))

    # On the link's thread.

    def _send(self, tags: Sequence[Tag], frame: Callable[[Channel, int, bool], None], channel: Channel) -> None:
        if tags[0].generation is self._generation:
            for number, multiple in self._window.settle(tag.number for tag in tags):
                frame(channel, number, multiple)

    def _prepare(self, channel: Channel, done: Callable[[], None]) -> None:
        channel.add_on_cancel_callback(lambda _: channel.close() if channel.is_open else None)  # the queue is gone: begin again
        declare_on(channel, self._topology())
        channel.basic_qos(prefetch_count=self._prefetch)
        channel.basic_consume(self._queue.name, self._deliver, callback=lambda _: done())

    def _deliver(
        self, _channel: Channel, method: "pika.spec.Basic.Deliver", properties: pika.BasicProperties, body: bytes
    ) -> None:
        with self._arrived:
            self._heard = time.monotonic()
            self._local.append((method.delivery_tag or 0, method.routing_key, properties, body))
            if len(self._local) >= self._enough:
                self._arrived.notify_all()

    def _lost(self) -> None:
        with self._arrived:
            self._heard = time.monotonic()
            self._generation = object()
            self._window = Window()
            self._local.clear()
            self._held.clear()
