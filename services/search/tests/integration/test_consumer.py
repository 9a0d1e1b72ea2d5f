"""From messages on a queue to documents in an index, with the real consumer, codec and embedded broker."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from injector import Injector

import schemas
from common.config import load
from common.errors import NotFound, Unavailable
from common.events.codec import Codec
from common.events.consumer import Rejected
from common.events.envelope import Event, to_message
from common.messaging.port import Broker, Message
from common.messaging.topology import ITEMS, ROOMS, SEARCH_ITEMS, SEARCH_ROOMS, TOPOLOGY
from search import bootstrap
from search.config import Config
from search.domain import Applied, Contents, Document, Freshness, Hit, Outcome, Page, Query, Refused
from search.entrypoints.consumer import IndexListings
from search.kinds import ROOMS as KIND
from search.ports import Clock, Corpora, Index
from search.use_cases import ApplyChanges, PrepareIndices

AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def _data(**changes: Any) -> dict[str, Any]:
    return {
        "id": str(uuid4()),
        "version": 1,
        "name": "Attic",
        "description": "Quiet.",
        "price": 650,
        "recurrency": "monthly",
        "provider": "Nestly",
        "url": "https://nestly.example/attic",
        "coordinates": {"lat": 52.5, "lon": 13.4},
        "monthly_price": 650,
        "property_size": 18.5,
        "currency": "EUR",
        "area": {"id": None, "name": "Mitte", "city": "Berlin", "country": "Germany", "coordinates": None},
        "is_visible": True,
        "furnished": None,
        "images": [dict.fromkeys(("url", "stored_url", "thumbnail_url"), "https://nestly.example/attic.jpg")],
        "created_at": AT,
        "updated_at": AT + timedelta(seconds=1),
    } | changes


def _event(type: str, data: dict[str, Any], **changes: Any) -> Event:
    fields: dict[str, Any] = {
        "id": str(uuid4()),
        "source": "/rooms",
        "type": type,
        "subject": data.get("id", ROOMS),
        "sequence": data.get("version", 0),
        "time": AT,
        "traceparent": TRACE,
        "request_id": "r-7",
        "data": data,
    }
    return Event(**fields | changes)


@pytest.fixture
def injector(index_url: str, embedded_broker_url: str) -> Iterator[Injector]:
    made = Injector([bootstrap.configure(load(Config, {"INDEX_URL": index_url, "BROKER_URL": embedded_broker_url}))])
    made.get(PrepareIndices)(writing=True)
    yield made
    made.get(Broker).close()
    made.get(Corpora).close()


@pytest.fixture
def publish(injector: Injector) -> Callable[..., None]:
    broker, codec = injector.get(Broker), injector.get(Codec)
    broker.declare(TOPOLOGY)
    publisher = broker.publisher()

    def send(*events: Event | Message, exchange: str = ROOMS) -> None:
        messages = [each if isinstance(each, Message) else _message(codec, each) for each in events]
        assert all(publisher.publish(exchange, messages, timeout=10))

    return send


def _message(codec: Codec, event: Event) -> Message:
    body = codec.encode(event.type, event.data)
    names = ("id", "source", "type", "subject", "sequence", "time", "traceparent", "request_id")
    return to_message(**{name: getattr(event, name) for name in names}, dataschema=codec.dataschema(body), body=body)


@pytest.fixture
def consuming(injector: Injector) -> Iterator[None]:
    stop = threading.Event()
    indexers = [bootstrap.Indexer(injector, kind, batch=100) for kind in injector.get(Corpora)]
    threads = [threading.Thread(target=each.run, args=(stop,)) for each in indexers]
    for thread in threads:
        thread.start()
    yield
    stop.set()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()


def _wait(condition: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _version(index: Index, id: str) -> int:
    try:
        return index.get(id).version
    except NotFound:
        return 0


def test_a_room_is_indexed_as_its_api_shows_it_with_its_trace(
    injector: Injector, publish: Callable[..., None], consuming: None
) -> None:
    data = _data()
    event = _event("RoomCreated", data)
    publish(event)
    index = injector.get(Corpora)["rooms"].index
    _wait(lambda: _version(index, data["id"]) == 1)
    found = index.get(data["id"])
    shown = data | {"created_at": "2026-01-02T03:04:05.000006Z", "updated_at": "2026-01-02T03:04:06.000006Z"}
    assert found.listing == shown
    assert (found.trace_id, found.request_id) == ("0af7651916cd43dd8448eb211c80319c", "r-7")
    assert (found.event_id, found.event_time) == (event.id, "2026-01-02T03:04:05.000006Z")
    assert (found.attempts, found.deliveries) == (1, 1)


def test_an_event_recorded_before_a_field_came_is_indexed_without_it(
    injector: Injector, publish: Callable[..., None], consuming: None
) -> None:
    recorded = (schemas.DIRECTORY / "examples" / "RoomCreated.v1.bin").read_bytes()
    codec, index = injector.get(Codec), injector.get(Corpora)["rooms"].index
    type, data = codec.decode(recorded)
    event = to_message(
        id=str(uuid4()),
        source="/rooms",
        type=type,
        subject=data["id"],
        sequence=data["version"],
        time=AT,
        traceparent=TRACE,
        request_id="r-7",
        dataschema=codec.dataschema(recorded),
        body=recorded,
    )
    publish(event)
    _wait(lambda: _version(index, data["id"]) == data["version"])
    assert (index.get(data["id"]).listing or {})["furnished"] is None
    _wait(lambda: index.search(Query()).total == 1)
    assert index.search(Query(filters={"furnished": False})).total == 0


def test_events_in_any_order_lead_to_the_last_state(injector: Injector, publish: Callable[..., None], consuming: None) -> None:
    kept, gone = _data(), _data(url="https://nestly.example/gone")
    deleted = {"id": gone["id"], "version": 3, "url": gone["url"], "deleted_at": AT}
    events = [
        *(_event("RoomDeleted", deleted), _event("RoomUpdated", kept | {"version": 2, "name": "new"})),
        *(_event("RoomUpdated", gone | {"version": 2}), _event("RoomCreated", kept), _event("RoomCreated", gone)),
    ]
    publish(*events)
    publish(*reversed(events))
    publish(_event("Heartbeat", {"source": "rooms", "at": AT}))
    index = injector.get(Corpora)["rooms"].index
    _wait(lambda: index.progress().get("rooms") == AT)
    assert _version(index, kept["id"]) == 2
    assert _version(index, gone["id"]) == 0
    _wait(lambda: [hit.id for hit in index.search(Query()).hits] == [kept["id"]])


def test_what_cannot_be_indexed_is_a_dead_letter_and_delays_nobody(
    injector: Injector, publish: Callable[..., None], consuming: None
) -> None:
    good, bad, other = _data(), _data(coordinates={"lat": 91.0, "lon": 0.0}), _data()
    noise = Message(id="noise", routing_key="RoomCreated", body=b"\xc3\x01garbage!", headers={}, timestamp=0)
    publish(_event("RoomCreated", good), _event("RoomCreated", bad), noise, _event("RoomCreated", other))
    index, broker = injector.get(Corpora)["rooms"].index, injector.get(Broker)
    _wait(lambda: _version(index, good["id"]) == _version(index, other["id"]) == 1)
    _wait(lambda: broker.depth(SEARCH_ROOMS.dead) == 2)
    reasons = {letter.headers["dead_reason"] for letter in broker.browse(SEARCH_ROOMS.dead, 10)}
    assert "invalid" in reasons
    assert reasons & {"unknown-schema", "undecodable"}


def test_what_is_no_event_but_has_a_schema_is_a_dead_letter(
    injector: Injector, publish: Callable[..., None], consuming: None
) -> None:
    """Exports are Avro of ours as well, and could be sent by mistake."""
    tombstone = {"id": str(uuid4()), "version": 1, "room": None, "derived": [], "owner": "", "deleted_at": AT}
    exported = _event("RoomExported", tombstone | {"event_id": "", "request_id": "", "traceparent": ""})
    publish(replace(_message(injector.get(Codec), exported), routing_key="RoomCreated"))
    broker = injector.get(Broker)
    _wait(lambda: broker.depth(SEARCH_ROOMS.dead) == 1)
    assert [letter.headers["dead_reason"] for letter in broker.browse(SEARCH_ROOMS.dead, 10)] == ["unknown-type"]


def _item(**changes: Any) -> dict[str, Any]:
    place = {"version": 3, "name": "Attic", "coordinates": {"lat": 52.5, "lon": 13.4}, "city": "Berlin", "is_visible": True}
    return {
        "id": str(uuid4()),
        "version": 1,
        "name": "Piano",
        "description": None,
        "category": "Music",
        "price": 900,
        "currency": "EUR",
        "quantity": 1,
        "condition": "good",
        "provider": "Nestly",
        "url": None,
        "room_id": str(uuid4()),
        "room": place,
        "is_visible": True,
        "images": [],
        "created_at": AT,
        "updated_at": AT + timedelta(seconds=1),
    } | changes


def test_items_have_a_queue_an_index_and_heartbeats_of_their_own(
    injector: Injector, publish: Callable[..., None], consuming: None
) -> None:
    kept, alone, gone = _item(), _item(room=None, room_id=None), _item()
    deleted = {"id": gone["id"], "version": 2, "url": None, "deleted_at": AT}
    events = [_event("ItemCreated", each) for each in (kept, alone, gone)]
    publish(
        *events,
        _event("ItemDeleted", deleted),
        *events,
        _event("ItemUpdated", kept | {"version": 2, "room": kept["room"] | {"city": "Potsdam"}}),
        _event("Heartbeat", {"source": "items", "at": AT}),
        _event("Heartbeat", {"source": "rooms", "at": AT}),
        _event("RoomCreated", _data()),
        exchange=ITEMS,
    )
    rooms, items = (injector.get(Corpora)[kind].index for kind in ("rooms", "items"))
    _wait(lambda: items.progress() == {"items": AT})
    _wait(lambda: items.search(Query()).total == 2)
    assert [hit.id for hit in items.search(Query(filters={"city": ("potsdam",)})).hits] == [kept["id"]]
    assert rooms.count() == 0
    assert rooms.progress() == {}
    broker = injector.get(Broker)
    _wait(lambda: broker.depth(SEARCH_ITEMS.dead) == 2)
    reasons = sorted(str(letter.headers["dead_reason"]) for letter in broker.browse(SEARCH_ITEMS.dead, 10))
    assert reasons == ["unknown-source", "unknown-type"]
    assert broker.depth(SEARCH_ROOMS.dead) == 0


class _Refuses(Index):
    """An index that is away, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ensure(self, *, writing: bool) -> None:
        self.asked.append("ensure")

    def apply(self, documents: Any) -> list[Outcome]:
        self.asked.append("apply")
        raise Unavailable("the index")

    def record_progress(self, source: str, as_of: datetime) -> Outcome:
        self.asked.append("record_progress")
        return Applied()

    def progress(self) -> dict[str, datetime]:
        return {}

    def search(self, query: Query) -> Page:
        raise NotImplementedError

    def holders(self, words: Any, field: str, limit: int) -> list[str]:
        raise NotImplementedError

    def held(self, words: Any, field: str, values: Any, each: int) -> dict[str, list[Hit]]:
        raise NotImplementedError

    def get(self, id: str) -> Document:
        raise NotImplementedError

    def entry(self, id: str) -> Document:
        raise NotImplementedError

    def scan(self) -> Iterator[tuple[str, int]]:
        return iter(())

    def versions(self, ids: Any) -> dict[str, int]:
        raise NotImplementedError

    def count(self) -> int:
        return 0

    def contents(self) -> Contents:
        raise NotImplementedError

    def ping(self) -> None: ...

    def close(self) -> None: ...


