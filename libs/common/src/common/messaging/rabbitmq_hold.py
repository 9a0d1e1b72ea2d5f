"""Names that RabbitMQ keeps for one process: an exclusive queue, which is its connection's alone and goes with it."""

import threading
from collections.abc import Callable
from functools import partial

import pika
from pika.channel import Channel
from pika.exceptions import ChannelClosedByBroker

from common.errors import Unavailable
from common.messaging.port import Held, Hold
from common.messaging.rabbitmq_connection import Link, settle

_LOCKED = 405  # RESOURCE_LOCKED, AMQP 0-9-1


class RabbitHold(Hold):
    """Once its connection was lost it is nobody's: it is never taken a second time by itself."""

    def __init__(self, parameters: pika.URLParameters, name: str) -> None:
        self._name = name
        self._taken, self._lost, self._refused = threading.Event(), threading.Event(), threading.Event()
        self._link = Link(parameters, self._prepare, self._gone)

    def begin(self, timeout: float) -> None:
        """From now on it is ours. Raises Held, Unavailable."""
        try:
            self._link.call(lambda _channel, future: settle(future, None), timeout)
        except Unavailable:
            if self._refused.is_set():
                raise Held(self._name) from None
            raise
        self.check()

    def check(self) -> None:
        if self._lost.is_set():
            raise Unavailable("broker", f"the connection that held {self._name} was lost")

    def free(self) -> None:
        self._link.close()

    # On the link's thread.

    def _prepare(self, channel: Channel, done: Callable[[], None]) -> None:
        channel.add_on_close_callback(self._closed)
        if not self._lost.is_set():
            channel.queue_declare(
                f"{self._name}.held",
                exclusive=True,
                auto_delete=True,
                arguments={"x-queue-type": "classic"},
                callback=partial(self._declared, done),
            )

    def _declared(self, done: Callable[[], None], _frame: object) -> None:
        self._taken.set()
        done()

    def _closed(self, _channel: Channel, error: Exception) -> None:
        if isinstance(error, ChannelClosedByBroker) and error.reply_code == _LOCKED:
            self._refused.set()

    def _gone(self) -> None:
        if self._taken.is_set():
            self._lost.set()
