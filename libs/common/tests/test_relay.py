"""The relay carries what is in the outbox to the broker: at least once, and deletes only what was confirmed."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, MetaData, func, insert, select
from uuid_utils import uuid7

from common.db.doorbell import Doorbell, doorbell
from common.db.engine import open_engine, transaction
from common.db.versioned import outbox_table
from common.errors import Unavailable
from common.events import relay
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.envelope import from_message
from common.events.outbox import Gate, backlog, outbox_row
from common.events.relay import Relay
from common.messaging.connect import connect
from common.messaging.port import Broker, Message, Publisher
from common.messaging.topology import Queue, Topology
from common.observability import bind
from common.observability.metrics import Metrics, Relayed
from common.testing.metrics import sample
from common.testing.waiting import eventually, in_background

QUEUE = Queue("listener", (("rooms", "#"),))
OTHER = Queue("other-listener", (("rooms", "RoomDeleted"),))
TOPOLOGY = Topology(("rooms",), (QUEUE, OTHER))
CODEC = Codec(Catalogue.load())
METADATA = MetaData()
OUTBOX = outbox_table(METADATA)
NOW = datetime(2026, 5, 1, 12, 0, 0, 250_000, tzinfo=UTC)


@dataclass
class Side:
    engine: Engine
    broker: Broker
    bell: Doorbell

    def write(self, count: int = 1) -> list[str]:
        ids = [str(uuid7()) for _ in range(count)]
        rows = [
            outbox_row(
                CODEC,
                type="RoomDeleted",
                subject=id,
                sequence=7,
                time=NOW,
                data={"id": id, "version": 7, "url": "https://a.example/", "deleted_at": NOW},
            )
            for id in ids
        ]
        with transaction(self.engine) as connection:
            connection.execute(insert(OUTBOX), rows)
        self.bell.ring()
        return ids

    def relay(self, **options) -> Relay:
        parts = {"engine": self.engine, "outbox": OUTBOX, "doorbell": self.bell, "broker": self.broker, "topology": TOPOLOGY}
        return Relay(**parts | {"exchange": "rooms", "codec": CODEC} | options)

    def pending(self) -> int:
        return backlog(self.engine, OUTBOX).pending

    def looked(self) -> list[Message]:
        """What is in the queue, as far as a look tells: on RabbitMQ a new queue may not answer yet."""
        try:
            return self.broker.browse(QUEUE.name, 1000)
        except Unavailable:
            return []

    def waiting(self) -> list[Message]:
        """What is in the queue, once it is there: what was looked at a moment ago takes a moment to be back on RabbitMQ."""
        return eventually(self.looked)

    def received(self, queue: str = QUEUE.name) -> list[Message]:
        return [message for message in self.broker.browse(queue, 5000) if message.routing_key != "Heartbeat"]


@pytest.fixture
def side(database_url: str, broker_url: str) -> Iterator[Side]:
    engine = open_engine(database_url)
    METADATA.create_all(engine)
    broker, bell = connect(broker_url, "test"), doorbell(engine)
    yield Side(engine, broker, bell)
    bell.close()
    broker.close()
    engine.dispose()


def test_every_row_becomes_one_message_in_every_queue(side):
    with bind("request-1"):
        ids = side.write(300)
    with in_background(side.relay().run):
        eventually(lambda: side.pending() == 0)
    for queue in (QUEUE, OTHER):
        messages = side.received(queue.name)
        assert [message.headers["cloudEvents_subject"] for message in messages] == ids
    message = messages[0]
    assert message.headers["cloudEvents_specversion"] == "1.0"
    assert message.headers["cloudEvents_source"] == "/rooms"
    assert message.headers["cloudEvents_time"] == "2026-05-01T12:00:00.250000Z"
    assert message.headers["cloudEvents_dataschema"] == "urn:atrium:schema:rooms/RoomDeleted.v1"
    assert message.headers["cloudEvents_requestid"] == "request-1"
    assert message.headers["traceparent"].startswith("00-")
    assert message.id == message.headers["cloudEvents_id"]
    assert (message.content_type, message.timestamp) == ("application/avro", int(NOW.timestamp()))
    event = from_message(message, CODEC)
    assert (event.subject, event.sequence, event.data["deleted_at"]) == (ids[0], 7, NOW)


def test_events_that_nobody_listens_to_do_not_wait_for_ever(side):
    tap = side.broker.tap("unheard")
    side.write(3)
    with in_background(side.relay(exchange="unheard", topology=TOPOLOGY.publishing("unheard")).run):
        eventually(lambda: side.pending() == 0)
    assert [message.routing_key for message in tap.take(10) if message.routing_key != "Heartbeat"] == ["RoomDeleted"] * 3
    tap.close()


def test_for_a_subscriber_that_is_not_there_nothing_is_kept(side):
    """Also where its queue was declared before that was said; what waits there is nobody's to throw away."""
    side.broker.declare(TOPOLOGY)
    side.write(3)
    with in_background(side.relay().run):
        eventually(lambda: side.pending() == 0)
    eventually(lambda: len(side.received(OTHER.name)) == 3)
    side.write(4)
    with in_background(side.relay(topology=TOPOLOGY.heard_by(["listener"]), absent=[OTHER]).run):
        eventually(lambda: side.pending() == 0)
    eventually(lambda: len(side.received()) == 7)
    assert len(side.received(OTHER.name)) == 3


