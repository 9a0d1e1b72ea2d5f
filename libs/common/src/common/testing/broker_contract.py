"""What every broker adapter must do: one suite over each. Subclass `BrokerContract` where a fixture `broker_url` gives an empty one."""

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial

import pika
import pytest
from pika.exceptions import UnroutableError

from common.errors import Unavailable
from common.messaging.connect import connect
from common.messaging.port import MOST_TAPPED, Broker, Burial, Delivery, Held, Hold, Message, NotEmpty, Subscription, Tap
from common.messaging.rabbitmq_topology import taps_of
from common.messaging.topology import Queue, Topology
from common.testing.waiting import eventually

EXCHANGE = "events"
QUEUE = Queue("audience", ((EXCHANGE, "Room*.#"), (EXCHANGE, "#")))
TOPOLOGY = Topology((EXCHANGE,), (QUEUE,))
#: Seconds: for what happens in milliseconds unless it is broken; for what must not happen.
SOON, BRIEFLY = 20.0, 0.3

_TAKE_AND_HANG = """
import sys, time
from common.messaging.connect import connect
from common.messaging.topology import Queue
subscription = connect(sys.argv[1], "doomed").subscribe(Queue(sys.argv[2], ()), prefetch=int(sys.argv[3]))
taken = []
while len(taken) < int(sys.argv[3]):
    taken += subscription.take(100, 0.0, 5.0)
print("taken", flush=True)
time.sleep(600)
"""

_TAP_AND_HANG = """
import sys, time
from common.messaging.connect import connect
tap = connect(sys.argv[1], "doomed").tap(sys.argv[2])
print("tapped", flush=True)
time.sleep(600)
"""

_HOLD_AND_HANG = """
import sys, time
from common.messaging.connect import connect
hold = connect(sys.argv[1], "doomed").hold("work")
print("held", flush=True)
time.sleep(600)
"""

Open = Callable[[], Broker]


def message(name: str, routing_key: str = "RoomCreated", body: bytes = b"") -> Message:
    """A small message that says its name in its body."""
    return Message(
        id=f"{name}-{uuid.uuid4()}",
        routing_key=routing_key,
        body=body or name.encode(),
        headers={"name": name},
        timestamp=1_700_000_000,
    )


def messages(count: int, prefix: str = "m") -> list[Message]:
    """That many, named by their position."""
    return [message(f"{prefix}{position}") for position in range(count)]


def names(found: Sequence[Delivery] | Sequence[Message]) -> list[str]:
    """Their names, in order."""
    return [str((each.message if isinstance(each, Delivery) else each).headers["name"]) for each in found]


def take(subscription: Subscription, count: int) -> list[Delivery]:
    """Takes exactly so many, or fails."""
    deadline = time.monotonic() + SOON
    taken: list[Delivery] = []
    while len(taken) < count and time.monotonic() < deadline:
        taken += subscription.take(count - len(taken), 0.0, 1.0)
    assert len(taken) == count, f"{len(taken)} of {count} came"
    return taken


def tapped(tap: Tap, count: int) -> list[Message]:
    """Takes exactly so many copies, or fails."""
    deadline = time.monotonic() + SOON
    taken: list[Message] = []
    while len(taken) < count and time.monotonic() < deadline:
        taken += tap.take(1.0)
    assert len(taken) == count, f"{len(taken)} of {count} came"
    return taken


def publish(broker: Broker, batch: Sequence[Message], exchange: str = EXCHANGE) -> list[bool]:
    """One batch by a publisher of its own."""
    publisher = broker.publisher()
    try:
        return publisher.publish(exchange, batch, SOON)
    finally:
        publisher.close()


