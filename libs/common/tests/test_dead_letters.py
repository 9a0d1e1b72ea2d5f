"""Dead letters: seen where they lie, sent back, discarded; and never lost on the way, whoever is killed."""

import gc
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing

import pika
import pytest

from common.errors import Unavailable
from common.events.dead_letters import MOST_REDRIVES, DeadLetter, NoSuchLetter, discard, find, letters, redrive
from common.messaging.connect import connect
from common.messaging.port import Broker, Burial, Message, Subscription
from common.messaging.topology import Queue, Topology
from common.testing.broker_contract import QUEUE, TOPOLOGY, message, messages, names, publish, take
from common.testing.waiting import eventually


@pytest.fixture
def broker(broker_url: str) -> Iterator[Broker]:
    with closing(connect(broker_url, "dead letters")) as broker:
        broker.declare(TOPOLOGY)
        yield broker


def bury(broker: Broker, batch: list[Message], reason: str = "invalid") -> None:
    """Publishes these and lets each of them die."""
    assert all(publish(broker, batch))
    with closing(broker.subscribe(QUEUE, len(batch))) as subscription:
        die(subscription, len(batch), reason)
    eventually(lambda: broker.depth(QUEUE.dead) >= len(batch))


def die(subscription: Subscription, count: int, reason: str = "invalid") -> None:
    subscription.bury([Burial(each, reason, f"as {reason} as can be") for each in take(subscription, count)])


def everything(_: DeadLetter) -> bool:
    return True


def lying(broker: Broker, queue: str = QUEUE.dead) -> list[str]:
    return names([letter.message for letter in letters(broker, queue)])


def test_letters_are_seen_oldest_first_and_stay_where_they_are(broker: Broker) -> None:
    bury(broker, [message("a"), message("b", "RoomUpdated")])
    for _ in range(2):
        first, second = letters(broker, QUEUE.dead)
        assert (first.type, first.reason, first.text("dead_detail"), first.redrives) == (
            "RoomCreated", "invalid", "as invalid as can be", 0,
        )  # fmt: skip
        assert second.type == "RoomUpdated"
    with closing(letters(broker, QUEUE.dead)) as some:
        assert names([next(some).message]) == ["a"]
    assert find(broker, QUEUE.dead, second.message.id) == second
    with pytest.raises(NoSuchLetter, match="has the id 'nobody'"):
        find(broker, QUEUE.dead, "nobody")
    assert list(letters(broker, "no-such-queue.dead")) == []


def test_a_redriven_letter_is_the_message_it_was_and_tells_what_it_went_through(broker: Broker) -> None:
    sent = message("m", "RoomUpdated")
    bury(broker, [sent])
    outcome = redrive(broker, QUEUE, everything)
    assert (outcome.done, outcome.guarded, outcome.refused) == (1, 0, 0)

    subscription = broker.subscribe(QUEUE, 1)
    (again,) = take(subscription, 1)
    assert (again.message.id, again.message.body, again.message.routing_key, again.attempts) == (
        sent.id, sent.body, "RoomUpdated", 0,
    )  # fmt: skip
    assert again.message.headers["name"] == "m"
    assert "dead_reason" not in again.message.headers
    assert "dead_attempts" not in again.message.headers
    subscription.bury([Burial(again, "failed", "differently")])

    (letter,) = letters(broker, QUEUE.dead)
    assert (letter.reason, letter.text("dead_detail"), letter.redrives) == ("failed", "differently", 1)
    assert (letter.message.routing_key, letter.type) == ("RoomUpdated", "RoomUpdated")
    assert [past.split(" ", 1)[1] for past in letter.past] == ["invalid: as invalid as can be"]


def test_from_the_third_time_on_a_letter_is_sent_back_only_by_force(broker: Broker) -> None:
    bury(broker, messages(1))
    with closing(broker.subscribe(QUEUE, 1)) as subscription:
        for times in range(1, MOST_REDRIVES + 1):
            assert redrive(broker, QUEUE, everything).done == 1
            die(subscription, 1, f"death-{times}")
        outcome = redrive(broker, QUEUE, everything)
        assert (outcome.done, outcome.guarded) == (0, 1)
        assert subscription.take(1, 0.0, 0.3) == []
        assert redrive(broker, QUEUE, everything, force=True).done == 1
        die(subscription, 1, "again")
    (letter,) = letters(broker, QUEUE.dead)
    assert letter.redrives == MOST_REDRIVES + 1
    assert [past.split()[1] for past in letter.past] == ["invalid:", "death-1:", "death-2:"]


def test_only_what_is_wanted_is_sent_back(broker: Broker) -> None:
    bury(broker, messages(3, "invalid"), "invalid")
    bury(broker, messages(2, "unknown"), "unknown-schema")
    assert redrive(broker, QUEUE, lambda letter: letter.reason == "unknown-schema").done == 2
    assert names(take(broker.subscribe(QUEUE, 5), 2)) == ["unknown0", "unknown1"]
    eventually(lambda: lying(broker) == ["invalid0", "invalid1", "invalid2"])


def test_a_letter_that_comes_back_while_its_run_lasts_stays(broker: Broker) -> None:
    bury(broker, messages(700))
    with closing(broker.subscribe(QUEUE, 700)) as subscription:
        died = 0

        def die_again(_: object) -> None:
            nonlocal died
            taken = subscription.take(700, 0.0, 1.0)
            subscription.bury([Burial(each, "invalid", "again") for each in taken])
            died += len(taken)

        outcome = redrive(broker, QUEUE, everything, report=die_again)
        assert (outcome.done, outcome.guarded) == (700, 0)
        while died < 700:
            die_again(None)
    eventually(lambda: [letter.redrives for letter in letters(broker, QUEUE.dead)] == [1] * 700)


