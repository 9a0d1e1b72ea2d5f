"""Events as they pass, a line each."""

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from uuid_utils import uuid7

from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.envelope import to_message
from common.events.shown import Lines, as_dict, json_text
from common.events.tail import tail
from common.messaging.connect import connect
from common.messaging.port import Broker, Message
from common.messaging.topology import Queue, Topology
from common.testing.broker_contract import publish, take
from common.testing.waiting import eventually, in_background

QUEUE = Queue("listener", (("rooms", "#"),))
CODEC = Codec(Catalogue.load())
NOW = datetime(2026, 5, 1, 10, 0, 0, 123000, tzinfo=UTC)
TRACE = "0af7651916cd43dd8448eb211c80319c"
ID = str(uuid7())


def room(version: int = 1, type: str = "RoomCreated", id: str = ID, **changes: object) -> Message:
    data = {
        "id": id, "version": version, "name": "Attic", "description": "Quiet.", "price": 650, "recurrency": "monthly",
        "provider": "Nestly", "url": "https://nestly.example/attic", "coordinates": {"lat": 52.5, "lon": 13.4},
        "monthly_price": 650, "property_size": None, "currency": "EUR", "area": None, "is_visible": True, "furnished": None, "images": [],
        "created_at": NOW, "updated_at": NOW,
    } | changes  # fmt: skip
    return event(type, id, version, data)


def deleted(version: int, id: str = ID) -> Message:
    data = {"id": id, "version": version, "url": "https://nestly.example/attic", "deleted_at": NOW}
    return event("RoomDeleted", id, version, data)


def event(type: str, subject: str, version: int, data: dict[str, object]) -> Message:
    return to_message(
        id=str(uuid7()),
        source="/rooms",
        type=type,
        subject=subject,
        sequence=version,
        time=NOW,
        dataschema="",
        traceparent=f"00-{TRACE}-b7ad6b7169203331-01",
        request_id="r-1",
        body=CODEC.encode(type, data),
    )


HEARTBEAT = event("Heartbeat", "rooms", 0, {"source": "rooms", "at": NOW})
NOISE = Message(id="noise", routing_key="RoomCreated", body=b"\xc3\x01garbage!", headers={"esc": "\x1b[2J"}, timestamp=0)


def test_a_line_tells_what_it_is_and_then_what_has_changed() -> None:
    lines = Lines(CODEC)
    told = [
        lines.line(each).split("  ", 1)[1]
        for each in (
            room(),
            room(2, "RoomUpdated", name="Attic room", price=700, monthly_price=700),
            room(1),  # late
            room(3, "RoomUpdated", name="Attic room", price=700, monthly_price=700, description="x" * 100),
            deleted(4),
        )
    ]
    assert told == [
        f'RoomCreated  {ID}  v1  "Attic"  trace {TRACE}',
        f'RoomUpdated  {ID}  v2  name "Attic" → "Attic room", price 650 → 700, monthly_price 650 → 700  trace {TRACE}',
        f'RoomCreated  {ID}  v1  "Attic"  trace {TRACE}',
        f'RoomUpdated  {ID}  v3  description "Quiet." → "{"x" * 38}…  trace {TRACE}',
        f'RoomDeleted  {ID}  v4  "https://nestly.example/attic"  trace {TRACE}',
    ]
    assert lines.line(room()).startswith(NOW.astimezone().strftime("%H:%M:%S.123  "))


def test_what_cannot_be_decoded_is_told_with_its_reason_and_steers_no_terminal() -> None:
    odd = Message(id="a\x1b[2J\nb", routing_key="k\x07", body=b"not an event at all", headers={}, timestamp=0)
    told = Lines(CODEC).line(odd)
    assert "undecodable: it starts with 6e6f, not with c301  (19 bytes 6e6f7420616e" in told
    assert "\x1b" not in told and "\n" not in told and "\x07" not in told
    assert "no schema here has the fingerprint" in Lines(CODEC).line(NOISE)


def test_json_has_everything() -> None:
    told = json.loads(json_text(as_dict(room(), CODEC)))
    assert (told["type"], told["subject"], told["sequence"], told["trace_id"]) == ("RoomCreated", ID, 1, TRACE)
    assert (told["time"], told["data"]["created_at"]) == ("2026-05-01T10:00:00.123000Z",) * 2
    assert (told["data"]["name"], told["request_id"], told["headers"]["cloudEvents_source"]) == ("Attic", "r-1", "/rooms")
    odd = json.loads(json_text(as_dict(NOISE, CODEC)))
    assert (odd["id"], odd["body"], odd["headers"]) == ("noise", NOISE.body.hex(), {"esc": "\x1b[2J"})
    assert "fingerprint" in odd["undecodable"]
    assert json.loads(json_text({"half": "\ud800"}))


@dataclass
class Watch:
    """What a tail has shown, and noted."""

    seen: list[Message] = field(default_factory=list)
    notes: io.StringIO = field(default_factory=io.StringIO)

    def ids(self) -> list[str]:
        return [message.id for message in self.seen]


@contextmanager
def watching(broker: Broker, **chosen: str) -> Iterator[Watch]:
    watch = Watch()

    def run(stop: threading.Event) -> None:
        tail(broker, "rooms", watch.seen.append, watch.notes, stop, **chosen)

    with in_background(run):
        yield watch


@pytest.fixture
def broker(broker_url: str) -> Iterator[Broker]:
    with closing(connect(broker_url, "tail")) as broker:
        broker.declare(Topology(("rooms",), (QUEUE,)))
        yield broker


def is_watching(watch: Watch) -> Callable[[], bool]:
    return lambda: "watching rooms" in watch.notes.getvalue()


def test_a_tail_shows_what_passes_and_takes_it_from_nobody(broker: Broker) -> None:
    batch = [room(), NOISE, deleted(2), room(1, id=str(uuid7()))]
    with watching(broker) as watch:
        eventually(is_watching(watch))
        publish(broker, [HEARTBEAT, *batch], "rooms")
        eventually(lambda: watch.ids() == [each.id for each in batch])
    assert len(take(broker.subscribe(QUEUE, 10), 5)) == 5


@pytest.mark.parametrize(
    ("chosen", "shown"),
    [
        ({"type": "RoomDeleted"}, [1]),
        ({"id": ID}, [0, 1]),
        ({"id": ID, "type": "RoomCreated"}, [0]),
        ({"type": "Heartbeat"}, [3]),
    ],
)
def test_a_tail_shows_only_what_was_asked_for(broker: Broker, chosen: dict[str, str], shown: list[int]) -> None:
    batch = [room(), deleted(2), room(1, id=str(uuid7())), HEARTBEAT]
    with watching(broker, **chosen) as watch:
        eventually(is_watching(watch))
        publish(broker, batch, "rooms")
        eventually(lambda: watch.ids() == [batch[position].id for position in shown])


def test_a_broker_that_is_away_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "broker.db"
    path.mkdir()  # no file can be opened there
    with closing(connect(f"sqlite:///{path}", "tail")) as broker, watching(broker) as watch:
        eventually(lambda: "waiting: broker is not available: " in watch.notes.getvalue())
        path.rmdir()
        eventually(is_watching(watch))
        broker.declare(Topology(("rooms",), (QUEUE,)))
        publish(broker, [room()], "rooms")
        eventually(lambda: len(watch.seen) == 1)
    assert watch.notes.getvalue().count("waiting") == 1
