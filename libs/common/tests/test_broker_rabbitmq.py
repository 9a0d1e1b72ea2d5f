"""RabbitMQ when it is away, silent, short of memory or wiped, seen through a TCP proxy that can be cut."""

import contextlib
import logging
import socket
import struct
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from decimal import Decimal
from urllib.parse import urlsplit

import pika
import pytest

from common.errors import Unavailable, WrongSetting
from common.messaging.burial import dead_letter
from common.messaging.connect import connect
from common.messaging.port import MOST_TAPPED, Broker, Burial, Delivery
from common.messaging.rabbitmq_publisher import Batch
from common.messaging.rabbitmq_subscription import Window
from common.messaging.rabbitmq_tolerance import UNDECODABLE
from common.messaging.rabbitmq_topology import from_wire, to_properties
from common.messaging.topology import Queue, Topology
from common.testing.broker_contract import EXCHANGE, QUEUE, SOON, TOPOLOGY, message, messages, names, publish, take
from common.testing.waiting import eventually


class Proxy:
    """Forwards TCP connections to a server until told not to."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname, parts.port)
        self._flowing = threading.Event()
        self._flowing.set()
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._listener: socket.socket | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = free.getsockname()
        self.url = parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{self._address[1]}").geturl()

    def open(self) -> None:
        """Accepts connections."""
        self._listener = socket.create_server(self._address)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Ends every connection; new ones are refused until `open`."""
        listener, self._listener = self._listener, None
        if listener is not None:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for each in (end for pair in pairs for end in pair):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        self._flowing.set()

    def silence(self) -> None:
        """Connections stay, nothing passes any more."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def say(self, frame: bytes) -> None:
        """Tells the client that came last something on the server's behalf; only while nothing else is under way."""
        with self._lock:
            self._pairs[-1][0].sendall(frame)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            with self._lock:
                self._pairs.append((client, server))
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        source.close()


@pytest.fixture
def proxy(rabbitmq_url: str) -> Iterator[Proxy]:
    proxy = Proxy(rabbitmq_url)
    yield proxy
    proxy.cut()


@pytest.fixture
def broker(proxy: Proxy) -> Iterator[Broker]:
    """Behind the proxy, which is open."""
    proxy.open()
    with contextlib.closing(connect(proxy.url, "behind the proxy")) as broker:
        yield broker


@pytest.fixture
def direct(rabbitmq_url: str) -> Iterator[Broker]:
    with contextlib.closing(connect(rabbitmq_url, "direct")) as broker:
        yield broker


@contextlib.contextmanager
def plain_channel(url: str) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    """What an operator, or another program, may do to the broker.

    What it publishes is confirmed: a quorum queue that was only just declared may lose what a channel left behind unconfirmed.
    """
    connection = pika.BlockingConnection(pika.URLParameters(url))
    try:
        channel = connection.channel()
        channel.confirm_delivery()
        yield channel
    finally:
        connection.close()


def becomes_available(step: object) -> None:
    """Repeats the call until it is no longer refused."""

    def works() -> bool:
        try:
            step()  # type: ignore[operator]
        except Unavailable:
            return False
        return True

    eventually(works)


# Away


def test_an_absent_broker_is_no_error_until_it_is_needed(proxy: Proxy) -> None:
    with contextlib.closing(connect(proxy.url, "early")) as broker:
        subscription = broker.subscribe(QUEUE, 10)
        publisher = broker.publisher()
        for attempt in (
            lambda: broker.declare(TOPOLOGY),
            lambda: publisher.publish(EXCHANGE, messages(1), 5.0),
            broker.ping,
            lambda: broker.depth(QUEUE.name),
        ):
            with pytest.raises(Unavailable, match="refused"):
                attempt()
        assert subscription.take(1, 0.0, 0.1) == []

        proxy.open()
        becomes_available(lambda: publisher.publish(EXCHANGE, messages(1), 5.0))
        assert names(take(subscription, 1)) == ["m0"]