def test_what_its_queue_does_not_take_stays(broker: Broker) -> None:
    gone = Queue("gone", ())
    broker.declare(Topology((), (Queue(gone.dead, ()),)))
    publish(broker, [message("stranded", gone.dead)], "")
    eventually(lambda: broker.depth(gone.dead) == 1)
    outcome = redrive(broker, gone, everything)
    assert (outcome.done, outcome.refused) == (0, 1)
    eventually(lambda: lying(broker, gone.dead) == ["stranded"])


def test_many_letters_stream_through_and_those_that_stay_are_not_met_twice(broker: Broker) -> None:
    count = 5000  # more than one subscription holds, twice
    publish(broker, [message(f"{n}", QUEUE.dead) for n in range(count)], "")
    eventually(lambda: broker.depth(QUEUE.dead) == count)
    gc.collect()
    met: list[str] = []
    most = 0

    def wanted(letter: DeadLetter) -> bool:
        met.append(str(letter.message.headers["name"]))
        return len(met) > count - 10

    def report(_: object) -> None:
        nonlocal most
        most = max(most, sum(isinstance(each, Message) for each in gc.get_objects()))

    assert redrive(broker, QUEUE, wanted, report=report).done == 10
    assert sorted(met, key=int) == [str(n) for n in range(count)]
    assert most < 2000
    eventually(lambda: broker.depth(QUEUE.dead) == count - 10)
    assert redrive(broker, QUEUE, everything).done == count - 10
    eventually(lambda: broker.depth(QUEUE.name) == count)
    assert lying(broker) == []


_REDRIVE_AND_HANG = """
import sys, time
import common.events.dead_letters as dead_letters
from common.messaging.connect import connect
from common.messaging.topology import Queue

def hang(self, deliveries):
    print(len(deliveries), flush=True)
    time.sleep(600)

dead_letters._Sweep.ack = hang
broker = connect(sys.argv[1], "doomed")
if sys.argv[3]:
    dead_letters.discard(broker, Queue(sys.argv[2], ()), sys.argv[3], why="doomed", who="me")
dead_letters.redrive(broker, Queue(sys.argv[2], ()), lambda _: True)
"""


def kill_before_the_ack(broker_url: str, id: str = "") -> int:
    """How many letters a process was about to ack when it was killed."""
    command = [sys.executable, "-c", _REDRIVE_AND_HANG, broker_url, QUEUE.name, id]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as doomed:
        assert doomed.stdout is not None
        count = int(doomed.stdout.readline())
        doomed.send_signal(signal.SIGKILL)
    return count


def test_who_is_killed_between_publish_and_ack_leaves_a_duplicate_and_loses_nothing(broker: Broker, broker_url: str) -> None:
    bury(broker, messages(5))
    assert kill_before_the_ack(broker_url) == 5
    eventually(lambda: broker.depth(QUEUE.dead) == 5)
    assert redrive(broker, QUEUE, everything).done == 5
    assert sorted(names(take(broker.subscribe(QUEUE, 10), 10))) == sorted([f"m{n}" for n in range(5)] * 2)


def test_who_is_killed_while_discarding_loses_nothing_either(broker: Broker, broker_url: str) -> None:
    bury(broker, batch := messages(2))
    assert kill_before_the_ack(broker_url, batch[0].id) == 1
    eventually(lambda: broker.depth(QUEUE.dead) == 2)
    assert lying(broker, QUEUE.discarded) == ["m0"]


def test_a_discarded_letter_is_kept_with_why_and_who(broker: Broker) -> None:
    bury(broker, batch := messages(3))
    assert discard(broker, QUEUE, batch[1].id, why="a test listing", who="ada@here") == 1
    eventually(lambda: lying(broker) == ["m0", "m2"])
    (letter,) = letters(broker, QUEUE.discarded)
    assert (letter.message.id, letter.message.body, letter.type) == (batch[1].id, batch[1].body, "RoomCreated")
    assert (letter.reason, letter.text("discarded_why"), letter.text("discarded_by")) == ("invalid", "a test listing", "ada@here")
    assert letter.text("discarded_at")
    with pytest.raises(NoSuchLetter):
        discard(broker, QUEUE, batch[1].id, why="again", who="ada@here")


def test_what_rabbitmq_itself_gave_up_on_is_a_letter_like_others(rabbitmq_url: str) -> None:
    with closing(connect(rabbitmq_url, "dead letters")) as broker:
        broker.declare(TOPOLOGY)
        publish(broker, [message("poison", "RoomCreated")])
        with pika.BlockingConnection(pika.URLParameters(rabbitmq_url)) as connection:
            channel = connection.channel()
            method, _, _ = channel.basic_get(QUEUE.name)
            channel.basic_reject(method.delivery_tag, requeue=False)
        eventually(lambda: broker.depth(QUEUE.dead) == 1)
        (letter,) = letters(broker, QUEUE.dead)
        assert (letter.reason, letter.type, letter.redrives) == ("rejected", "RoomCreated", 0)
        assert redrive(broker, QUEUE, everything).done == 1
        (again,) = take(broker.subscribe(QUEUE, 1), 1)
        assert (again.message.routing_key, again.message.headers["dead_redrives"]) == ("RoomCreated", 1)
        assert "x-first-death-queue" not in again.message.headers


def test_a_broker_that_is_away_is_no_empty_queue() -> None:
    with closing(connect("amqp://guest:guest@127.0.0.1:1/", "nobody")) as broker:
        with pytest.raises(Unavailable):
            list(letters(broker, QUEUE.dead))
        with pytest.raises(Unavailable):
            redrive(broker, QUEUE, everything)
        with pytest.raises(Unavailable):
            discard(broker, QUEUE, "any", why="why", who="who")
