"""What an index of items finds beyond what every index does, and what holds it. Once on Tantivy, once on Elasticsearch."""

import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from search.domain import Document, Facet, Market, Query, Range, Sort
from search.geo import FURTHEST, Box, Circle, Point
from search.kinds import ITEMS, Kind
from search.ports import Index
from search.text import words

Make = Callable[..., Document]
Fill = Callable[..., list[Document]]
BERLIN = Point(52.52, 13.405)
EURO = Market("EUR")
ROOM_IDS = [str(UUID(int=number, version=4)) for number in range(1, 40)]


@pytest.fixture
def kind() -> Kind:
    return ITEMS


def _room(**changes: Any) -> dict[str, Any]:
    known = {"version": 1, "name": "Attic", "coordinates": {"lat": 52.52, "lon": 13.405}, "city": "Berlin", "is_visible": True}
    return known | changes


def _names(index: Index, query: Query) -> list[str]:
    return [hit.listing["name"] for hit in index.search(query).hits]


def _found(index: Index, q: str) -> list[str]:
    return _names(index, Query(words=words(q), sort=Sort.RELEVANCE))


def test_words_are_found_in_name_category_place_and_description(index: Index, document: Make, fill: Fill) -> None:
    fill(document(name="Flügel", category="Musik", description="Schwarz.", room=_room(name="Dachzimmer", city="Łódź")))
    for q in ("flugel", "musik", "schwarz", "dachzimmer", "lodz", "flugel musik lodz schwa", "flugl msik"):
        assert _found(index, q) == ["Flügel"], q
    assert _found(index, "flugel attic") == []


def test_the_name_weighs_most_then_category_place_and_description(index: Index, document: Make, fill: Fill) -> None:
    other = {"name": "other", "category": "other", "room": _room(name="other"), "description": "other"}
    fill(
        document(**other | {"name": "4", "description": "piano"}),
        document(**other | {"name": "3", "room": _room(name="piano")}),
        document(**other | {"name": "2", "category": "piano"}),
        document(**other | {"name": "1 piano"}),
        document(**other | {"name": "5 pianos other", "description": None}),
    )
    assert _found(index, "piano") == ["1 piano", "5 pianos other", "2", "3", "4"]  # the last word may be unfinished


def test_an_item_without_a_room_is_found_but_nowhere(index: Index, document: Make, fill: Fill) -> None:
    fill(document(name="alone", room=None, room_id=None), document(name="placed"))
    assert sorted(_names(index, Query())) == ["alone", "placed"]
    assert _names(index, Query(near=Circle(BERLIN, FURTHEST), sort=Sort.DISTANCE)) == ["placed"]
    assert _names(index, Query(box=Box(-180, -90, 180, 90))) == ["placed"]
    assert _names(index, Query(filters={"city": ("berlin",)})) == ["placed"]
    assert index.search(Query(facets=("city",))).facets["city"] == [Facet("Berlin", 1)]


def test_an_item_is_hidden_with_its_room(index: Index, document: Make, fill: Fill) -> None:
    fill(document(name="shown"), document(name="hidden", is_visible=False), document(room=_room(is_visible=False)))
    assert _names(index, Query()) == ["shown"]
    assert index.count() == 3


def test_an_item_without_a_price_is_in_no_search_of_prices(index: Index, document: Make, fill: Fill) -> None:
    fill(
        document(name="free", price=0),
        document(name="dear", price=900),
        document(name="unpriced", price=None),
        document(name="francs", price=50, currency="CHF"),
    )
    assert len(_names(index, Query().on(EURO))) == 4
    assert _names(index, Query(sort=Sort.PRICE).on(EURO)) == ["free", "dear"]
    assert _names(index, Query(sort=Sort.PRICE_DESCENDING).on(EURO)) == ["dear", "free"]
    assert _names(index, Query(filters={"price": Range(high=10**12)}, sort=Sort.PRICE).on(EURO)) == ["free", "dear"]
    assert _names(index, Query(currency="CHF")) == ["francs"]
    assert index.search(Query(facets=("price",)).on(EURO)).facets["price"] == [Facet(0, 1), Facet(900, 1)]


def test_filters_and_facets_are_those_of_items(index: Index, document: Make, fill: Fill) -> None:
    made = fill(
        document(name="a", category="Musik", condition="new", provider=None),
        document(name="b", category="musik", condition="used", provider="Börse"),
        document(name="c", category=None, condition=None),
    )
    room = (made[1].listing or {})["room_id"]
    assert sorted(_names(index, Query(filters={"category": ("MUSIK",)}))) == ["a", "b"]
    assert _names(index, Query(filters={"category": ("musik",), "condition": ("used", "good")})) == ["b"]
    assert _names(index, Query(filters={"provider": ("borse",)})) == ["b"]
    assert _names(index, Query(filters={"room_id": (room,)})) == ["b"]
    asked = ("category", "condition", "provider")
    assert index.search(Query(filters={"condition": ("new",)}, facets=asked)).facets == {
        "category": [Facet("Musik", 1)],
        "condition": [Facet("new", 1), Facet("used", 1)],
        "provider": [],
    }


def test_holders_come_by_their_best_item_then_by_id_each_once(index: Index, document: Make, fill: Fill) -> None:
    good, best, typo, hidden = ROOM_IDS[3], ROOM_IDS[2], ROOM_IDS[1], ROOM_IDS[4]
    fill(
        document(name="stool", description="for a piano", room_id=good),
        document(name="piano", room_id=best),
        document(name="piano", room_id=best),
        document(name="chair", description="piano", room_id=best),
        document(name="pianu", room_id=typo),
        document(name="piano", room_id=hidden, room=_room(is_visible=False)),
        document(name="piano", room_id=None, room=None),
        document(name="chair", room_id=ROOM_IDS[0]),
    )
    assert list(index.holders(words("piano"), "room_id", 10)) == [best, good, typo]
    assert list(index.holders(words("piano"), "room_id", 2)) == [best, good]
    assert list(index.holders(words("violin"), "room_id", 2)) == []


def test_the_best_of_what_is_held_is_told_for_each_holder(index: Index, document: Make, fill: Fill) -> None:
    one, other = ROOM_IDS[:2]
    fill(
        *(document(name=f"piano {number}", room_id=one) for number in range(4)),
        document(name="stool", description="for a piano", room_id=one),
        document(name="piano", room_id=other, is_visible=False),
        document(name="pianino", description="a small piano", room_id=ROOM_IDS[2]),
    )
    found = index.held(words("piano"), "room_id", [one, other], 3)
    assert found.keys() == {one}
    assert [hit.id for hit in found[one]] == sorted(hit.id for hit in index.search(
        Query(words=words("piano"), filters={"room_id": (one,)}, sort=Sort.RELEVANCE, limit=4)).hits)[:3]  # fmt: skip
    assert all(hit.listing["name"].startswith("piano") for hit in found[one])
    assert index.held(words("piano"), "room_id", [], 3) == {}


def test_of_many_holders_the_same_are_taken_each_time(index: Index, document: Make, fill: Fill) -> None:
    chance = random.Random(5)
    ids = [str(UUID(int=chance.getrandbits(128), version=4)) for _ in range(1200)]
    fill(*(document(name="piano", room_id=id) for id in ids))
    assert list(index.holders(words("piano"), "room_id", 1001)) == sorted(ids)[:1001]
