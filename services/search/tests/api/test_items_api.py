"""The search for items over HTTP, and rooms that are found by their items. Once on Tantivy, once on Elasticsearch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest

from common.config import load
from common.errors import Unavailable
from common.messaging.port import Broker
from common.testing.waiting import eventually
from common.web.serve import running
from search import bootstrap, use_cases
from search.config import Config
from search.domain import Applied, Document
from search.ports import Clock, Corpora

Make = Callable[..., Document]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class StoppedClock(Clock):
    def now(self) -> datetime:
        return NOW


@dataclass(frozen=True)
class Api:
    client: httpx.Client
    corpora: Corpora

    def put(self, kind: str, *documents: Document) -> list[Document]:
        """Applies documents and waits until searches see them."""
        index = self.corpora[kind].index
        assert index.apply(documents) == [Applied()] * len(documents)
        versions = {each.id: each.version for each in documents}
        eventually(lambda: index.versions(versions) == versions)
        return list(documents)

    def find(self, kind: str, **parameters: Any) -> Any:
        answer = self.client.get(f"/v1.0/search/{kind}", params=parameters)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def names(self, kind: str, **parameters: Any) -> list[str]:
        return [hit[kind[:-1]]["name"] for hit in self.find(kind, **parameters)["hits"]]


@pytest.fixture
def api(index_url: str, tmp_path: Path) -> Iterator[Api]:
    environ = {"INDEX_URL": index_url, "BROKER_URL": f"sqlite:///{tmp_path}/broker.db"}
    app = bootstrap.http(load(Config, environ), lambda binder: binder.bind(Clock, to=StoppedClock()))
    corpora = app.injector.get(Corpora)
    for corpus in corpora.values():
        corpus.index.ensure(writing=True)
    with running(app) as server, httpx.Client(base_url=server.url, timeout=20) as client:
        yield Api(client, corpora)
    corpora.close()
    app.injector.get(Broker).close()


def _in(room: Document, **changes: Any) -> dict[str, Any]:
    """What makes an item stand in this room."""
    listing = room.listing or {}
    known = {"version": 1, "name": listing["name"], "coordinates": listing["coordinates"], "city": "Berlin", "is_visible": True}
    return {"room_id": room.id, "room": known | changes}


def test_an_answer_has_the_shape_of_the_design(api: Api, thing: Make) -> None:
    (item,) = api.put("items", thing(name="Grand piano", description="A piano & a stool."))
    answer = api.find("items", q="piano", near="52.52,13.405", facets="category,condition,price")
    assert answer == {
        "total": {"value": 1, "relation": "eq"},
        "hits": [
            {
                "id": item.id,
                "version": 1,
                "score": 19.0,
                "distance_m": 0.0,
                "highlights": {"name": ["Grand <mark>piano</mark>"], "description": ["A <mark>piano</mark> &amp; a stool."]},
                "item": item.listing,
            }
        ],
        "facets": {
            "category": [{"value": "Music", "count": 1}],
            "condition": [{"value": "good", "count": 1}],
            "price": [{"value": 500, "count": 1}],
        },
        "next": None,
        "index": {"as_of": None, "lag_seconds": None, "stale": True},
    }
    api.put("items", thing(name="Alone", description=None, room=None, room_id=None))
    (alone,) = api.find("items", q="alone")["hits"]
    assert (alone["distance_m"], alone["highlights"]) == (None, {"name": ["<mark>Alone</mark>"]})


def test_items_are_narrowed_by_what_they_have(api: Api, thing: Make) -> None:
    one, _, _ = api.put(
        "items",
        thing(name="one", category="Musik", condition="new", price=100),
        thing(name="two", category="Tools", condition="used", price=200, provider="Börse"),
        thing(name="three", category=None, condition=None, price=None, provider=None, room=None, room_id=None),
    )
    room_id = (one.listing or {})["room_id"]
    assert len(api.names("items")) == 3
    for asked in (
        *(
            {"category": "musik"},
            {"condition": "NEW,good"},
            {"price_max": 150},
            {"room_id": room_id},
            {"room_id": room_id.upper()},
        ),
        *({"provider": "nestly"}, {"city": "berlin", "price_max": 100}, {"q": "one", "currency": "eur"}),
    ):
        assert api.names("items", **asked) == ["one"], asked
    assert api.names("items", sort="-price") == ["two", "one"]
    assert len(api.names("items", bbox="13,52,14,53")) == 2


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        *(("condition=broken", "condition"), ("price_min=2&price_max=1", "price_min"), ("room_id=7", "room_id")),
        *(("facets=recurrency", "facets"), ("furnished=true", "furnished"), ("sort=distance", "sort"), ("category=", "category")),
        *(("near=91,0", "near"), ("bbox=0,5,0,4", "bbox"), ("cursor=abc", "cursor"), ("&".join(["room_id=x"] * 21), "room_id")),
    ],
)
def test_a_bad_parameter_is_named(api: Api, asked: str, named: str) -> None:
    answer = api.client.get(f"/v1.0/search/items?{asked}")
    assert answer.status_code == 400
    assert {each["name"].split("[")[0] for each in answer.json()["errors"]} == {named}


def test_an_indexed_item_is_read_unless_it_or_its_room_is_hidden(api: Api, thing: Make) -> None:
    item, hidden = api.put("items", thing(), thing(is_visible=False))
    within = thing()
    within = replace(within, listing={**(within.listing or {}), "room": {**(within.listing or {})["room"], "is_visible": False}})
    api.put("items", within)
    read = api.client.get(f"/v1.0/search/items/{item.id}")
    assert (read.status_code, read.json()["item"], read.json()["trace_id"]) == (200, item.listing, item.trace_id)
    for id in (hidden.id, within.id, thing().id):
        assert api.client.get(f"/v1.0/search/items/{id}").status_code == 404
        assert api.client.get(f"/v1.0/search/rooms/{id}").status_code == 404


def test_a_cursor_of_rooms_is_none_of_items(api: Api, document: Make, thing: Make) -> None:
    api.put("rooms", *(document() for _ in range(3)))
    api.put("items", *(thing() for _ in range(3)))
    cursor = api.find("rooms", limit=1, provider="nestly")["next"]
    assert api.client.get("/v1.0/search/items", params={"cursor": cursor, "provider": "nestly"}).status_code == 400


def test_a_room_is_found_by_its_items_and_says_which(api: Api, document: Make, thing: Make) -> None:
    bare, furnished, other = api.put("rooms", document(name="Bare"), document(name="Stocked"), document(name="Other"))
    pianos = api.put("items", *(thing(name=f"Piano {number}", **_in(furnished)) for number in range(4)))
    api.put("items", thing(name="Desk", **_in(bare)), thing(name="Piano", room=None, room_id=None))
    answer = api.find("rooms", q="piano")
    assert answer["total"] == {"value": 1, "relation": "eq"}
    (hit,) = answer["hits"]
    best = sorted(pianos, key=lambda each: each.id)[:3]
    assert hit["room"] == furnished.listing
    assert hit["items"] == [{"id": each.id, "name": (each.listing or {})["name"]} for each in best]
    assert hit["highlights"] == {}
    assert api.names("rooms", q="desk") == ["Bare"]
    assert api.find("rooms", q="other")["hits"][0]["items"] == []
    assert [each["items"] for each in api.find("rooms")["hits"]] == [[], [], []]
    # All words in one item, or all in the room itself.
    assert api.names("rooms", q="piano desk") == []
    assert other.id not in {each["id"] for each in api.find("rooms", q="pian")["hits"]}


def test_a_match_in_a_rooms_name_counts_more_than_its_items_and_both_more_than_either(
    api: Api, document: Make, thing: Make
) -> None:
    nowhere = {"id": None, "name": "X", "city": "Y", "country": "Z", "coordinates": None}
    both, name, typo, held, text = api.put(
        "rooms",
        document(name="1 piano room", area=nowhere, description=""),
        document(name="2 piano room", area=nowhere, description=""),
        document(name="4 piamo room", area=nowhere, description=""),
        document(name="5 held", area=nowhere, description=""),
        document(name="3 text", area=nowhere, description="piano"),
    )
    api.put("items", thing(name="Piano", **_in(both)), thing(name="Piano", **_in(held)))
    hits = api.find("rooms", q="piano ")["hits"]
    assert [each["id"] for each in hits] == [each.id for each in (both, name, text, typo, held)]
    assert [each["score"] for each in hits] == [16.875, 16.0, 3.0, 1.0, 0.875]


def test_a_room_found_by_an_item_must_pass_its_own_filters_and_counts_once(api: Api, document: Make, thing: Make) -> None:
    cheap, dear, hidden, francs = api.put(
        "rooms",
        document(name="Piano cheap", price=100, provider="a"),
        document(name="dear", price=900, provider="b"),
        document(name="hidden", is_visible=False),
        document(name="francs", price=100, currency="CHF"),
    )
    api.put("items", *(thing(name="Piano", **_in(room)) for room in (cheap, cheap, dear, hidden, francs)))
    assert sorted(api.names("rooms", q="piano")) == ["Piano cheap", "dear", "francs"]
    assert api.names("rooms", q="piano", price_max=500) == ["Piano cheap"]
    answer = api.find("rooms", q="piano", price_max=500, facets="provider,price")
    assert answer["total"]["value"] == 1
    assert answer["facets"] == {
        "provider": [{"value": "a", "count": 1}],
        "price": [{"value": 100, "count": 1}, {"value": 900, "count": 1}],
    }
    assert api.names("rooms", q="piano", sort="-price") == ["dear", "Piano cheap"]
    assert sorted(api.names("rooms", q="piano", near="52.52,13.405", sort="distance")) == ["Piano cheap", "dear", "francs"]


@pytest.mark.parametrize("sort", ["relevance", "newest", "price", "distance"])
def test_pages_of_rooms_found_by_items_show_each_once(api: Api, document: Make, thing: Make, sort: str) -> None:
    rooms = api.put("rooms", *(document(name="piano" if number % 3 else "room", price=number % 2) for number in range(11)))
    api.put("items", *(thing(name="piano", **_in(room)) for number, room in enumerate(rooms) if number % 2 or not number % 3))
    parameters = {"q": "piano", "sort": sort, "near": "52.52,13.405", "limit": 3}
    seen: list[str] = []
    cursor: dict[str, str] = {}
    while True:
        answer = api.find("rooms", **parameters, **cursor)
        assert answer["total"] == {"value": 11, "relation": "eq"}
        seen += [hit["id"] for hit in answer["hits"]]
        if answer["next"] is None:
            break
        cursor = {"cursor": answer["next"]}
        assert len(seen) < 12
    assert sorted(seen) == sorted(each.id for each in rooms)


def test_of_more_rooms_than_are_looked_at_the_total_is_at_least_that(
    api: Api, document: Make, thing: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(use_cases, "HOLDERS", 3)
    ids = [str(UUID(int=number, version=4)) for number in range(1, 5)]
    rooms = api.put("rooms", *(document(id=id, name=f"room {number}") for number, id in enumerate(ids)))
    api.put("items", *(thing(name="piano", **_in(room)) for room in rooms[:3]))
    assert api.find("rooms", q="piano")["total"] == {"value": 3, "relation": "eq"}
    api.put("items", thing(name="a piano", **_in(rooms[3])))
    answer = api.find("rooms", q="piano", sort="newest")
    assert answer["total"] == {"value": 3, "relation": "gte"}
    assert {hit["id"] for hit in answer["hits"]} == set(ids[:3])


def test_an_answer_is_as_fresh_as_the_slower_of_the_indices_that_it_looked_into(api: Api) -> None:
    rooms, items = api.corpora["rooms"].index, api.corpora["items"].index
    rooms.record_progress("rooms", NOW - timedelta(seconds=1))
    eventually(lambda: not api.find("rooms", q="x")["index"]["stale"])  # nobody has ever heard of items
    items.record_progress("items", NOW - timedelta(seconds=4))
    eventually(lambda: api.find("rooms", q="x")["index"]["lag_seconds"] == 4.0)
    assert api.find("rooms")["index"]["lag_seconds"] == 1.0
    assert api.find("items", q="x")["index"]["lag_seconds"] == 4.0


def test_tokens_of_both_kinds_are_taken_everywhere(api: Api, document: Make, thing: Make) -> None:
    (room,) = api.put("rooms", document())
    (item,) = api.put("items", thing(**_in(room)))
    late = thing()
    tokens = [f"rooms/{room.id}@1", f"items/{item.id}@1"]
    paths = ["/search/rooms", "/search/items", f"/search/rooms/{room.id}", f"/search/items/{item.id}"]
    for path in paths:
        for sent, pending in ((tokens, []), ([*tokens, f"items/{late.id}@1"], [f"items/{late.id}@1"])):
            answer = api.client.get(f"/v1.0{path}", headers={"Atrium-Consistency": ", ".join(sent)})
            assert answer.json()["index"]["pending"] == pending
        crossed = api.client.get(f"/v1.0{path}", headers={"Atrium-Consistency": f"items/{room.id}@1"})
        assert crossed.json()["index"]["pending"] == [f"items/{room.id}@1"]


def test_without_the_index_of_items_words_are_not_half_answered(
    api: Api, document: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    api.put("rooms", document(name="piano"))

    def away(*_: Any) -> Any:
        raise Unavailable("the index", "it is away")

    monkeypatch.setattr(api.corpora["items"].index, "holders", away)
    answer = api.client.get("/v1.0/search/rooms", params={"q": "piano"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    assert api.names("rooms", provider="nestly") == ["piano"]  # nobody looks for items without words