class BrokerContract:
    """Inherit it as `class TestBroker(BrokerContract)`; override the fixture `broker_url` to run it over one more adapter."""

    @pytest.fixture
    def open_broker(self, broker_url: str) -> Iterator[Open]:
        """Connects to the test's broker, as often as asked."""
        opened: list[Broker] = []

        def open_one() -> Broker:
            opened.append(connect(broker_url, "contract"))
            return opened[-1]

        yield open_one
        for each in opened:
            each.close()

    @pytest.fixture
    def broker(self, open_broker: Open) -> Broker:
        """One on which TOPOLOGY is declared."""
        broker = open_broker()
        broker.declare(TOPOLOGY)
        return broker

    @pytest.fixture
    def is_tapped(self, broker_url: str) -> Callable[[], bool]:
        """Tells whether there is any tap of EXCHANGE, whoever it belongs to."""
        return partial(_is_tapped_in_file if broker_url.startswith("sqlite") else _is_tapped_on_rabbitmq, broker_url)

    # Publishing

    def test_what_was_confirmed_is_there_after_everyone_has_left(self, open_broker: Open) -> None:
        first = open_broker()
        first.declare(TOPOLOGY)
        assert publish(first, messages(3)) == [True] * 3
        first.close()

        assert names(take(open_broker().subscribe(QUEUE, 10), 3)) == ["m0", "m1", "m2"]

    def test_a_message_arrives_as_it_was_sent(self, broker: Broker) -> None:
        sent = Message(
            id=str(uuid.uuid4()),
            routing_key="Room.Created.v1",
            body=bytes(range(256)) * 3,
            headers={"text": "Zürich 東京 🏠", "empty": "", "long": "x" * 5000, "one": 1, "large": 2**62, "negative": -(2**40)},
            timestamp=1_700_000_123,
            content_type="application/avro",
        )
        assert publish(broker, [sent]) == [True]

        (delivery,) = take(broker.subscribe(QUEUE, 1), 1)
        assert delivery.message == sent
        assert delivery.attempts == 0

    def test_a_batch_keeps_its_order(self, broker: Broker) -> None:
        publish(broker, messages(500))
        assert names(take(broker.subscribe(QUEUE, 1000), 500)) == [f"m{position}" for position in range(500)]

    def test_an_empty_batch_is_none(self, broker: Broker) -> None:
        assert publish(broker, []) == []

    def test_a_message_that_no_queue_wants_is_not_confirmed_and_harms_none(self, broker: Broker) -> None:
        wanting = Queue("picky", (("choosy", "Room.*"),))
        broker.declare(Topology(("choosy",), (wanting,)))
        batch = [message(str(position), key) for position, key in enumerate(["Room.a", "Item.a", "Room.b", "Room", "Room.c"])]
        publisher = broker.publisher()

        assert publisher.publish("choosy", batch, SOON) == [True, False, True, False, True]
        assert publisher.publish("choosy", batch[1:3], SOON) == [False, True]
        assert names(take(broker.subscribe(wanting, 10), 4)) == ["0", "2", "4", "2"]

    def test_each_of_two_equal_messages_has_its_own_answer(self, broker: Broker) -> None:
        wanting = Queue("picky", (("choosy", "Room"),))
        broker.declare(Topology(("choosy",), (wanting,)))
        twin = message("twin", "nowhere")
        assert publish(broker, [twin, message("other", "Room"), twin], "choosy") == [False, True, False]

    def test_every_queue_that_is_bound_gets_its_copy(self, broker: Broker) -> None:
        other = Queue("other", ((EXCHANGE, "#"),))
        broker.declare(Topology((EXCHANGE,), (other,)))
        publish(broker, messages(3))

        for queue in (QUEUE, other):
            subscription = broker.subscribe(queue, 10)
            subscription.ack(take(subscription, 3))
            assert subscription.take(1, 0.0, BRIEFLY) == []

    @pytest.mark.parametrize(
        ("pattern", "accepted"),
        [
            ("#", ["", "a", "a.b", "a.b.c"]),
            ("*", ["a"]),
            ("a", ["a"]),
            ("a.*", ["a.b"]),
            ("a.#", ["a", "a.b", "a.b.c"]),
            ("#.c", ["a.b.c"]),
            ("*.#", ["a", "a.b", "a.b.c"]),
            ("a.*.c", ["a.b.c"]),
            ("a.#.c", ["a.b.c"]),
            ("#.b.#", ["a.b", "a.b.c"]),
        ],
    )
    def test_patterns_mean_what_they_mean_in_amqp(self, broker: Broker, pattern: str, accepted: list[str]) -> None:
        broker.declare(Topology(("topics",), (Queue("patterns", (("topics", pattern),)),)))
        keys = ["", "a", "a.b", "a.b.c"]
        answers = publish(broker, [message(key, key) for key in keys], "topics")
        assert [key for key, ok in zip(keys, answers, strict=True) if ok] == accepted

    def test_the_exchange_without_a_name_leads_to_the_queue_in_the_routing_key(self, broker: Broker) -> None:
        assert publish(broker, [message("there", QUEUE.name), message("nowhere", "no-such-queue")], "") == [True, False]
        assert broker.depth(QUEUE.name) == 1

    def test_a_missing_exchange_is_reported_and_costs_nothing_once_it_is_there(self, broker: Broker) -> None:
        publisher = broker.publisher()
        with pytest.raises(Unavailable):
            publisher.publish("late", [message("lost")], SOON)

        broker.declare(Topology(("late",), (Queue("latecomer", (("late", "#"),)),)))
        assert publisher.publish("late", [message("kept")], SOON) == [True]
        assert publisher.publish(EXCHANGE, [message("as before")], SOON) == [True]

    def test_a_large_batch(self, broker: Broker) -> None:
        assert publish(broker, messages(5000)) == [True] * 5000
        subscription = broker.subscribe(QUEUE, 2000)
        taken: list[Delivery] = []
        while len(taken) < 5000:
            portion = take(subscription, 1000)
            subscription.ack(portion)
            taken += portion
        assert names(taken) == [f"m{position}" for position in range(5000)]
        eventually(lambda: broker.depth(QUEUE.name) == 0)

    def test_large_messages(self, broker: Broker) -> None:
        bodies = [bytes([position]) * 1_000_000 for position in range(5)]
        assert publish(broker, [message(str(position), body=body) for position, body in enumerate(bodies)]) == [True] * 5
        assert [each.message.body for each in take(broker.subscribe(QUEUE, 10), 5)] == bodies

    def test_publishers_side_by_side(self, open_broker: Open, broker: Broker) -> None:
        def work(number: int) -> list[bool]:
            publisher = (broker if number % 2 else open_broker()).publisher()
            return [ok for part in range(5) for ok in publisher.publish(EXCHANGE, messages(40, f"{number}-{part}-"), SOON)]

        with ThreadPoolExecutor(4) as pool:
            assert [ok for answers in pool.map(work, range(4)) for ok in answers] == [True] * 800

        expected = {f"{number}-{part}-{position}" for number in range(4) for part in range(5) for position in range(40)}
        taken = names(take(broker.subscribe(QUEUE, 1000), 800))
        assert set(taken) == expected
        for number in range(4):  # each publisher's own order
            own = [name for name in taken if name.startswith(f"{number}-")]
            assert own == [f"{number}-{part}-{position}" for part in range(5) for position in range(40)]

    # Taking and settling

    def test_nothing_comes_from_an_empty_queue(self, broker: Broker) -> None:
        subscription = broker.subscribe(QUEUE, 10)
        began = time.monotonic()
        assert subscription.take(10, 5.0, BRIEFLY) == []
        assert BRIEFLY <= time.monotonic() - began < SOON

    def test_who_waits_gets_what_is_published_meanwhile(self, open_broker: Open, broker: Broker) -> None:
        subscription = broker.subscribe(QUEUE, 10)
        assert subscription.take(1, 0.0, 0.0) == []
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(subscription.take, 10, 0.0, SOON)
            publish(open_broker(), messages(1))
            assert names(waiting.result(SOON)) == ["m0"]

    def test_lingering_gathers_a_batch_but_never_waits_for_a_full_one_that_is_there(self, broker: Broker) -> None:
        subscription = broker.subscribe(QUEUE, 10)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(subscription.take, 3, SOON, SOON)
            for each in messages(3):
                publish(broker, [each])
            assert names(waiting.result(SOON / 2)) == ["m0", "m1", "m2"]

    def test_no_more_is_held_than_the_prefetch_allows(self, broker: Broker) -> None:
        publish(broker, messages(10))
        subscription = broker.subscribe(QUEUE, 4)
        held = take(subscription, 4)
        assert subscription.take(100, 0.0, BRIEFLY) == []

        subscription.ack(held[:3])
        assert names(take(subscription, 3)) == ["m4", "m5", "m6"]
        assert subscription.take(100, 0.0, BRIEFLY) == []

    def test_a_subscriber_declares_its_queue_itself(self, open_broker: Open) -> None:
        broker = open_broker()
        subscription = broker.subscribe(QUEUE, 10)
        assert subscription.take(1, 0.0, BRIEFLY) == []
        publisher = broker.publisher()
        eventually(lambda: publisher.publish(EXCHANGE, messages(1), SOON) == [True])
        assert names(take(subscription, 1)) == ["m0"]

    def test_what_is_released_comes_again_and_says_so(self, broker: Broker) -> None:
        publish(broker, messages(3))
        subscription = broker.subscribe(QUEUE, 10)
        first, second, third = take(subscription, 3)
        subscription.release([second])
        (again,) = take(subscription, 1)
        assert (again.message, again.attempts) == (second.message, 1)

        subscription.release([again])
        (once_more,) = take(subscription, 1)
        assert once_more.attempts == 2
        subscription.ack([third, once_more, first])
        assert subscription.take(1, 0.0, BRIEFLY) == []

    def test_what_was_not_acked_comes_again_after_a_close(self, broker: Broker, open_broker: Open) -> None:
        publish(broker, messages(4))
        subscription = broker.subscribe(QUEUE, 10)
        taken = take(subscription, 4)
        subscription.ack(taken[1:2])
        subscription.close()

        again = take(open_broker().subscribe(QUEUE, 10), 3)
        assert names(again) == ["m0", "m2", "m3"]
        assert all(each.attempts >= 1 for each in again)

    def test_what_a_killed_process_held_comes_again_and_says_so(self, broker: Broker, broker_url: str) -> None:
        publish(broker, messages(5))
        command = [sys.executable, "-c", _TAKE_AND_HANG, broker_url, QUEUE.name, "5"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as doomed:
            assert doomed.stdout is not None
            assert doomed.stdout.readline() == "taken\n"
            subscription = broker.subscribe(QUEUE, 10)
            assert subscription.take(1, 0.0, BRIEFLY) == []  # as long as it lives they are its own
            doomed.send_signal(signal.SIGKILL)
        again = take(subscription, 5)
        assert sorted(names(again)) == ["m0", "m1", "m2", "m3", "m4"]
        assert {each.attempts for each in again} == {1}

    def test_acks_in_any_order_settle_exactly_those(self, broker: Broker) -> None:
        publish(broker, messages(20))
        subscription = broker.subscribe(QUEUE, 100)
        taken = take(subscription, 20)
        subscription.ack([taken[7], taken[3]])
        subscription.ack(taken[10:15])
        subscription.ack([taken[0], taken[19], taken[2], taken[1], taken[3]])  # one of them a second time
        subscription.close()

        left = {"m4", "m5", "m6", "m8", "m9", "m15", "m16", "m17", "m18"}
        subscription = broker.subscribe(QUEUE, 100)
        again = take(subscription, len(left))
        assert set(names(again)) == left
        subscription.ack(again[::-1])
        assert subscription.take(1, 0.0, BRIEFLY) == []
        subscription.close()
        eventually(lambda: broker.depth(QUEUE.name) == 0)

    def test_acking_twice_never_settles_another_message(self, broker: Broker) -> None:
        subscription = broker.subscribe(QUEUE, 10)
        publish(broker, messages(1, "first"))
        done = take(subscription, 1)
        subscription.ack(done)
        publish(broker, messages(1, "second"))
        take(subscription, 1)
        subscription.ack(done)
        subscription.close()
        assert names(take(broker.subscribe(QUEUE, 10), 1)) == ["second0"]

    def test_who_no_longer_holds_a_message_cannot_settle_it(self, broker: Broker) -> None:
        publish(broker, messages(3))
        former = broker.subscribe(QUEUE, 10)
        stale = take(former, 3)
        former.close()
        holder = broker.subscribe(QUEUE, 10)
        held = take(holder, 3)

        former.ack(stale)
        holder.ack(stale)
        holder.release(stale)
        holder.bury([Burial(each, "late", "too late") for each in stale])
        holder.close()
        again = take(broker.subscribe(QUEUE, 10), 3)
        assert names(again) == names(held)
        assert broker.depth(QUEUE.dead) == 0

    def test_two_subscriptions_share_the_work(self, open_broker: Open, broker: Broker) -> None:
        subscriptions = [broker.subscribe(QUEUE, 20), open_broker().subscribe(QUEUE, 20)]
        for subscription in subscriptions:
            assert subscription.take(1, 0.0, BRIEFLY) == []
        publish(broker, messages(40))
        shares = [take(subscription, 20) for subscription in subscriptions]
        assert sorted(names(shares[0] + shares[1])) == sorted(f"m{position}" for position in range(40))

    def test_closing_ends_a_wait(self, broker: Broker) -> None:
        subscription = broker.subscribe(QUEUE, 10)
        assert subscription.take(1, 0.0, BRIEFLY) == []
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(subscription.take, 10, 0.0, 60.0)
            began = time.monotonic()
            subscription.close()
            assert waiting.result(SOON) == []
        assert time.monotonic() - began < 3

    def test_closing_a_broker_ends_what_it_handed_out(self, broker: Broker) -> None:
        publisher, subscription = broker.publisher(), broker.subscribe(QUEUE, 10)
        publisher.publish(EXCHANGE, messages(1), SOON)
        take(subscription, 1)
        began = time.monotonic()
        broker.close()
        assert time.monotonic() - began < 3
        with pytest.raises(Unavailable):
            publisher.publish(EXCHANGE, messages(1), SOON)
        with pytest.raises(Unavailable):
            subscription.take(1, 0.0, SOON)
        with pytest.raises(Unavailable):
            broker.ping()

    # Dead letters

    def test_a_buried_message_is_a_dead_letter_with_its_reason(self, broker: Broker) -> None:
        batch = messages(3)
        publish(broker, batch)
        subscription = broker.subscribe(QUEUE, 10)
        first, second, third = take(subscription, 3)
        began = datetime.now(UTC)
        subscription.bury([Burial(second, "unknown-schema", "no schema has this fingerprint: Ü")])

        (letter,) = broker.browse(QUEUE.dead, 10)
        assert (letter.id, letter.body, letter.timestamp, letter.content_type, letter.routing_key) == (
            batch[1].id,
            batch[1].body,
            batch[1].timestamp,
            batch[1].content_type,
            batch[1].routing_key,
        )
        assert letter.headers["name"] == "m1"
        assert letter.headers["dead_reason"] == "unknown-schema"
        assert letter.headers["dead_detail"] == "no schema has this fingerprint: Ü"
        assert letter.headers["dead_queue"] == QUEUE.name
        assert letter.headers["dead_attempts"] == 0
        assert abs((datetime.fromisoformat(str(letter.headers["dead_at"])) - began).total_seconds()) < SOON

        subscription.ack([first, third])
        subscription.close()
        assert broker.subscribe(QUEUE, 10).take(1, 0.0, BRIEFLY) == []

    def test_an_endless_detail_does_not_keep_a_message_from_its_grave(self, broker: Broker) -> None:
        publish(broker, messages(1))
        subscription = broker.subscribe(QUEUE, 10)
        subscription.bury([Burial(take(subscription, 1)[0], "failed", "é" * 1_000_000)])
        assert broker.depth(QUEUE.dead) == 1

    def test_dead_letters_can_be_taken_and_published_again(self, broker: Broker) -> None:
        publish(broker, messages(2))
        subscription = broker.subscribe(QUEUE, 10)
        subscription.bury([Burial(each, "failed", "") for each in take(subscription, 2)])

        graveyard = broker.subscribe(Queue(QUEUE.dead, ()), 10)
        letters = take(graveyard, 2)
        assert publish(broker, [letter.message for letter in letters]) == [True, True]
        graveyard.ack(letters)
        assert names(take(subscription, 2)) == ["m0", "m1"]

    def test_a_dead_letter_cannot_be_buried(self, broker: Broker) -> None:
        publish(broker, [message("dead", QUEUE.dead)], "")
        graveyard = broker.subscribe(Queue(QUEUE.dead, ()), 10)
        letters = take(graveyard, 1)
        with pytest.raises(Unavailable):
            graveyard.bury([Burial(each, "failed", "") for each in letters])
        graveyard.release(letters)
        assert names(take(graveyard, 1)) == ["dead"]

    # Looking

    def test_depth_counts_what_waits(self, broker: Broker) -> None:
        assert broker.depth(QUEUE.name) == 0
        assert broker.depth("no-such-queue") == 0
        publish(broker, messages(7))
        eventually(lambda: broker.depth(QUEUE.name) == 7)

    def test_browsing_takes_nothing_away(self, broker: Broker) -> None:
        batch = messages(5)
        publish(broker, batch)
        assert broker.browse(QUEUE.name, 3) == batch[:3]
        eventually(lambda: broker.depth(QUEUE.name) == 5)
        assert broker.browse(QUEUE.name, 100) == batch
        assert broker.browse("no-such-queue", 10) == []
        assert names(take(broker.subscribe(QUEUE, 10), 5)) == names(batch)

    def test_declaring_again_changes_nothing(self, broker: Broker) -> None:
        publish(broker, messages(2))
        broker.declare(TOPOLOGY)
        broker.ping()
        assert broker.depth(QUEUE.name) == 2

    def test_threads_may_share_a_broker(self, broker: Broker) -> None:
        publish(broker, messages(3))
        with ThreadPoolExecutor(8) as pool:
            depths = list(pool.map(lambda _: (broker.ping(), broker.depth(QUEUE.name))[1], range(40)))
        assert depths == [3] * 40

    # Tapping

    def test_a_tap_sees_what_passes_as_it_is_and_takes_it_from_nobody(self, open_broker: Open, broker: Broker) -> None:
        subscription = broker.subscribe(QUEUE, 10)
        publish(broker, messages(1, "before"))
        first, second = broker.tap(EXCHANGE), open_broker().tap(EXCHANGE)
        batch = messages(3)
        publish(open_broker(), batch)

        assert tapped(first, 3) == tapped(second, 3) == batch
        assert first.take(BRIEFLY) == []
        assert names(take(subscription, 4)) == ["before0", "m0", "m1", "m2"]
        assert first.missed == second.missed == 0

    def test_a_tap_sees_its_own_exchange_only_and_no_dead_letters(self, broker: Broker) -> None:
        other = Queue("other", (("elsewhere", "#"),))
        broker.declare(Topology(("elsewhere",), (other,)))
        tap = broker.tap(EXCHANGE)
        publish(broker, messages(1, "elsewhere"), "elsewhere")
        publish(broker, [message("direct", QUEUE.name)], "")
        publish(broker, messages(1))
        subscription = broker.subscribe(QUEUE, 10)
        subscription.bury([Burial(each, "failed", "") for each in take(subscription, 2)])
        assert names(tapped(tap, 1)) == ["m0"]
        assert tap.take(BRIEFLY) == []

    def test_what_only_a_tap_would_take_is_returned(self, broker: Broker) -> None:
        wanting = Queue("picky", (("choosy", "Room"),))
        broker.declare(Topology(("choosy",), (wanting,)))
        tap = broker.tap("choosy")
        batch = [message("wanted", "Room"), message("unwanted", "Item"), message("also wanted", "Room")]
        assert publish(broker, batch, "choosy") == [True, False, True]
        assert names(tapped(tap, 2)) == ["wanted", "also wanted"]

        broker.remove(wanting, with_messages=True)
        assert publish(broker, batch[:1], "choosy") == [False]
        assert tap.take(BRIEFLY) == []

    def test_who_waits_at_a_tap_gets_what_is_published_meanwhile(self, open_broker: Open, broker: Broker) -> None:
        tap = broker.tap(EXCHANGE)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(tap.take, SOON)
            publish(open_broker(), messages(1))
            assert names(waiting.result(SOON)) == ["m0"]

    def test_a_tap_may_be_there_before_its_exchange(self, open_broker: Open) -> None:
        broker = open_broker()
        tap = broker.tap(EXCHANGE)
        broker.declare(TOPOLOGY)
        publish(broker, messages(1))
        assert names(tapped(tap, 1)) == ["m0"]

    def test_where_no_queue_is_mandatory_nothing_is_returned_and_taps_still_see_it(self, broker: Broker) -> None:
        broker.declare(Topology(("unheard",), ()))
        sent, publisher, tap = messages(3), broker.publisher(), broker.tap("unheard")
        assert publisher.publish("unheard", sent, SOON, mandatory=False) == [True] * 3
        assert [each.id for each in tapped(tap, 3)] == [each.id for each in sent]
        assert publisher.publish("unheard", sent, SOON) == [False] * 3
        publisher.close()
        tap.close()

    def test_a_tap_that_nobody_reads_drops_the_oldest_and_counts_them(self, broker: Broker) -> None:
        tap = broker.tap(EXCHANGE)
        publisher = broker.publisher()
        batch = messages(1000)
        for _ in range(MOST_TAPPED // 1000):
            assert all(publisher.publish(EXCHANGE, batch, SOON))
        assert all(publisher.publish(EXCHANGE, messages(50, "last"), SOON))

        kept: list[Message] = []
        while names(kept[-1:]) != ["last49"]:
            kept += tap.take(SOON)
        assert len(kept) + tap.missed == MOST_TAPPED + 50
        assert len(kept) <= MOST_TAPPED or tap.missed == 0
        assert names(kept[-50:]) == [f"last{position}" for position in range(50)]

    def test_a_closed_tap_is_gone(self, open_broker: Open, broker: Broker) -> None:
        tap, other = broker.tap(EXCHANGE), open_broker().tap(EXCHANGE)
        with ThreadPoolExecutor(1) as pool:
            waiting = pool.submit(tap.take, 60.0)
            tap.close()
            assert waiting.result(SOON) == []
        publish(broker, messages(1))
        assert names(tapped(other, 1)) == ["m0"]
        assert tap.take(BRIEFLY) == []

    def test_the_tap_of_a_killed_process_disappears(self, broker: Broker, broker_url: str, is_tapped: Callable[[], bool]) -> None:
        command = [sys.executable, "-c", _TAP_AND_HANG, broker_url, EXCHANGE]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as doomed:
            assert doomed.stdout is not None
            assert doomed.stdout.readline() == "tapped\n"
            assert publish(broker, messages(3)) == [True] * 3
            assert is_tapped()
            doomed.send_signal(signal.SIGKILL)

        def is_gone() -> bool:
            publish(broker, messages(1))  # it is the publishers who must not fill it for ever
            return not is_tapped()

        eventually(is_gone)
        assert broker.depth(QUEUE.name) >= 4

    # Taking away

    def test_what_is_unbound_keeps_what_it_holds_and_gets_no_more(self, broker: Broker) -> None:
        other = Queue("other", ((EXCHANGE, "#"), (EXCHANGE, "Room")))
        broker.declare(Topology((EXCHANGE,), (other,)))
        publish(broker, messages(1))
        for _ in range(2):
            broker.unbind(other)
        publish(broker, messages(2, "later"))
        subscription = broker.subscribe(Queue(other.name, ()), 10)
        subscription.ack(take(subscription, 1))
        assert subscription.take(1, 0.0, BRIEFLY) == []
        subscription.close()

        broker.declare(Topology((EXCHANGE,), (other,)))
        publish(broker, messages(1, "again"))
        eventually(lambda: broker.depth(other.name) == 1)

    def test_a_removed_queue_is_gone_with_its_dead_letters(self, broker: Broker) -> None:
        for _ in range(2):
            broker.remove(QUEUE)
        assert publish(broker, messages(1)) == [False]
        assert publish(broker, [message("dead", QUEUE.dead), message("alive", QUEUE.name)], "") == [False, False]
        broker.declare(TOPOLOGY)
        assert publish(broker, messages(1)) == [True]

    @pytest.mark.parametrize("name", [QUEUE.name, QUEUE.dead, QUEUE.discarded])
    def test_a_queue_that_holds_messages_is_removed_only_on_demand(self, broker: Broker, name: str) -> None:
        broker.declare(Topology((), (Queue(QUEUE.discarded, ()),)))
        publish(broker, [message("precious", name)], "")
        eventually(lambda: broker.depth(name) == 1)
        with pytest.raises(NotEmpty, match=f"{name} is not removed: it holds 1 messages"):
            broker.remove(QUEUE)
        assert publish(broker, messages(1)) == [True]
        assert names(broker.browse(name, 1)) == ["precious"]

        broker.remove(QUEUE, with_messages=True)
        assert [broker.depth(each) for each in (QUEUE.name, QUEUE.dead, QUEUE.discarded)] == [0, 0, 0]

    def test_a_queue_whose_messages_are_in_somebodys_hands_is_not_removed(self, open_broker: Open, broker: Broker) -> None:
        publish(broker, messages(1))
        subscription = open_broker().subscribe(QUEUE, 10)
        held = take(subscription, 1)
        with pytest.raises(NotEmpty):
            broker.remove(QUEUE)
        subscription.ack(held)
        subscription.close()
        eventually(lambda: _removed(broker, QUEUE))

    # Holding

    def test_a_name_is_held_by_one_at_a_time(self, open_broker: Open, broker: Broker) -> None:
        hold = broker.hold("work")
        hold.check()
        for other in (broker, open_broker()):
            with pytest.raises(Held, match="another process is at it already"):
                other.hold("work")
        open_broker().hold("other work").free()
        hold.free()
        again = eventually(lambda: _held(open_broker(), "work"))
        again.free()

    def test_a_name_is_free_once_its_holder_was_killed(self, broker_url: str, broker: Broker) -> None:
        holder = subprocess.Popen([sys.executable, "-c", _HOLD_AND_HANG, broker_url], stdout=subprocess.PIPE)
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == b"held\n"
            with pytest.raises(Held):
                broker.hold("work")
        finally:
            holder.kill()
            holder.communicate()
        eventually(lambda: _held(broker, "work")).free()


def _held(broker: Broker, name: str) -> Hold | None:
    try:
        return broker.hold(name)
    except Held:
        return None


def _removed(broker: Broker, queue: Queue) -> bool:
    try:
        broker.remove(queue)
    except NotEmpty:
        return False
    return True


def _is_tapped_in_file(url: str) -> bool:
    with contextlib.closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
        return connection.execute("SELECT 1 FROM tap").fetchone() is not None


def _is_tapped_on_rabbitmq(url: str) -> bool:
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        try:
            channel.basic_publish(taps_of(EXCHANGE), "", b"", mandatory=True)
        except UnroutableError:
            return False
        return True