def test_a_subscriber_that_was_never_there_leaves_no_queue(side):
    side.write(3)
    with in_background(side.relay(topology=TOPOLOGY.heard_by(["listener"]), absent=[OTHER]).run):
        eventually(lambda: side.pending() == 0)
    assert side.broker.depth(OTHER.name) == 0


def test_a_write_wakes_the_relay(side):
    with in_background(side.relay().run):
        side.write()
        eventually(lambda: side.pending() == 0)
        began = time.monotonic()
        for _ in range(5):
            side.write()
            eventually(lambda: side.pending() == 0)
        # Looking by itself once a second it would take five; this is about being woken, not about speed.
        assert time.monotonic() - began < 4


def test_two_relays_lose_nothing(side):
    ids = side.write(600)
    other_bell = doorbell(side.engine)
    with in_background(side.relay(window=50).run), in_background(side.relay(window=50, doorbell=other_bell).run):
        ids += side.write(200)
        eventually(lambda: side.pending() == 0)
    subjects = [message.headers["cloudEvents_subject"] for message in side.received()]
    assert set(subjects) == set(ids)
    if side.engine.dialect.name == "postgresql":
        assert len(subjects) == len(ids)
    other_bell.close()


class Contrary(Publisher):
    """A publisher that refuses or fails as it is told, else hands on."""

    def __init__(self, inner: Publisher, moods: list[object]) -> None:
        self.inner, self.moods = inner, moods

    def publish(self, exchange, messages, timeout, *, mandatory=True):
        mood = self.moods.pop(0) if self.moods else None
        if mood == "away":
            raise Unavailable("the broker")
        if mood == "lost-confirm":
            self.inner.publish(exchange, messages, timeout)
            raise Unavailable("the broker")
        if mood == "returns-odd":
            self.inner.publish(exchange, messages[::2], timeout)
            return [i % 2 == 0 for i in range(len(messages))]
        return self.inner.publish(exchange, messages, timeout)

    def close(self):
        self.inner.close()


@pytest.mark.parametrize("moods", [["away", "away"], ["lost-confirm"], ["returns-odd", "away", "lost-confirm"]], ids="+".join)
def test_only_what_was_confirmed_leaves_the_outbox(side, moods, monkeypatch):
    ids = side.write(20)
    contrary = Contrary(side.broker.publisher(), list(moods))
    monkeypatch.setattr(side.broker, "publisher", lambda: contrary)
    with in_background(side.relay().run):
        eventually(lambda: side.pending() == 0)
    assert {message.headers["cloudEvents_subject"] for message in side.received()} == set(ids)
    assert contrary.moods == []


def test_what_is_published_confirmed_returned_and_without_an_answer_is_counted(side, monkeypatch):
    side.write(20)
    contrary = Contrary(side.broker.publisher(), ["away", "lost-confirm", "returns-odd"])
    monkeypatch.setattr(side.broker, "publisher", lambda: contrary)
    metrics = Metrics("rooms")
    relay = side.relay(metrics=Relayed(metrics))
    relay._beat = float("inf")  # no heartbeats among the twenty
    with in_background(relay.run):
        eventually(lambda: side.pending() == 0)
    counted = {name: sample(metrics.exposed(), f"relay_{name}_total") for name in ("published", "confirmed", "returned")}
    assert counted == {"published": 20 + 20 + 20 + 10, "confirmed": 10 + 10, "returned": 10}
    assert sample(metrics.exposed(), "relay_publish_failures_total") == 2


def test_a_broker_that_stays_away_is_one_warning(side, monkeypatch, caplog):
    contrary = Contrary(side.broker.publisher(), ["away"] * 3)
    monkeypatch.setattr(side.broker, "publisher", lambda: contrary)
    side.write()
    with in_background(side.relay().run):
        eventually(lambda: side.pending() == 0)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warnings.count("the outbox waits: the broker is not available") == 1


def test_a_broker_that_cannot_be_reached_is_named_without_its_password(side, caplog):
    nowhere = connect("amqp://nobody:secret@127.0.0.1:1/", "test")
    with in_background(side.relay(broker=nowhere).run):
        eventually(lambda: "the outbox waits" in caplog.text)
    nowhere.close()
    assert "the outbox waits: broker is not available: 127.0.0.1:1: " in caplog.text
    assert "secret" not in caplog.text


