"""A link to RabbitMQ: one connection with one prepared channel on a thread of its own, made again by itself after every loss."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from functools import partial
from typing import Any, TypeVar

import pika
from pika.adapters.base_connection import BaseConnection
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel
from pika.exceptions import ChannelClosedByClient, StreamLostError

from common.backoff import Backoff
from common.errors import Unavailable, WrongSetting
from common.messaging.rabbitmq_tolerance import TolerantConnection

log = logging.getLogger(__name__)

T = TypeVar("T")
FAREWELL = 1.0  # seconds that a broker has to answer our good-bye
HEARTBEAT = 20  # seconds; RabbitMQ's own 60 would notice a silent loss only after two minutes


def parameters(url: str, name: str) -> pika.URLParameters:
    """What pika needs to know; `name` is shown in RabbitMQ's list of connections. Raises WrongSetting, never with the password in it."""
    try:
        result = pika.URLParameters(url)
    except Exception:  # noqa: BLE001 (whatever pika makes of it, its text may hold the password)
        raise WrongSetting("BROKER_URL", "must be a URL like amqp://user:password@host:5672/vhost") from None
    result.client_properties = {"connection_name": name}
    result.connection_attempts = 1  # trying again, with growing pauses, is the link's own work
    result.socket_timeout, result.stack_timeout = 5.0, 8.0
    if "heartbeat=" not in url:
        result.heartbeat = HEARTBEAT
    return result


def unavailable(reason: str) -> Unavailable:
    """The error for callers of the port."""
    return Unavailable("broker", reason)


def settle(future: Future[T], result: T) -> None:
    """Answers whoever still waits."""
    with contextlib.suppress(InvalidStateError):
        future.set_result(result)


def refuse(future: Future[T], reason: str) -> None:
    """Answers whoever still waits with Unavailable."""
    with contextlib.suppress(InvalidStateError):
        future.set_exception(unavailable(reason))


