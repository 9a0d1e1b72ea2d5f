"""What every index finds, in which order, and how it counts. Once on Tantivy, once on Elasticsearch."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from search.domain import Document, Facet, Market, Query, Range, Sort
from search.geo import FURTHEST, Box, Circle, Point
from search.ports import Index
from search.text import words

Make = Callable[..., Document]
Fill = Callable[..., list[Document]]
BERLIN = Point(52.52, 13.405)


def _names(index: Index, query: Query) -> list[str]:
    return [hit.listing["name"] for hit in index.search(query).hits]


def test_words_are_found_in_name_place_and_description(index: Index, document: Make, fill: Fill) -> None:
    fill(
        document(
            name="Möbliertes Zimmer",
            description="Mit Balkon, Straße 36a. Łódź 東京 ห้องนอน комната ёлка हिन्दी",
            area={"id": None, "name": "Kreuzberg", "city": "Berlin", "country": "Deutschland", "coordinates": None},
        )
    )
    found = [
        *("möbliertes zimmer", "MOBLIERTES Zimmer", "zimmer kreuzberg balkon", "balkon zimmer", "deutschland berlin"),
        *("zimer", "zimemr", "immer", "moblirtes kreuzbrg", "mobliertse", "berlni"),  # typos
        *("zimmer kre", "kre", "k", "zimmer b"),  # not finished yet
        *("strasse", "STRASSE 36a", "lodz", "東京", "京", "ห้อง", "комната", "елка", "हिन्दी", "हिन"),
        *("zimmer, (balkon", "zimmer*", "~zimmer", "\\zimmer", 'balkon "zimmer"', "zimmer !!!", "+zimmer -balkon", "zimmer^36a"),
        *("!!! ***", "", "  "),  # nothing that could be looked for
    ]
    not_found = [
        *("zimmer garten", "garten zimmer"),  # every word must be there
        *("bal zimmer", "zi balkon"),  # only the last may be unfinished
        *("zxxxer", "blko", "bexlni xx"),  # too many typos
        *("36b", "46a", "ki"),  # none forgiven in numbers and in short words
        *("大阪", "東大", "name:zimmer", "zimmer AND balkon", "zimmer OR balkon", "*mmer", "z.mmer", "kreuz balkon"),
    ]
    totals = {q: index.search(Query(words=words(q), sort=Sort.RELEVANCE)).total for q in [*found, *not_found]}
    assert totals == dict.fromkeys(found, 1) | dict.fromkeys(not_found, 0)


def test_the_name_weighs_more_than_the_description_and_exact_words_more_than_typos(
    index: Index, document: Make, fill: Fill
) -> None:
    nowhere = {"id": None, "name": "X", "city": "Y", "country": "Z", "coordinates": None}
    fill(
        document(name="1 other", description="A garden.", area=nowhere),
        document(name="2 garden", description="Other.", area=nowhere),
        document(name="3 garten", description="gartens garen", area=nowhere),
        document(name="4 gardens", description="Other.", area=nowhere),
        document(name="5 other", description="Garten", area=nowhere),
        document(name="6 garden", description="A garden.", area=nowhere),
    )
    assert _names(index, Query(words=words("garden"), sort=Sort.RELEVANCE)) == [
        "6 garden", "2 garden", "4 gardens", "1 other", "3 garten", "5 other",
    ]  # fmt: skip
    page = index.search(Query(words=words("garden"), sort=Sort.RELEVANCE))
    assert [hit.score for hit in page.hits] == sorted((hit.score or 0 for hit in page.hits), reverse=True)


def test_newest_and_prices_order_with_the_id_as_tie_breaker(index: Index, document: Make, fill: Fill) -> None:
    made = fill(
        *(
            document(price=price, created_at=f"2026-01-01T00:00:00.00000{tick}Z")
            for price, tick in [(5, 1), (3, 2), (5, 2), (10**12, 0), (0, 1), (3, 1), (5, 1)]
        )
    )
    rooms = [each.listing or {} for each in made]
    for sort, key in [
        (Sort.NEWEST, lambda room: (-int(room["created_at"][-2]), room["id"])),
        (Sort.PRICE, lambda room: (room["price"], room["id"])),
        (Sort.PRICE_DESCENDING, lambda room: (-room["price"], room["id"])),
    ]:
        expected = [room["id"] for room in sorted(rooms, key=key)]
        assert [hit.id for hit in index.search(Query(sort=sort)).hits] == expected


@pytest.mark.parametrize("sort", list(Sort))
@pytest.mark.parametrize("limit", [1, 3, 40])
def test_pages_show_each_room_once(index: Index, document: Make, fill: Fill, sort: Sort, limit: int) -> None:
    made = fill(
        *(
            document(
                name="room" if number % 3 else "rooms",
                price=number % 4,
                created_at=f"2026-01-01T00:00:0{number % 5}Z",
                coordinates={"lat": 52 + number % 3, "lon": 13.0},
            )
            for number in range(23)
        )
    )
    query = Query(words=words("room"), near=Circle(BERLIN, FURTHEST), sort=sort, limit=limit)
    whole = [hit.id for hit in index.search(replace(query, limit=100)).hits]
    walked: list[str] = []
    while True:
        page = index.search(query)
        assert page.total == len(made)
        walked += [hit.id for hit in page.hits]
        if page.next is None:
            break
        assert len(page.hits) == limit
        query = replace(query, after=page.next)
    assert walked == whole
    assert sorted(walked) == sorted(each.id for each in made)


def test_filters_narrow_and_their_values_are_alternatives(index: Index, document: Make, fill: Fill) -> None:
    def area(city: str, country: str) -> dict[str, object]:
        return {"id": None, "name": "Centre", "city": city, "country": country, "coordinates": None}

    fill(
        document(
            name="a",
            price=100,
            monthly_price=3000,
            recurrency="daily",
            property_size=10.5,
            area=area("Zürich", "Schweiz"),
            currency="CHF",
        ),
        document(
            name="b",
            price=200,
            monthly_price=867,
            recurrency="weekly",
            property_size=20,
            provider="Wohnbörse",
            area=area("ZURICH", "Schweiz"),
        ),
        document(name="c", price=300, monthly_price=300, area=area("Łódź", "Polska")),
        document(name="d", price=400, monthly_price=400, property_size=30, area=None),
    )

    def names(query: Query) -> str:
        return "".join(sorted(_names(index, query)))

    assert names(Query(filters={"price": Range(100, 300)})) == "abc"
    assert names(Query(filters={"price": Range(low=201)})) == "cd"
    assert names(Query(filters={"price": Range(high=199)})) == "a"
    assert names(Query(filters={"price": Range(0, 0)})) == ""
    assert names(Query(filters={"monthly_price": Range(300, 867)})) == "bcd"
    assert names(Query(filters={"price": Range(0, 10**12)}).on(Market("EUR"))) == "bcd"
    assert names(Query(sort=Sort.PRICE).on(Market("CHF"))) == "a"
    assert names(Query(currency="CHF")) == "a"
    assert names(Query().on(Market("EUR"))) == "abcd"
    assert names(Query(filters={"property_size": Range(10.5, 20)})) == "ab"
    assert names(Query(filters={"property_size": Range(high=10.4)})) == ""
    assert names(Query(filters={"provider": ("WOHNBORSE",)})) == "b"
    assert names(Query(filters={"provider": ("wohnbörse", "nestly")})) == "abcd"
    assert names(Query(filters={"city": ("zurich",)})) == "ab"
    assert names(Query(filters={"city": ("lodz", "Zürich")})) == "abc"
    assert names(Query(filters={"city": ("zuric",)})) == ""
    assert names(Query(filters={"country": ("schweiz", "polska"), "city": ("LODZ",)})) == "c"
    assert names(Query(filters={"recurrency": ("daily", "weekly")})) == "ab"


def test_a_room_of_which_nobody_knows_whether_it_is_furnished_is_neither(index: Index, document: Make, fill: Fill) -> None:
    older = document(name="indexed before anyone asked")
    del older.listing["furnished"]
    fill(older, document(name="unknown"), document(name="furnished", furnished=True), document(name="bare", furnished=False))
    assert _names(index, Query(filters={"furnished": True})) == ["furnished"]
    assert _names(index, Query(filters={"furnished": False})) == ["bare"]
    assert index.search(Query()).total == 4


def test_a_facet_counts_under_every_filter_but_its_own(index: Index, document: Make, fill: Fill) -> None:
    def area(city: str) -> dict[str, object]:
        return {"id": None, "name": "Centre", "city": city, "country": "X", "coordinates": None}

    fill(
        document(price=440, area=area("Berlin")),
        document(price=460, area=area("berlin")),
        document(price=1_499, area=area("berlin"), recurrency="weekly"),
        document(price=1_500, area=area("Ålborg"), provider="Other"),
        document(price=1_500, area=area("Zürich"), provider="Other", currency="CHF"),
        document(price=9, area=None, provider="Other"),
    )
    asked = ("provider", "city", "recurrency", "price")
    everything = index.search(Query(facets=asked).on(Market("EUR")))
    assert everything.total == 6
    assert everything.facets == {
        "provider": [Facet("Nestly", 3), Facet("Other", 3)],
        "city": [Facet("berlin", 3), Facet("Ålborg", 1), Facet("Zürich", 1)],  # by count, then alphabetically
        "recurrency": [Facet("monthly", 5), Facet("weekly", 1)],
        "price": [Facet(9, 1), Facet(400, 1), Facet(450, 1), Facet(1000, 1), Facet(1500, 1)],  # in one currency
    }
    filtered = index.search(
        Query(facets=asked, filters={"provider": ("other",), "city": ("BERLIN",), "price": Range(low=450)}).on(Market("EUR"))
    )
    assert filtered.total == 0
    assert filtered.facets == {
        "provider": [Facet("Nestly", 2)],
        "city": [Facet("Ålborg", 1)],
        "recurrency": [],
        "price": [],
    }
    assert index.search(Query(facets=("city",), filters={"city": ("zurich",)})).facets == {"city": everything.facets["city"]}
    assert index.search(Query()).facets == {}


def test_a_facet_shows_its_twenty_most_frequent_values(index: Index, document: Make, fill: Fill) -> None:
    fill(*(document(provider=f"p{number:02}") for number in range(30)), document(provider="p29"))
    assert index.search(Query(facets=("provider",))).facets["provider"] == [
        Facet("p29", 2), *(Facet(f"p{number:02}", 1) for number in range(19)),
    ]  # fmt: skip


def test_near_finds_what_is_within_the_radius_nearest_first(index: Index, document: Make, fill: Fill) -> None:
    fill(
        document(name="here", coordinates={"lat": 52.52, "lon": 13.405}),
        document(name="111 m north", coordinates={"lat": 52.521, "lon": 13.405}),
        document(name="1 km east", coordinates={"lat": 52.52, "lon": 13.4198}),
        document(name="Hamburg", coordinates={"lat": 53.55, "lon": 9.99}),
    )
    assert _names(index, Query(near=Circle(BERLIN, 5000), sort=Sort.DISTANCE)) == ["here", "111 m north", "1 km east"]
    assert _names(index, Query(near=Circle(BERLIN, 111.1), sort=Sort.DISTANCE)) == ["here"]
    assert _names(index, Query(near=Circle(BERLIN, 111.3), sort=Sort.DISTANCE)) == ["here", "111 m north"]
    assert _names(index, Query(near=Circle(BERLIN, 1), sort=Sort.DISTANCE)) == ["here"]


def test_circles_reach_over_the_antimeridian_and_the_poles(index: Index, document: Make, fill: Fill) -> None:
    fill(
        document(name="east of the line", coordinates={"lat": 0, "lon": -179.99}),
        document(name="west of the line", coordinates={"lat": 0, "lon": 179.99}),
        document(name="beyond the pole", coordinates={"lat": 89.99, "lon": 170}),
    )
    assert sorted(_names(index, Query(near=Circle(Point(0, 180), 2000)))) == ["east of the line", "west of the line"]
    assert sorted(_names(index, Query(near=Circle(Point(0, -180), 2000)))) == ["east of the line", "west of the line"]
    assert _names(index, Query(near=Circle(Point(89.99, -10), 3000))) == ["beyond the pole"]
    assert index.search(Query(near=Circle(Point(52, 13), FURTHEST))).total == 3


def test_a_box_includes_its_edges_and_may_cross_the_antimeridian(index: Index, document: Make, fill: Fill) -> None:
    fill(
        document(name="corner", coordinates={"lat": 52.1, "lon": 13.1}),
        document(name="outside", coordinates={"lat": 52.1, "lon": 13.0999999}),
        document(name="fiji", coordinates={"lat": -17.0, "lon": 178.0}),
        document(name="samoa", coordinates={"lat": -14.0, "lon": -172.0}),
    )
    assert _names(index, Query(box=Box(13.1, 52.1, 13.1, 52.1))) == ["corner"]
    assert sorted(_names(index, Query(box=Box(177, -20, -170, 0)))) == ["fiji", "samoa"]
    assert sorted(_names(index, Query(box=Box(-170, -20, 177, 90)))) == ["corner", "outside"]
    assert index.search(Query(box=Box(-180, -90, 180, 90))).total == 4


def test_a_word_with_thousands_of_neighbours_finds_all_of_them(index: Index, document: Make, fill: Fill) -> None:
    letters = "abcdefghijklmnopqrstuvwxyz"
    names = [f"zimm{one}{two}" for one in letters for two in letters]
    made = [document(name=" ".join(names[start : start + 4])) for start in range(0, len(names), 4)]
    fill(*made)
    assert index.search(Query(words=words("zimmer x"), sort=Sort.RELEVANCE)).total == 0
    assert index.search(Query(words=words("zimmer"), sort=Sort.RELEVANCE)).total == len(made)
    assert index.search(Query(words=words("zimm"), sort=Sort.RELEVANCE)).total == len(made)
