"""Names that RabbitMQ keeps for one process: an exclusive queue, which is its connection's alone and goes with it."""

import threading
from concurrent.futures import Future
from functools import partial

import pika
from pika.channel import Channel

from common.errors import Unavailable
from common.messaging.port import Held, Hold
from common.messaging.rabbitmq_connection import Link, reason_of, refuse, settle

_LOCKED = 405  # RESOURCE_LOCKED, AMQP 0-9-1


class RabbitHold(Hold):
    """Once its connection was lost it may be anybody's: it is never taken a second time by itself."""

    def __init__(self, parameters: pika.URLParameters, name: str) -> None:
        self._name = name
        self._taken, self._lost = threading.Event(), threading.Event()
        self._link = Link(parameters, lambda _channel, done: done(), self._gone)

    def begin(self, timeout: float) -> None:
        """From now on it is ours. Raises Held, Unavailable."""
        if not self._link.call(self._take, timeout):
            raise Held(self._name)
        self.check()

    def check(self) -> None:
        if self._lost.is_set():
            raise Unavailable("broker", f"the connection that held {self._name} was lost")

    def free(self) -> None:
        self._link.close()

    # On the link's thread.

    def _take(self, kept: Channel, future: "Future[bool]") -> None:
        """On a channel of its own, which the broker closes where somebody else has it."""
        channel = kept.connection.channel(on_open_callback=partial(self._declare, future))
        channel.add_on_close_callback(partial(self._closed, future))

    def _declare(self, future: "Future[bool]", channel: Channel) -> None:
        arguments = {"x-queue-type": "classic"}
        channel.queue_declare(
            f"{self._name}.held", exclusive=True, auto_delete=True, arguments=arguments, callback=partial(self._declared, future)
        )

    def _declared(self, future: "Future[bool]", _frame: object) -> None:
        self._taken.set()
        settle(future, True)

    def _closed(self, future: "Future[bool]", _channel: Channel, error: Exception) -> None:
        if getattr(error, "reply_code", None) == _LOCKED:
            settle(future, False)
        else:
            refuse(future, reason_of(error))

    def _gone(self) -> None:
        if self._taken.is_set():
            self._lost.set()