class _Noon(Clock):
    def now(self) -> datetime:
        return AT


def test_a_heartbeat_counts_only_once_the_events_before_it_are_durable() -> None:
    index = _Refuses()
    handler = IndexListings(KIND, ApplyChanges(index), _Noon())
    with pytest.raises(Unavailable):
        handler.apply([_event("RoomCreated", _data()), _event("Heartbeat", {"source": "rooms", "at": AT})])
    assert index.asked == ["apply"]


def test_an_event_nobody_here_knows_is_rejected() -> None:
    (answer,) = IndexListings(KIND, ApplyChanges(_Refuses()), _Noon()).apply([_event("RoomPainted", {})])
    assert answer == Rejected("unknown-type", "search does not know what RoomPainted means for its index of rooms")


def test_heartbeats_that_vouch_for_nothing_are_rejected_and_leave_the_index_alone(injector: Injector) -> None:
    handler, index = (
        IndexListings(KIND, ApplyChanges(injector.get(Corpora)["rooms"].index), injector.get(Clock)),
        injector.get(Corpora)["rooms"].index,
    )
    now = datetime.now(UTC)
    beats = [
        *({"source": "x" * 600, "at": now}, {"source": "elsewhere", "at": now}, {"source": "", "at": now}),
        *(
            {"source": "rooms", "at": datetime(2099, 1, 1, tzinfo=UTC)},
            {"source": "rooms", "at": datetime(1900, 1, 1, tzinfo=UTC)},
        ),
        {"source": "rooms", "at": now + timedelta(seconds=30)},
    ]
    answers = handler.apply([_event("Heartbeat", beat) for beat in beats])
    assert [answer and answer.reason for answer in answers] == [
        *["unknown-source"] * 3, "from-the-future", "from-the-past", None,
    ]  # fmt: skip
    assert all(len(answer.detail) < 300 for answer in answers if answer)
    _wait(lambda: bool(index.progress()))
    # Its clock is fast: what it vouches for ends now.
    assert now <= index.progress()["rooms"] <= datetime.now(UTC)


class _RefusesProgress(_Refuses):
    def record_progress(self, source: str, as_of: datetime) -> Outcome:
        return Refused("rejected", "no")


def test_a_heartbeat_the_index_refuses_is_rejected_by_itself() -> None:
    beat = _event("Heartbeat", {"source": "rooms", "at": AT})
    assert IndexListings(KIND, ApplyChanges(_RefusesProgress()), _Noon()).apply([beat, beat]) == [Rejected("rejected", "no")] * 2


def test_an_index_is_never_fresher_than_now() -> None:
    assert Freshness.at({"rooms": AT + timedelta(days=9000)}, AT) == Freshness(AT, 0.0)
    assert Freshness.at({"rooms": AT + timedelta(days=9000), "areas": AT - timedelta(seconds=2)}, AT) == Freshness(
        AT - timedelta(seconds=2), 2.0
    )