class Link:
    """Keeps one channel open until closed. Safe for any thread; `prepare` and `lost` run on the link's own.

    `prepare(channel, done)` makes a fresh channel fit for use and then calls `done`; `lost()` is told when it is gone.
    """

    def __init__(
        self,
        parameters: pika.URLParameters,
        prepare: Callable[[Channel, Callable[[], None]], None],
        lost: Callable[[], None] | None = None,
    ) -> None:
        self._parameters, self._prepare, self._lost = parameters, prepare, lost
        self._address = f"{parameters.host}:{parameters.port}"
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self._connection: TolerantConnection | None = None
        self._channel: Channel | None = None  # prepared, in use
        self._blocked = ""  # why the broker takes no messages at the moment
        self._reason = "no answer yet"  # why there is no channel
        self._failures = 0  # attempts that came to nothing
        self._pending: set[Future[Any]] = set()
        self._backoff = Backoff()

    def start(self) -> None:
        """Begins to connect; may be repeated."""
        with self._changed:
            if self._thread is None and not self._ended.is_set():
                self._thread = threading.Thread(target=self._run, name="rabbitmq", daemon=True)
                self._thread.start()

    def call(self, step: Callable[[Channel, "Future[T]"], None], timeout: float) -> T:
        """Runs `step` with the channel on the link's thread and waits until it settles the future. Raises Unavailable.

        Without a channel it waits for the attempt under way, not for the broker's return: the caller learns the reason soon. After
        `timeout` seconds the channel is replaced, so that nothing piles up behind an answer that does not come.
        """
        self.start()
        deadline = time.monotonic() + timeout
        future: Future[T] = Future()
        with self._changed:
            failures = self._failures
            self._changed.wait_for(lambda: self._usable() or self._ended.is_set() or self._failures != failures, timeout)
            channel, connection = self._channel, self._connection
            if channel is None or connection is None or not self._usable():
                raise unavailable("closed" if self._ended.is_set() else self._blocked or self._reason)
            self._pending.add(future)
            connection.ioloop.add_callback_threadsafe(partial(self._step, step, channel, future))
        try:
            return future.result(max(0.0, deadline - time.monotonic()))
        except TimeoutError:
            future.cancel()
            reason = self._blocked or f"no answer within {timeout:g} s"
            self._replace(channel, reason)
            raise unavailable(reason) from None
        finally:
            with self._changed:
                self._pending.discard(future)

    def post(self, step: Callable[[Channel], None]) -> None:
        """Runs `step` with the channel on the link's thread, soon; not at all if there is none."""
        with self._changed:
            if self._channel is not None and self._connection is not None:
                self._connection.ioloop.add_callback_threadsafe(partial(self._guarded, step, self._channel))

    def renew(self) -> None:
        """Puts a fresh channel in the place of this one, if there is one."""
        self.post(self._renew)

    def close(self) -> None:
        """Says good-bye if it can and ends within two seconds even if it cannot; who waits gets Unavailable."""
        self._ended.set()
        with self._changed:
            thread, connection = self._thread, self._connection
            self._refuse_pending("closed")
            self._changed.notify_all()
        if connection is not None:
            connection.ioloop.add_callback_threadsafe(partial(self._say_goodbye, connection))
        if thread is not None and thread is not threading.current_thread():
            thread.join(2 * FAREWELL)

    # Called by any thread.

    def _usable(self) -> bool:
        return self._channel is not None and not self._blocked and not self._ended.is_set()

    def _refuse_pending(self, reason: str) -> None:
        for future in self._pending:
            refuse(future, reason)
        self._pending.clear()

    def _replace(self, channel: Channel, reason: str) -> None:
        """Stops using this channel at once; the next is opened when the broker has agreed to close it."""
        with self._changed:
            if channel is not self._channel or self._connection is None:
                return
            self._drop(reason)
            self._connection.ioloop.add_callback_threadsafe(partial(self._abandon, channel))

    def _drop(self, reason: str) -> None:
        """There is no channel any more, or still none."""
        with self._changed:
            had_channel, self._channel = self._channel is not None, None
            if not self._ended.is_set() and (had_channel or reason != self._reason):  # once, not at every attempt
                log.warning("no channel to RabbitMQ: %s", reason)
            self._failures += not had_channel
            self._reason = reason
            self._refuse_pending(reason)
            self._changed.notify_all()

    # On the link's thread.

    def _run(self) -> None:
        while not self._ended.is_set():
            with self._changed:
                if self._ended.is_set():
                    return
                connection = TolerantConnection(self._parameters, self._opened, self._failed, self._failed)
                self._connection, self._blocked = connection, ""
            while True:
                try:
                    connection.ioloop.start()
                    break
                except Exception as error:  # a bug in a callback must cost the connection, not the thread
                    log.exception("the connection to RabbitMQ is given up")
                    self._drop(reason_of(error))
                    if connection.is_closed:
                        break
                    try:
                        connection.ioloop.add_callback_threadsafe(partial(self._say_goodbye, connection))
                    except OSError:  # the loop itself is broken: nobody can say goodbye on it
                        break
            with contextlib.suppress(OSError):
                connection.ioloop.close()
            self._ended.wait(self._backoff.pause())

    def _opened(self, connection: "BaseConnection[IOLoop]") -> None:
        connection.add_on_connection_blocked_callback(
            lambda _, frame: self._set_blocked(f"takes no messages: {frame.method.reason}")
        )
        connection.add_on_connection_unblocked_callback(lambda _, _frame: self._set_blocked(""))
        self._open_channel(connection)

    def _set_blocked(self, reason: str) -> None:
        with self._changed:
            self._blocked = reason
            self._changed.notify_all()

    def _failed(self, connection: "BaseConnection[IOLoop]", error: object) -> None:
        self._set_blocked("")
        self._drop(f"{self._address}: {reason_of(error)}")
        self._gone()
        connection.ioloop.stop()

    def _open_channel(self, connection: "BaseConnection[IOLoop]") -> None:
        if connection.is_open and not self._ended.is_set():
            channel = connection.channel(on_open_callback=lambda opened: self._prepare(opened, partial(self._ready, opened)))
            channel.add_on_close_callback(partial(self._channel_closed, connection))

    def _ready(self, channel: Channel) -> None:
        with self._changed:
            self._channel, self._reason = channel, ""
            self._backoff.reset()
            self._changed.notify_all()

    def _channel_closed(self, connection: "BaseConnection[IOLoop]", channel: Channel, error: object) -> None:
        if connection.is_open:  # else its own end is told next
            if channel is self._channel or not isinstance(error, ChannelClosedByClient):
                self._drop(reason_of(error))
                self._gone()
            connection.ioloop.call_later(self._backoff.pause(), partial(self._open_channel, connection))

    def _step(self, step: Callable[[Channel, "Future[T]"], None], channel: Channel, future: "Future[T]") -> None:
        if channel is not self._channel:
            refuse(future, self._reason)
            return
        try:
            step(channel, future)
        except Exception as error:
            log.exception("a call to RabbitMQ failed")
            refuse(future, reason_of(error))
            self._replace(channel, reason_of(error))

    def _guarded(self, step: Callable[[Channel], None], channel: Channel) -> None:
        if channel is self._channel:
            try:
                step(channel)
            except Exception as error:
                log.exception("a call to RabbitMQ failed")
                self._replace(channel, reason_of(error))

    def _renew(self, channel: Channel) -> None:
        with self._changed:
            self._channel = None
        self._abandon(channel)

    def _abandon(self, channel: Channel) -> None:
        self._gone()
        if channel.is_open:
            channel.close()

    def _gone(self) -> None:
        if self._lost is not None:
            self._lost()

    def _say_goodbye(self, connection: TolerantConnection) -> None:
        if not connection.is_closed:
            connection.ioloop.call_later(FAREWELL, partial(self._cut, connection))
            if not connection.is_closing:
                connection.close()

    def _cut(self, connection: TolerantConnection) -> None:
        # pika has no public way to end a connection whose peer is silent.
        if not connection.is_closed:
            connection._terminate_stream(StreamLostError("no answer to the good-bye"))  # type: ignore[attr-defined]


def reason_of(error: object) -> str:
    """A sentence from pika's nested errors; the broker's own words where there are any."""
    while isinstance(error, BaseException):
        inside = [*getattr(error, "exceptions", ()), getattr(error, "exception", None), *error.args]
        causes = [each for each in inside if isinstance(each, BaseException) and each is not error]
        if not causes:
            break
        error = causes[-1]
    code, text = getattr(error, "reply_code", None), getattr(error, "reply_text", None)
    return (f"{code} {text}" if text else str(error) or type(error).__name__)[:300]
