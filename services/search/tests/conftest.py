"""What the tests of search share: rooms, documents made of them, and an index to put them in."""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest

from common.config import load
from search.adapters.elasticsearch import ElasticsearchIndex
from search.adapters.tantivy_live import TantivyIndex
from search.bootstrap import open_generations
from search.config import Config
from search.domain import Applied, Document, Query
from search.kinds import ROOMS, Kind
from search.ports import Generations, Index

MakeRoom = Callable[..., dict[str, Any]]
MakeDocument = Callable[..., Document]
OpenIndex = Callable[[str], Index]
Eventually = Callable[[Callable[[], bool], str], None]
Fill = Callable[..., list[Document]]


@pytest.fixture
def room() -> MakeRoom:
    """Makes rooms as their API shows them, each with an id of its own; what is given replaces what is usual."""
    numbers = random.Random(7)

    def make(**changes: Any) -> dict[str, Any]:
        id = str(UUID(int=numbers.getrandbits(128), version=4))
        return {
            "id": id,
            "version": 1,
            "name": "Sunny room",
            "description": "Quiet and bright.",
            "price": 500,
            "recurrency": "monthly",
            "provider": "Nestly",
            "url": f"https://nestly.example/{id}",
            "coordinates": {"lat": 52.52, "lon": 13.405},
            "monthly_price": 500,
            "property_size": None,
            "furnished": None,
            "currency": "EUR",
            "area": {"id": None, "name": "Mitte", "city": "Berlin", "country": "Germany", "coordinates": None},
            "is_visible": True,
            "images": [],
            "created_at": "2026-01-02T03:04:05.000006Z",
            "updated_at": "2026-01-02T03:04:05.000006Z",
        } | changes

    return make


@pytest.fixture
def item() -> MakeRoom:
    """The same for items. `coordinates` are those of its room, as is the city of an `area`."""
    numbers = random.Random(11)

    def make(**changes: Any) -> dict[str, Any]:
        id, room_id = (str(UUID(int=numbers.getrandbits(128), version=4)) for _ in range(2))
        place = {"coordinates": {"lat": 52.52, "lon": 13.405}, "area": {"city": "Berlin"}}
        place |= {name: changes.pop(name) for name in ("coordinates", "area") if name in changes}
        area = place["area"]
        return {
            "id": id,
            "version": 1,
            "name": "Sunny piano",
            "description": "Quiet and bright.",
            "category": "Music",
            "price": 500,
            "currency": "EUR",
            "quantity": 1,
            "condition": "good",
            "provider": "Nestly",
            "url": f"https://nestly.example/{id}",
            "room_id": room_id,
            "room": {
                "version": 1,
                "name": "Mitte",
                "coordinates": place["coordinates"],
                "city": None if area is None else area["city"],
                "is_visible": True,
            },
            "is_visible": True,
            "images": [],
            "created_at": "2026-01-02T03:04:05.000006Z",
            "updated_at": "2026-01-02T03:04:05.000006Z",
        } | changes

    return make


@pytest.fixture
def kind() -> Kind:
    """What the index is of; modules about every kind have a fixture of their own in its place."""
    return ROOMS


@pytest.fixture
def document(kind: Kind, room: MakeRoom, item: MakeRoom) -> MakeDocument:
    """Makes documents of such listings."""
    return _documents(room if kind is ROOMS else item)


@pytest.fixture
def thing(item: MakeRoom) -> MakeDocument:
    """Makes documents of items, whatever the index is of."""
    return _documents(item)


def _documents(listing: MakeRoom) -> MakeDocument:
    def make(**changes: Any) -> Document:
        made = listing(**changes)
        return Document(
            id=made["id"],
            version=made["version"],
            listing=made,
            trace_id="0af7651916cd43dd8448eb211c80319c",
            request_id="r-1",
            event_id="e-1",
            event_time="2026-01-02T03:04:05Z",
            attempts=1,
            deliveries=1,
            indexed_at="2026-01-02T03:04:06Z",
        )

    return make


@pytest.fixture
def open_index(kind: Kind) -> Iterator[OpenIndex]:
    """Opens what a URL names, and closes it at the end of the test."""
    opened: list[Index] = []

    def open(url: str) -> Index:
        opened.append(TantivyIndex(url, kind) if url.startswith("tantivy:") else ElasticsearchIndex(url, kind))
        return opened[-1]

    yield open
    for each in opened:
        each.close()


@pytest.fixture
def index(index_url: str, open_index: OpenIndex) -> Index:
    """An empty index that is ready to be written, once Tantivy and once Elasticsearch."""
    opened = open_index(index_url)
    opened.ensure(writing=True)
    return opened


@pytest.fixture
def generations(index_url: str, kind: Kind, index: Index) -> Generations:
    """The generations of that index."""
    return open_generations(load(Config, {"INDEX_URL": index_url}), kind)


@pytest.fixture
def eventually() -> Eventually:
    """Waits, two seconds at most, until a condition holds: what was applied is found within one."""

    def wait(condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 2
        while not condition():
            assert time.monotonic() < deadline, what
            time.sleep(0.02)

    return wait


@pytest.fixture
def fill(index: Index, eventually: Eventually) -> Fill:
    """Applies documents that no adapter may refuse, and waits until the visible ones are found."""

    def apply(*documents: Document) -> list[Document]:
        assert index.apply(documents) == [Applied()] * len(documents)
        visible = {each.id for each in documents if each.visible}

        def found() -> bool:
            return visible <= _walk(index, Query(limit=100))

        eventually(found, "what was applied is not found")
        return list(documents)

    return apply


def _walk(index: Index, query: Query) -> set[str]:
    ids: set[str] = set()
    while True:
        page = index.search(query)
        ids |= {hit.id for hit in page.hits}
        if page.next is None:
            return ids
        query = replace(query, after=page.next)
