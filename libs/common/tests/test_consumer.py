"""The consumer loop: what is applied is acked, what cannot be is a dead letter with its reason, and nothing in between is lost."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

import pytest
from uuid_utils import uuid7

from common.errors import Unavailable
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.consumer import Consumer, Handler, Rejected
from common.events.envelope import Event, from_message, to_message
from common.messaging.connect import connect
from common.messaging.port import Broker, Message
from common.messaging.topology import Queue, Topology
from common.testing.waiting import eventually, in_background

QUEUE = Queue("listener", (("rooms", "#"),))
CODEC = Codec(Catalogue.load())
NOW = datetime(2026, 5, 1, tzinfo=UTC)


@pytest.fixture
def broker(broker_url: str) -> Iterator[Broker]:
    broker = connect(broker_url, "test")
    broker.declare(Topology(("rooms",), (QUEUE,)))
    yield broker
    broker.close()


def deleted(version: int = 1, *, body: bytes | None = None, **headers: str | int) -> Message:
    id = str(uuid7())
    data = {"id": id, "version": version, "url": "https://a.example/", "deleted_at": NOW}
    message = to_message(
        id=str(uuid7()),
        source="/rooms",
        type="RoomDeleted",
        subject=id,
        sequence=version,
        time=NOW,
        dataschema="",
        traceparent="",
        request_id="",
        body=CODEC.encode("RoomDeleted", data) if body is None else body,
    )
    return Message(message.id, message.routing_key, message.body, {**message.headers, **headers}, message.timestamp)


def publish(broker: Broker, messages: Sequence[Message]) -> None:
    publisher = broker.publisher()
    assert all(publisher.publish("rooms", messages, 10))
    publisher.close()


class Recorder(Handler):
    """Remembers what it applied; `react` may raise or reject."""

    def __init__(self, react: Callable[[Sequence[Event]], dict[str, Rejected]] = lambda _: {}) -> None:
        self.applied: list[str] = []
        self.calls: list[int] = []
        self.deliveries: list[int] = []
        self.react = react

    def apply(self, events: Sequence[Event]) -> Sequence[Rejected | None]:
        self.calls.append(len(events))
        rejected = self.react(events)
        answers = [rejected.get(event.subject) for event in events]
        self.deliveries += [event.deliveries for event in events]
        self.applied += [event.subject for event, answer in zip(events, answers, strict=True) if answer is None]
        return answers


def consumer(broker: Broker, handler: Handler, **options: int) -> Consumer:
    return Consumer(broker, QUEUE, CODEC, handler, **options)


def drained(broker: Broker) -> bool:
    return broker.depth(QUEUE.name) == 0


def test_what_was_applied_is_gone_from_the_queue(broker):
    messages = [deleted() for _ in range(120)]
    publish(broker, messages)
    handler = Recorder()
    with in_background(consumer(broker, handler, batch=50).run):
        eventually(lambda: len(handler.applied) == 120)
    assert handler.applied == [message.headers["cloudEvents_subject"] for message in messages]
    assert drained(broker)
    assert max(handler.calls) <= 50


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (lambda: deleted(body=b"\xc3\x01some garbage"), "unknown-schema"),
        (lambda: deleted(body=b"{}"), "undecodable"),
        (lambda: deleted(body=deleted().body[:-3]), "undecodable"),
        (lambda: deleted(cloudEvents_type="RoomCreated"), "undecodable"),
        (lambda: deleted(cloudEvents_sequence="x"), "undecodable"),
        (lambda: deleted(cloudEvents_subject="someone-else"), "undecodable"),
        (lambda: deleted(cloudEvents_time="yesterday"), "undecodable"),
    ],
    ids=["unknown", "json", "truncated", "type", "sequence", "subject", "time"],
)
def test_a_poison_event_is_a_dead_letter_and_its_neighbours_are_applied(broker, poison, reason):
    healthy = [deleted() for _ in range(20)]
    bad = poison()
    publish(broker, [*healthy[:10], bad, *healthy[10:]])
    handler = Recorder()
    with in_background(consumer(broker, handler).run):
        eventually(lambda: len(handler.applied) == 20 and broker.depth(QUEUE.dead) == 1)
    assert drained(broker)
    (dead,) = broker.browse(QUEUE.dead, 10)
    assert (dead.id, dead.body) == (bad.id, bad.body)
    assert dead.headers["dead_reason"] == reason
    assert dead.headers["dead_queue"] == QUEUE.name
    assert dead.headers["dead_detail"]


def test_a_rejected_event_is_a_dead_letter_alone(broker):
    messages = [deleted() for _ in range(10)]
    publish(broker, messages)
    unwanted = str(messages[4].headers["cloudEvents_subject"])
    handler = Recorder(lambda _: {unwanted: Rejected("rejected", "the index refuses it")})
    with in_background(consumer(broker, handler).run):
        eventually(lambda: len(handler.applied) == 9 and broker.depth(QUEUE.dead) == 1)
    assert broker.browse(QUEUE.dead, 1)[0].headers["dead_detail"] == "the index refuses it"
    assert drained(broker)


def test_while_a_neighbour_is_down_events_wait_and_none_dies(broker):
    publish(broker, [deleted() for _ in range(30)])
    failures = 4

    def react(_: Sequence[Event]) -> dict[str, Rejected]:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise Unavailable("the index")
        return {}

    handler = Recorder(react)
    with in_background(consumer(broker, handler, batch=10).run):
        eventually(lambda: len(handler.applied) == 30)
    assert broker.depth(QUEUE.dead) == 0
    assert drained(broker)


def test_what_breaks_the_handler_breaks_alone(broker):
    messages = [deleted() for _ in range(64)]
    publish(broker, messages)
    culprit = messages[37].headers["cloudEvents_subject"]

    def react(events: Sequence[Event]) -> dict[str, Rejected]:
        if any(event.subject == culprit for event in events):
            raise ZeroDivisionError("a bug")
        return {}

    handler = Recorder(react)
    with in_background(consumer(broker, handler).run):
        eventually(lambda: len(handler.applied) == 63 and broker.depth(QUEUE.dead) == 1)
    (dead,) = broker.browse(QUEUE.dead, 10)
    assert dead.headers["dead_reason"] == "failed"
    assert len(handler.calls) < 30, "its neighbours do not wait for one another"
    assert "ZeroDivisionError" in str(dead.headers["dead_detail"])


def test_told_to_stop_while_waiting_it_gives_everything_back(broker):
    publish(broker, [deleted() for _ in range(5)])
    asked = threading.Event()

    def react(_: Sequence[Event]) -> dict[str, Rejected]:
        asked.set()
        raise Unavailable("the index")

    with in_background(consumer(broker, Recorder(react)).run):
        assert asked.wait(15)
    handler = Recorder()
    with in_background(consumer(broker, handler).run):
        eventually(lambda: len(handler.applied) == 5)
    assert max(handler.deliveries) == 2, "it says how often it was handed out"


def test_the_log_tells_which_events_were_applied_but_not_of_heartbeats(broker, caplog):
    caplog.set_level("INFO", "common.events.consumer")
    data = {"source": "rooms", "at": NOW}
    beat = to_message(
        id=str(uuid7()),
        source="/rooms",
        type="Heartbeat",
        subject="rooms",
        sequence=0,
        time=NOW,
        dataschema="",
        traceparent="",
        request_id="",
        body=CODEC.encode("Heartbeat", data),
    )
    room, refused = deleted(), deleted()
    publish(broker, [beat, room, refused])
    unwanted = str(refused.headers["cloudEvents_subject"])
    with in_background(consumer(broker, Recorder(lambda _: {unwanted: Rejected("rejected", "no")})).run):
        eventually(lambda: drained(broker) and broker.depth(QUEUE.dead) == 1)
    assert [event for record in caplog.records for event in getattr(record, "events", [])] == [room.id]


@pytest.mark.parametrize(("header", "attempts"), [(3, 3), (0, 1), ("x", 1), (2**40, 2**31 - 1)])
def test_attempts_that_make_no_sense_are_no_reason_to_refuse_an_event(header, attempts):
    assert from_message(deleted(cloudEvents_attempts=header), CODEC).attempts == attempts