def test_publishing_goes_on_after_a_cut(proxy: Proxy, broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    publisher = broker.publisher()
    assert publisher.publish(EXCHANGE, messages(1), 5.0) == [True]
    proxy.cut()
    began = time.monotonic()
    with pytest.raises(Unavailable) as refusal:
        publisher.publish(EXCHANGE, messages(1, "lost"), 30.0)
    assert time.monotonic() - began < 10  # it says so long before the timeout
    assert "guest:guest" not in repr(refusal.value)

    proxy.open()
    becomes_available(lambda: publisher.publish(EXCHANGE, messages(1, "later"), 5.0))
    assert names(broker.browse(QUEUE.name, 10)) == ["m0", "later0"]


def test_a_batch_under_way_when_the_connection_is_lost_is_refused(proxy: Proxy, broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    publisher = broker.publisher()
    publisher.publish(EXCHANGE, messages(1), 5.0)
    proxy.silence()
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(publisher.publish, EXCHANGE, messages(100), 60.0)
        eventually(lambda: publisher._batch is not None)
        proxy.cut()
        with pytest.raises(Unavailable):
            under_way.result(SOON)


def test_closing_a_publisher_ends_its_batch(proxy: Proxy, broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    publisher = broker.publisher()
    publisher.publish(EXCHANGE, messages(1), 5.0)
    proxy.silence()
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(publisher.publish, EXCHANGE, messages(100), 60.0)
        eventually(lambda: publisher._batch is not None)
        publisher.close()
        with pytest.raises(Unavailable, match="closed"):
            under_way.result(SOON)


def test_a_subscription_survives_a_cut_and_old_acks_do_nothing(proxy: Proxy, broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    publish(broker, messages(3))
    subscription = broker.subscribe(QUEUE, 10)
    stale = take(subscription, 3)
    proxy.cut()
    assert subscription.take(1, 0.0, 0.1) == []
    subscription.ack(stale)  # to nobody
    proxy.open()

    again = take(subscription, 3)
    assert sorted(names(again)) == ["m0", "m1", "m2"]
    assert {each.attempts for each in again} == {1}
    subscription.ack(stale)
    subscription.bury([Burial(stale[0], "stale", "")])
    subscription.ack(again[:2])
    subscription.close()
    assert names(take(broker.subscribe(QUEUE, 10), 1)) == names(again[2:])


def test_a_burial_that_fails_leaves_the_message_ours(broker: Broker, rabbitmq_url: str) -> None:
    broker.declare(TOPOLOGY)
    publish(broker, messages(2))
    subscription = broker.subscribe(QUEUE, 10)
    first, second = take(subscription, 2)
    subscription.bury([Burial(first, "failed", "")])
    with plain_channel(rabbitmq_url) as channel:
        channel.queue_delete(QUEUE.dead)
    with pytest.raises(Unavailable, match=QUEUE.dead):
        subscription.bury([Burial(second, "failed", "")])
    subscription.bury([Burial(second, "failed", "")])
    assert names(broker.browse(QUEUE.dead, 10)) == ["m1"]
    subscription.close()
    assert broker.depth(QUEUE.name) == 0


def test_closing_does_not_wait_for_a_broker_that_is_gone(proxy: Proxy) -> None:
    broker = connect(proxy.url, "impatient")
    broker.subscribe(QUEUE, 10)
    broker.publisher()
    with pytest.raises(Unavailable):
        broker.ping()
    began = time.monotonic()
    broker.close()
    assert time.monotonic() - began < 2


# Silent


def test_a_silent_broker_costs_the_timeout_and_nothing_piles_up(proxy: Proxy, broker: Broker, direct: Broker) -> None:
    broker.declare(TOPOLOGY)
    publisher = broker.publisher()
    publisher.publish(EXCHANGE, messages(1), 5.0)
    proxy.silence()
    for _ in range(3):
        began = time.monotonic()
        with pytest.raises(Unavailable, match="no answer"):
            publisher.publish(EXCHANGE, messages(10, "held"), 0.3)
        assert 0.3 <= time.monotonic() - began < 3
    with pytest.raises(Unavailable):
        broker.ping()

    proxy.resume()
    becomes_available(lambda: publisher.publish(EXCHANGE, messages(1, "after"), 5.0))
    # The first batch may have arrived, the later ones were never sent.
    assert names(direct.browse(QUEUE.name, 100)) in (
        ["m0", "after0"],
        ["m0", *(f"held{position}" for position in range(10)), "after0"],
    )


def test_closing_does_not_wait_for_a_silent_broker(proxy: Proxy) -> None:
    proxy.open()
    broker = connect(proxy.url, "impatient")
    subscription, publisher = broker.subscribe(QUEUE, 10), broker.publisher()
    broker.declare(TOPOLOGY)
    publisher.publish(EXCHANGE, messages(1), 5.0)
    take(subscription, 1)
    proxy.silence()
    began = time.monotonic()
    broker.close()
    assert time.monotonic() - began < 3


def blocked(reason: str) -> bytes:
    """The frame with which RabbitMQ says that it is short of memory or disk: method 60 of class 10 on channel 0."""
    payload = struct.pack(">HHB", 10, 60, len(reason)) + reason.encode()
    return struct.pack(">BHI", 1, 0, len(payload)) + payload + b"\xce"


def test_an_alarm_refuses_batches_until_it_is_over(proxy: Proxy, broker: Broker) -> None:
    broker.declare(TOPOLOGY)
    publisher = broker.publisher()
    publisher.publish(EXCHANGE, messages(1), 5.0)
    proxy.say(blocked("low on memory"))

    def is_refused() -> bool:
        try:
            publisher.publish(EXCHANGE, messages(1, "before"), 0.2)
        except Unavailable as error:
            return "low on memory" in error.reason
        return False

    eventually(is_refused)
    waiting = broker.depth(QUEUE.name)
    with ThreadPoolExecutor(1) as pool:
        under_way = pool.submit(publisher.publish, EXCHANGE, messages(1, "during"), SOON)
        proxy.say(struct.pack(">BHIHH", 1, 0, 4, 10, 61) + b"\xce")  # unblocked
        assert under_way.result(SOON) == [True]
    assert broker.depth(QUEUE.name) == waiting + 1


def test_a_bug_in_a_callback_costs_the_connection_and_not_the_thread(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    broker.declare(TOPOLOGY)
    publisher = broker.publisher()
    publisher.publish(EXCHANGE, messages(1), 5.0)
    link = publisher._link  # type: ignore[attr-defined]
    link._connection.ioloop.add_callback_threadsafe(lambda: 1 // 0)
    eventually(lambda: "ZeroDivisionError" in caplog.text)
    becomes_available(lambda: publisher.publish(EXCHANGE, messages(1), 5.0))
    assert broker.depth(QUEUE.name) == 2


def test_a_loop_that_is_broken_costs_the_connection_and_not_the_thread(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    broker.declare(TOPOLOGY)
    publisher = broker.publisher()
    publisher.publish(EXCHANGE, messages(1), 5.0)
    connection = publisher._link._connection  # type: ignore[attr-defined]

    def broken() -> None:
        connection.ioloop._poller._w_interrupt.shutdown(socket.SHUT_RDWR)  # by which others wake it
        connection._transport._sock.shutdown(socket.SHUT_RDWR)
        raise ZeroDivisionError

    connection.ioloop.add_callback_threadsafe(broken)
    eventually(lambda: "ZeroDivisionError" in caplog.text)
    becomes_available(lambda: publisher.publish(EXCHANGE, messages(1), 5.0))
    connection._transport._sock.close()
    assert broker.depth(QUEUE.name) == 2


# Wiped


def test_a_broker_that_comes_back_empty_is_made_whole_before_anything_is_published(
    proxy: Proxy, broker: Broker, direct: Broker, rabbitmq_url: str
) -> None:
    other = Queue("other", ((EXCHANGE, "#"),))
    broker.declare(Topology((EXCHANGE,), (QUEUE, other)))
    publisher = broker.publisher()
    publisher.publish(EXCHANGE, messages(1), 5.0)
    proxy.cut()
    with plain_channel(rabbitmq_url) as channel:
        for name in (QUEUE.name, QUEUE.dead, other.name, other.dead):
            channel.queue_delete(name)
        channel.exchange_delete(EXCHANGE)
    proxy.open()

    becomes_available(lambda: publisher.publish(EXCHANGE, messages(1, "new"), 5.0))
    assert names(direct.browse(QUEUE.name, 10)) == ["new0"]
    assert names(direct.browse(other.name, 10)) == ["new0"]


def test_queues_and_exchanges_deleted_under_a_publisher_are_declared_again(broker: Broker, rabbitmq_url: str) -> None:
    broker.declare(TOPOLOGY)
    publisher = broker.publisher()
    publisher.publish(EXCHANGE, messages(1), 5.0)
    with plain_channel(rabbitmq_url) as channel:
        channel.queue_delete(QUEUE.name)
    assert publisher.publish(EXCHANGE, messages(1), 5.0) == [False]
    assert publisher.publish(EXCHANGE, messages(1), 5.0) == [True]

    with plain_channel(rabbitmq_url) as channel:
        channel.exchange_delete(EXCHANGE)
    with pytest.raises(Unavailable, match="404"):
        publisher.publish(EXCHANGE, messages(1), 5.0)
    assert publisher.publish(EXCHANGE, messages(1), 5.0) == [True]


def test_a_queue_deleted_under_a_subscription_is_declared_again(broker: Broker, rabbitmq_url: str) -> None:
    broker.declare(TOPOLOGY)
    publish(broker, messages(1))
    subscription = broker.subscribe(QUEUE, 10)
    stale = take(subscription, 1)
    with plain_channel(rabbitmq_url) as channel:
        channel.queue_delete(QUEUE.name)
    eventually(lambda: subscription._generation is not stale[0].tag.generation)  # type: ignore[attr-defined]
    publisher = broker.publisher()
    eventually(lambda: publisher.publish(EXCHANGE, messages(1, "new"), 5.0) == [True])
    (delivery,) = take(subscription, 1)
    assert names([delivery]) == ["new0"]
    subscription.ack(stale)
    subscription.ack([delivery])
    subscription.close()
    eventually(lambda: broker.depth(QUEUE.name) == 0)


def test_a_queue_deleted_and_declared_again_at_once_is_consumed_again(broker: Broker, rabbitmq_url: str) -> None:
    # RabbitMQ 3.10 sends no cancel then, and delivers nothing to a consumer until it settles what it holds of the old queue.
    broker.declare(TOPOLOGY)
    publish(broker, messages(1))
    subscription = broker.subscribe(QUEUE, 10)
    held = take(subscription, 1)
    with plain_channel(rabbitmq_url) as channel:
        channel.queue_delete(QUEUE.name)
    publisher = broker.publisher()
    eventually(lambda: publisher.publish(EXCHANGE, messages(1, "new"), 5.0) == [True])
    subscription.ack(held)
    (delivery,) = take(subscription, 1)
    assert names([delivery]) == ["new0"]
    subscription.ack([delivery])
    subscription.close()
    eventually(lambda: broker.depth(QUEUE.name) == 0)


# Taken away


def test_what_was_unbound_or_removed_stays_so_when_those_who_declared_it_reconnect(
    proxy: Proxy, broker: Broker, direct: Broker
) -> None:
    unbound, removed = Queue("unbound", ((EXCHANGE, "#"),)), Queue("removed", ((EXCHANGE, "#"),))
    broker.declare(Topology((EXCHANGE,), (QUEUE, unbound, removed)))
    publisher, subscriptions = broker.publisher(), [broker.subscribe(queue, 10) for queue in (unbound, removed)]
    assert publisher.publish(EXCHANGE, messages(1), 5.0) == [True]
    for subscription in subscriptions:
        subscription.ack(take(subscription, 1))
    broker.unbind(unbound)
    broker.remove(removed, with_messages=True)
    proxy.cut()
    proxy.open()
    becomes_available(lambda: publisher.publish(EXCHANGE, messages(1, "new"), 5.0))
    came: list[str] = []

    def is_consumed() -> bool:  # so its subscription has declared what there is to declare
        publish(direct, [message("direct", unbound.name)], "")
        came.extend(names(subscriptions[0].take(10, 0.0, 0.5)))
        return "direct" in came

    eventually(is_consumed)
    publisher.publish(EXCHANGE, messages(1, "newer"), 5.0)
    came += [name for subscription in subscriptions for name in names(subscription.take(10, 0.0, 0.3))]
    assert set(came) == {"direct"}
    assert publish(direct, [message("nobody", removed.name), message("dead", removed.dead)], "") == [False, False]

    broker.declare(Topology((EXCHANGE,), (removed,)))
    publisher.publish(EXCHANGE, messages(1, "again"), 5.0)
    assert names(take(subscriptions[1], 1)) == ["again0"]


def test_a_tap_survives_a_cut_and_counts_what_the_broker_dropped(proxy: Proxy, broker: Broker, direct: Broker) -> None:
    direct.declare(TOPOLOGY)
    tap, publisher = broker.tap(EXCHANGE), direct.publisher()
    proxy.cut()
    assert publisher.publish(EXCHANGE, messages(1, "unseen"), 5.0) == [True]
    assert tap.take(0.1) == []
    proxy.open()

    def sees() -> list[str]:
        publisher.publish(EXCHANGE, messages(1, "seen"), 5.0)
        return names(tap.take(0.1))

    assert set(eventually(sees)) == {"seen0"}
    while tap.take(0.1):
        pass
    before, sent = tap.missed, 0
    proxy.silence()  # a reader that does not keep up
    while sent < MOST_TAPPED + 2000:
        sent += publisher.publish(EXCHANGE, messages(1000), SOON).count(True)
    proxy.resume()
    kept: list[str] = []
    while batch := tap.take(2.0):
        kept += names(batch)
    assert len(kept) + tap.missed - before == sent
    assert tap.missed > before


def test_a_tap_cannot_be_opened_without_a_broker(proxy: Proxy) -> None:
    with contextlib.closing(connect(proxy.url, "early")) as broker, pytest.raises(Unavailable, match="refused"):
        broker.tap(EXCHANGE)


# Refusals


def test_a_queue_that_is_declared_otherwise_is_named(broker: Broker, rabbitmq_url: str) -> None:
    with plain_channel(rabbitmq_url) as channel:
        channel.queue_declare(QUEUE.name, durable=True)
    with pytest.raises(Unavailable, match=f"inequivalent arg.*{QUEUE.name}"):
        broker.declare(TOPOLOGY)
    with pytest.raises(Unavailable, match=f"inequivalent arg.*{QUEUE.name}"):
        broker.publisher().publish(EXCHANGE, messages(1), 5.0)


def test_a_full_queue_refuses_what_does_not_fit(broker: Broker, rabbitmq_url: str) -> None:
    broker.declare(Topology(("narrow",), ()))
    with plain_channel(rabbitmq_url) as channel:
        channel.queue_declare("small", durable=True, arguments={"x-max-length": 2, "x-overflow": "reject-publish"})
        channel.queue_bind("small", "narrow", "#")
    assert publish(broker, messages(4), "narrow") == [True, True, False, False]


def test_a_message_that_amqp_cannot_carry_is_refused_by_itself(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    broker.declare(TOPOLOGY)
    batch = [
        message("good"),
        message("long key", "k" * 300),
        message("é" * 200),
        message("also good"),
    ]
    with caplog.at_level(logging.ERROR):
        assert publish(broker, batch) == [True, False, False, True]
    assert "cannot be published" in caplog.text
    assert names(broker.browse(QUEUE.name, 10)) == ["good", "also good"]


def test_a_message_of_somebody_else_is_taken_as_it_is(broker: Broker, rabbitmq_url: str) -> None:
    broker.declare(TOPOLOGY)
    with plain_channel(rabbitmq_url) as channel:
        channel.basic_publish(EXCHANGE, "bare", b"body")
        odd = {"list": [1, "a"], "nothing": None, "true": True, "table": {"a": 1}, "bytes": b"\xff", "name": "odd"}
        channel.basic_publish(EXCHANGE, "odd", b"", pika.BasicProperties(headers=odd))
    bare, headed = (each.message for each in take(broker.subscribe(QUEUE, 10), 2))
    assert (bare.id, bare.routing_key, bare.body, bare.headers, bare.timestamp, bare.content_type) == (
        "",
        "bare",
        b"body",
        {},
        0,
        "",
    )
    assert headed.headers["true"] == 1
    assert all(isinstance(value, str | int) for value in headed.headers.values())


def test_a_message_with_any_headers_that_arrive_can_be_buried(broker: Broker, rabbitmq_url: str) -> None:
    broker.declare(TOPOLOGY)
    large = {"name": "large", "large": "x" * 125_000, "cloudEvents_type": "RoomCreated"}
    many = {"name": "many", **{f"h{number}": "é" * 50 for number in range(1100)}, "cloudEvents_id": "x" * 1000}
    copied = {"name": "copied", "CC": ["nobody"]}  # as text the broker refuses it, and closes the channel
    with plain_channel(rabbitmq_url) as channel:
        for headers in (large, many, copied):
            channel.basic_publish(EXCHANGE, "odd", b"body", pika.BasicProperties(headers=headers))
    subscription = broker.subscribe(QUEUE, 10)
    subscription.bury([Burial(each, "undecodable" * 1000, "\ud800") for each in take(subscription, 3)])

    letters = broker.browse(QUEUE.dead, 10)
    assert [letter.body for letter in letters] == [b"body"] * 3
    assert names(letters) == ["large", "many", "copied"]
    assert letters[0].headers["cloudEvents_type"] == "RoomCreated"
    assert letters[0].headers["dead_headers_dropped"] == 1
    assert "large" not in letters[0].headers
    assert letters[1].headers["cloudEvents_id"] == "x" * 1000
    assert 0 < int(letters[1].headers["dead_headers_dropped"]) < 1100
    assert "dead_headers_dropped" not in letters[2].headers
    eventually(lambda: broker.depth(QUEUE.name) == 0)


FORGED: list[dict[str, object]] = [
    {"x-death": "text"},
    {"x-death": []},
    {"x-death": [1]},
    {"x-death": {"a": 1}},
    {"x-death": [{"routing-keys": 7}]},
    {"x-death": [{"routing-keys": []}]},
    {"x-death": [{"routing-keys": [7]}]},
    {"x-delivery-count": "many"},
    {"x-delivery-count": []},
    {"empty": None, "number": Decimal("1.5"), "moment": datetime(2026, 1, 1, tzinfo=UTC), "list": list(range(5000))},
]


def test_forged_headers_are_taken_and_browsed(broker: Broker, rabbitmq_url: str) -> None:
    broker.declare(TOPOLOGY)
    with plain_channel(rabbitmq_url) as channel:
        for forged in FORGED:
            channel.basic_publish(EXCHANGE, "odd", b"body", pika.BasicProperties(headers=forged))
    assert len(broker.browse(QUEUE.name, 20)) == len(FORGED)
    subscription = broker.subscribe(QUEUE, 20)
    deliveries = take(subscription, len(FORGED))
    assert all(delivery.message.routing_key == "odd" for delivery in deliveries)
    assert all(isinstance(value, str | int) for delivery in deliveries for value in delivery.message.headers.values())
    assert all(len(str(value)) <= 2000 for delivery in deliveries for value in delivery.message.headers.values())
    subscription.bury([Burial(delivery, "undecodable", "") for delivery in deliveries])
    assert broker.depth(QUEUE.dead) == len(FORGED)


def deep() -> list[object]:
    """A list that cannot even be shown."""
    result: list[object] = []
    for _ in range(5000):
        result = [result]
    return result


@pytest.mark.parametrize(
    "properties",
    [
        pika.BasicProperties(
            headers={"x-delivery-count": 10**300, "large": 10**300, "deep": deep(), "CC": 1, b"\xff" * 255: b"\xff"}
        ),
        pika.BasicProperties(headers={"x-delivery-count": -(2**70), "x-death": deep()}),
        pika.BasicProperties(headers={"dead_routing_key": "k" * 9000}, message_id=b"\xff" * 255, content_type=b"\xff" * 255),  # type: ignore[arg-type]
        pika.BasicProperties(timestamp=2**64 - 1),
        pika.BasicProperties(timestamp="yesterday", message_id=7, content_type=[]),  # type: ignore[arg-type]
        pika.BasicProperties(),
    ],
)
@pytest.mark.parametrize("routing_key", ["odd.dead", None, b"\xff" * 255])
def test_whatever_pika_makes_of_a_message_can_be_sent_on(properties: pika.BasicProperties, routing_key: str | None) -> None:
    message, attempts = from_wire(routing_key, properties, b"body")
    assert message.body == b"body"
    letter = dead_letter(Burial(Delivery(message, None, attempts), "failed", ""), QUEUE.name)
    assert len(letter.routing_key.encode()) < 256
    assert sum(len(part) for part in to_properties(letter).encode()) < 100_000


class Raw(str):
    """A header's value as the bytes on the wire, for what pika does not write."""

    encoded: bytes


def raw(encoded: bytes) -> Raw:
    value = Raw()
    value.encoded = encoded
    return value


def nested(depth: int, kind: bytes, name: bytes = b"") -> Raw:
    """Arrays (A) or tables (F) inside one another."""
    value = b"t\x01"
    for _ in range(depth):
        inner = name + value
        value = kind + struct.pack(">I", len(inner)) + inner
    return raw(value)


UNDECODABLE_VALUES = {
    "after the year 9999": raw(b"T" + struct.pack(">Q", 2**62)),
    "deep arrays": nested(5000, b"A"),
    "deep tables": nested(5000, b"F", b"\x01a"),
}


def test_headers_that_pika_cannot_decode_cost_neither_the_message_nor_its_neighbours(
    broker: Broker, rabbitmq_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def encode_value(pieces: list[bytes], value: object) -> int:
        if isinstance(value, Raw):
            pieces.append(value.encoded)
            return len(value.encoded)
        return int(encode(pieces, value))

    encode = pika.data.encode_value
    broker.declare(TOPOLOGY)
    publish(broker, [message("before")])
    with plain_channel(rabbitmq_url) as channel, monkeypatch.context() as patched:
        patched.setattr(pika.data, "encode_value", encode_value)
        for name, value in UNDECODABLE_VALUES.items():
            properties = pika.BasicProperties("text/plain", headers={"odd": value}, message_id=name, timestamp=7)
            channel.basic_publish(EXCHANGE, "odd", name.encode(), properties)
    publish(broker, [message("after")])

    count = len(UNDECODABLE_VALUES)
    eventually(lambda: broker.depth(QUEUE.name) == count + 2)
    assert [each.id for each in broker.browse(QUEUE.name, 20)][1:-1] == list(UNDECODABLE_VALUES)
    subscription = broker.subscribe(QUEUE, 20)
    first, *odd, last = take(subscription, count + 2)
    assert names([first, last]) == ["before", "after"]
    assert [each.message.body.decode() for each in odd] == list(UNDECODABLE_VALUES)
    assert {(each.message.routing_key, each.message.content_type, each.message.timestamp) for each in odd} == {
        ("odd", "text/plain", 7)
    }
    assert all(list(each.message.headers) == [UNDECODABLE] for each in odd)
    subscription.bury([Burial(each, "undecodable", "") for each in odd])
    subscription.ack([first, last])
    assert [each.id for each in broker.browse(QUEUE.dead, 20)] == list(UNDECODABLE_VALUES)
    eventually(lambda: broker.depth(QUEUE.name) == 0)


def test_what_the_broker_itself_gave_up_on_keeps_its_type(broker: Broker, rabbitmq_url: str) -> None:
    broker.declare(TOPOLOGY)
    publish(broker, [message("poison", "RoomCreated")])
    with plain_channel(rabbitmq_url) as channel:
        method, _, _ = channel.basic_get(QUEUE.name)
        assert method is not None
        channel.basic_reject(method.delivery_tag, requeue=False)
    eventually(lambda: broker.depth(QUEUE.dead) == 1)
    (letter,) = broker.browse(QUEUE.dead, 1)
    assert letter.routing_key == "RoomCreated"
    assert letter.headers["x-first-death-queue"] == QUEUE.name


@pytest.mark.parametrize(
    "url", ["amqp://guest:s3cret@127.0.0.1:notaport/", "amqp://guest:s3cret@[::1/", "amqp://u:s3cret@h/?heartbeat=x"]
)
def test_a_url_that_is_none_is_a_wrong_setting_without_the_password(url: str) -> None:
    with pytest.raises(WrongSetting) as wrong:
        connect(url, "wrong").ping()
    assert "s3cret" not in str(wrong.value)
    assert wrong.value.__cause__ is None


def test_a_wrong_password_is_unavailable_and_not_repeated(rabbitmq_url: str, caplog: pytest.LogCaptureFixture) -> None:
    parts = urlsplit(rabbitmq_url)
    url = parts._replace(netloc=f"guest:s3cret@{parts.hostname}:{parts.port}").geturl()
    with (
        caplog.at_level(logging.DEBUG),
        contextlib.closing(connect(url, "intruder")) as broker,
        pytest.raises(Unavailable) as refusal,
    ):
        broker.ping()
    assert "ACCESS_REFUSED" in str(refusal.value)
    assert "s3cret" not in f"{refusal.value!r} {caplog.text}"


# Counting


def test_confirms_may_come_one_by_one_in_bulk_and_out_of_order() -> None:
    batch = Batch(list("abcdef"))
    batch.confirmed(4, multiple=False, accepted=True)
    batch.confirmed(1, multiple=True, accepted=True)
    batch.confirmed(1, multiple=False, accepted=False)  # was settled before
    assert not batch.complete
    batch.confirmed(2, multiple=False, accepted=False)
    batch.confirmed(5, multiple=True, accepted=True)
    assert batch.complete
    assert batch.outcome == [True, True, False, True, True, True]


def test_returns_are_told_apart_by_order_where_ids_are_equal() -> None:
    batch = Batch(["a", "b", "a", "a"])
    batch.returned("a")
    batch.returned("a")
    batch.returned("unknown")
    batch.confirmed(3, multiple=True, accepted=True)
    assert batch.complete
    assert batch.outcome == [False, True, False, True]
    assert batch.any_returned


def test_settling_in_order_takes_one_frame() -> None:
    window = Window()
    assert window.settle(range(1, 2001)) == [(2000, True)]
    assert window.settle([2001]) == [(2001, True)]
    assert window.settle([2001, 5]) == []


def test_settling_out_of_order_never_settles_more() -> None:
    window = Window()
    assert window.settle([3, 5]) == [(3, False), (5, False)]
    assert window.settle([1]) == [(1, True)]
    assert window.settle([2]) == [(2, True)]  # 3 is settled already: the broker would refuse its number
    assert window.settle([4, 7]) == [(4, True), (7, False)]
    assert window.settle([6, 8]) == [(8, True)]