def test_told_to_stop_it_flushes_what_waits(side):
    with in_background(side.relay(window=10).run):
        eventually(lambda: side.pending() == 0)
        side.write(400)
    assert side.pending() == 0


def test_heartbeats_pass_through_the_outbox(side):
    with in_background(side.relay().run):
        eventually(lambda: any(message.routing_key == "Heartbeat" for message in side.looked()))
        eventually(lambda: side.pending() == 0)
    (beat,) = side.waiting()
    event = from_message(beat, CODEC)
    assert event.data["source"] == "rooms"
    assert abs((datetime.now(UTC) - event.data["at"]).total_seconds()) < 60


def test_a_heartbeat_does_not_vouch_for_what_another_relay_still_holds(side):
    side.write(3)  # dated NOW, which is long ago
    with in_background(side.relay().run):
        eventually(lambda: any(message.routing_key == "Heartbeat" for message in side.looked()))
    beat, *_ = [message for message in side.waiting() if message.routing_key == "Heartbeat"]
    assert from_message(beat, CODEC).data["at"] == NOW


def test_the_gate_lets_in_as_many_as_fit(side):
    gate = Gate(side.engine, OUTBOX, 10)
    side.write(7)
    gate.admit(2)
    with pytest.raises(Unavailable):
        gate.admit(2)
    gate.admit(1)
    with side.engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(OUTBOX)) == 7


def test_a_batch_larger_than_the_outbox_passes_when_nothing_waits(side):
    gate = Gate(side.engine, OUTBOX, 10)
    gate.admit(25)
    with pytest.raises(Unavailable):
        gate.admit(1)


def test_only_attempts_that_failed_are_counted_and_each_message_says_which_it_is(side, monkeypatch):
    contrary = Contrary(side.broker.publisher(), ["away", "returns-odd"])
    monkeypatch.setattr(side.broker, "publisher", lambda: contrary)
    ids = side.write(3)
    with in_background(side.relay().run):
        eventually(lambda: side.pending() == 0)
        ids += side.write()
        eventually(lambda: side.pending() == 0)
    attempts = {message.headers["cloudEvents_subject"]: message.headers["cloudEvents_attempts"] for message in side.received()}
    assert [attempts[id] for id in ids] == [2, 3, 2, 1]
    assert [from_message(message, CODEC).attempts for message in side.received()] == [2, 2, 3, 1]


def test_a_change_is_followed_by_a_heartbeat_that_vouches_for_it_but_never_by_a_flood(side, monkeypatch):
    monkeypatch.setattr(relay, "HEARTBEATS", 3600.0)  # none but the first comes by itself
    monkeypatch.setattr(relay, "NEWS", 0.05)
    monkeypatch.setattr(relay, "LOOK", 0.06)
    idle: list[float] = []
    wait = side.bell.wait
    monkeypatch.setattr(side.bell, "wait", lambda timeout: (wait(timeout), idle.append(timeout)))

    def beats() -> list[datetime]:
        messages = side.looked()
        return [from_message(each, CODEC).data["at"] for each in messages if each.routing_key == "Heartbeat"]

    with in_background(side.relay().run):
        eventually(lambda: len(beats()) == 1 and side.pending() == 0)
        for count in (2, 3):
            written_at = datetime.now(UTC)
            side.write(5)
            assert eventually(lambda count=count: len(found := beats()) == count and max(found)) > written_at
        rounds = len(idle)
        eventually(lambda: len(idle) > rounds + 4)  # a heartbeat is no change: it is followed by none
    assert eventually(lambda: len(beats()) >= 3)
    assert len(beats()) <= 3


def test_a_heartbeat_does_not_vouch_for_what_is_written_while_it_is_made(side, monkeypatch):
    class Interrupted(datetime):
        @classmethod
        def now(cls, tz=None):
            monkeypatch.setattr(relay, "datetime", datetime)
            side.write()  # dated NOW
            return datetime.now(tz)

    monkeypatch.setattr(relay, "datetime", Interrupted)
    with in_background(side.relay().run):
        beats = eventually(lambda: [each for each in side.looked() if each.routing_key == "Heartbeat"])
    assert from_message(beats[0], CODEC).data["at"] == NOW


def test_the_log_tells_which_events_were_published(side, caplog):
    caplog.set_level("INFO", "common.events.relay")
    ids = side.write(3)
    with in_background(side.relay().run):
        eventually(lambda: side.pending() == 0)
    messages = [message for message in side.received() if message.headers["cloudEvents_subject"] in ids]
    told = [event for record in caplog.records for event in getattr(record, "events", [])]
    assert told == [message.id for message in messages]
