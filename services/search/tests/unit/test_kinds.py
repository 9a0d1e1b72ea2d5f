"""The descriptions of kinds fit what the engines and the use cases expect of them."""

import pytest

from search.adapters.elasticsearch_mapping import mappings
from search.adapters.tantivy_schema import build_schema
from search.kinds import KINDS, ROOMS, Column, Kind, Type
from search.relevance import HELD, NAME
from search.text import Match

#: The columns of a folder that the release before made: rooms must need no rebuild.
ROOMS_IN_TANTIVY = [
    *("furnished", "name", "place", "description", "provider", "provider_key", "recurrency", "currency", "city", "city_key"),
    *("country_key", "price", "price_bucket", "monthly_price", "created_at", "property_size", "lat", "lon"),
]


def _columns(kind: Kind) -> list[str]:
    others = (Column.KEYWORD, Column.ID, Column.INTEGER, Column.FLOAT)
    return [*kind.columns(Column.FLAG), *kind.words, *(name for each in others for name in kind.columns(each))]


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_a_kind_has_what_every_search_needs_and_no_column_twice(kind: Kind) -> None:
    assert kind.fields.items() >= {("currency", Type.VALUE), ("price", Type.PRICE), ("created_at", Type.MOMENT)}
    columns = _columns(kind)
    assert len(set(columns)) == len(columns)
    assert set(columns) <= mappings(kind)["properties"].keys()
    build_schema(kind)


def test_rooms_need_no_other_columns_than_before() -> None:
    assert _columns(ROOMS) == ROOMS_IN_TANTIVY


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_the_name_outweighs_all_else_and_exact_words_outweigh_typos(kind: Kind) -> None:
    others = [points for name, points in kind.words.items() if name != "name"]
    assert kind.words["name"] is NAME
    for match in Match:
        assert NAME[match] > sum(points[match] for points in others)
    typos = sum(points[Match.FUZZY] for points in kind.words.values())
    assert min(points[Match.EXACT] for points in kind.words.values()) > typos


def test_what_a_room_holds_counts_less_than_any_match_in_its_name_and_more_than_typos_elsewhere() -> None:
    elsewhere = sum(points[Match.FUZZY] for name, points in ROOMS.words.items() if name != "name")
    assert elsewhere < HELD < min(NAME.values())


@pytest.mark.parametrize("kind", KINDS.values(), ids=str)
def test_what_is_held_is_of_a_kind_that_says_by_which(kind: Kind) -> None:
    if kind.holds is not None:
        held, field = kind.holds
        assert KINDS[held].fields[field] is Type.ID
