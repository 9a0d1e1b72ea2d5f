"""What is particular to rooms over HTTP: prices per month, areas, coordinates, furniture."""

from typing import Any

import pytest
from injector import Binder

from common.listings.fields import Coordinates
from common.testing.listings.tested import WIDE
from rooms.domain import Area
from rooms.ports import Areas

KREUZBERG = {"lat": 52.4986, "lon": 13.4034}
LYON = {"lat": 45.7578, "lon": 4.832}
GIVEN_AREA = {"id": "7", "name": "Canal", "city": "Berlin", "country": "Germany", "coordinates": {"lat": 1.5, "lon": 2.5}}


def test_words_are_brought_into_one_form_and_what_is_not_given_is_derived(api, listing):
    room = api.create(listing(property_size=18.5, currency="usd", recurrency="WEEKLY"))
    assert (room["currency"], room["recurrency"], room["monthly_price"]) == ("USD", "weekly", 2817)
    assert room["area"]["city"] == "Berlin"
    replaced = api.client.put(api.at(room), json=listing(price=10, recurrency="weekly")).json()
    assert (replaced["monthly_price"], replaced["property_size"], replaced["currency"]) == (43, None, "EUR")


def test_a_room_is_furnished_or_not_or_nobody_has_said(api, listing):
    room = api.create(listing())
    assert room["furnished"] is None
    for send, told in [(api.client.put, True), (api.client.patch, False), (api.client.patch, None), (api.client.put, False)]:
        body = {"furnished": told} if send == api.client.patch else room | {"furnished": told}
        room = send(api.at(room), json=body).json()
        assert (room["furnished"], api.told()[-1]["furnished"]) == (told, told)
    assert api.create(listing(furnished=True))["furnished"] is True
    assert api.client.put(api.at(room), json=listing()).json()["furnished"] is None


def test_an_import_that_says_whether_a_known_room_is_furnished_updates_it(api, listing):
    given = listing()
    lines = [given, given | {"furnished": None}, given | {"furnished": True}, given | {"furnished": True}, given]
    outcomes = api.imported(lines)
    assert [each["outcome"] for each in outcomes] == ["created", "unchanged", "updated", "unchanged", "updated"]
    assert [told["furnished"] for told in api.told()] == [None, True, None]


def test_a_room_of_which_nobody_has_said_whether_it_is_furnished_is_in_neither_list(api, listing):
    room = api.create(listing())
    assert api.listed(furnished="true") == api.listed(furnished="false") == []
    told = api.patched(room, furnished=False)
    assert (api.listed(furnished="false"), api.listed(furnished="true")) == ([told], [])


def test_what_was_read_can_be_sent_back_and_derived_values_stay_derived(api, listing):
    room = api.create(listing(price=100, recurrency="daily"))
    assert (room["monthly_price"], room["area"]["city"]) == (3000, "Berlin")

    def replaced(body: dict[str, Any]) -> dict[str, Any]:
        return api.client.put(api.at(room), json=body).json()

    second = replaced(room)
    assert second == room | {"version": 2, "updated_at": second["updated_at"]}

    third = replaced(second | {"price": 200, "coordinates": LYON})
    assert (third["monthly_price"], third["area"]["city"], third["area"]["country"]) == (6000, "Lyon", "France")

    fourth = replaced(third | {"monthly_price": 5500, "area": GIVEN_AREA})
    assert (fourth["monthly_price"], fourth["area"]) == (5500, GIVEN_AREA)

    fifth = replaced(fourth | {"price": 300, "coordinates": KREUZBERG})
    assert (fifth["monthly_price"], fifth["area"]) == (5500, GIVEN_AREA), "what was given stays as it was given"

    last = replaced({k: v for k, v in fifth.items() if k not in ("monthly_price", "area")})
    assert (last["monthly_price"], last["area"]["city"], last["area"]["id"]) == (9000, "Berlin", None)


def test_derived_values_follow_an_import_unless_they_are_given(api, listing):
    api.imported([listing(price=100, recurrency="weekly")])
    (room,) = api.listed()
    assert (room["monthly_price"], room["area"]["city"]) == (433, "Berlin")
    api.imported([room | {"price": 200, "coordinates": LYON}])
    (room,) = api.listed()
    assert (room["monthly_price"], room["area"]["city"]) == (867, "Lyon")
    api.imported([room | {"monthly_price": 800}])
    api.imported([api.listed()[0] | {"price": 300}])
    assert api.listed()[0]["monthly_price"] == 800


def test_null_brings_derived_values_back(api, listing):
    room = api.create(listing(monthly_price=1, area=GIVEN_AREA, currency="USD"))
    bare = api.patched(room, monthly_price=None, area=None, currency=None)
    assert (bare["monthly_price"], bare["area"]["city"], bare["currency"]) == (650, "Berlin", "EUR")


def test_the_monthly_price_follows_the_price_until_it_is_given(api, listing):
    room = api.create(listing(price=10, recurrency="weekly"))

    def monthly(**changes: Any) -> int:
        return api.patched(room, **changes)["monthly_price"]

    assert monthly(price=100) == 433
    assert monthly(recurrency="daily") == 3000
    assert monthly(monthly_price=3000) == 3000, "given now, though it is the same"
    assert monthly(price=1) == 3000
    assert monthly(monthly_price=None) == 30


def test_the_area_follows_the_coordinates_until_it_is_given(api, listing):
    room = api.create(listing())

    def area(**changes: Any) -> dict[str, Any]:
        return api.patched(room, **changes)["area"]

    assert area(coordinates=LYON)["city"] == "Lyon"
    assert area(coordinates={"lon": 13.4034, "lat": 52.4986})["city"] == "Berlin"
    touched = area(area={"name": "By the canal"})
    assert (touched["name"], touched["city"]) == ("By the canal", "Berlin"), "merged into what is shown"
    assert area(coordinates=LYON) == touched
    assert area(area={"coordinates": None}) == touched | {"coordinates": None}
    assert area(area=None)["city"] == "Lyon"


def test_half_a_pair_of_coordinates_is_merged(api, listing):
    room = api.create(listing())
    assert api.patched(room, coordinates={"lat": 45.7578})["coordinates"] == {"lat": 45.7578, "lon": 13.4034}
    refused = api.client.patch(api.at(room), json={"coordinates": {"lat": None}})
    assert [error["name"] for error in refused.json()["errors"]] == ["coordinates.lat"]


def test_an_incomplete_area_is_refused_where_there_was_none(api, listing):
    room = api.create(listing(coordinates={"lat": 0, "lon": -30}))
    assert room["area"] is None
    refused = api.client.patch(api.at(room), json={"area": {"name": "Atlantic"}})
    assert {error["name"] for error in refused.json()["errors"]} == {"area.city", "area.country"}


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ({"coordinates": {"lat": 1}}, {"coordinates.lon"}),
        ({"coordinates": {}}, {"coordinates.lat", "coordinates.lon"}),
        ({"area": {"city": "Y"}}, {"area.name", "area.country"}),
        ({"area": GIVEN_AREA | {"coordinates": {"lat": 91}}}, {"area.coordinates.lat", "area.coordinates.lon"}),
    ],
)
def test_what_a_place_lacks_is_named(shared, listing, place, names):
    for answer in (
        shared.client.post(shared.path, json=listing(**place)),
        shared.client.put(shared.nobody, json=listing(**place)),
    ):
        assert (answer.status_code, {error["name"] for error in answer.json()["errors"]}) == (400, names)


def test_the_highest_price_per_month_is_more_than_can_be_given(api, listing):
    highest = 30 * 10**12
    room = api.create(listing(price=10**12, recurrency="DAILY", description=WIDE * 20_000))
    assert (room["monthly_price"], api.told()[0]["monthly_price"]) == (highest, highest)
    assert api.told()[0]["description"] == room["description"]
    assert api.patched(room, monthly_price=highest - 1)["monthly_price"] == highest - 1
    assert api.create(listing(price=0))["monthly_price"] == 0


@pytest.mark.parametrize("lat", [-90, -89.999999999999, -1e-300, 5e-324, 0.1 + 0.2, 1 / 3, 89.99999999999999])
def test_coordinates_come_back_to_the_last_bit(api, listing, lat):
    at = {"lat": lat, "lon": 2 * lat}
    room = api.create(listing(coordinates=at))
    assert room["coordinates"] == api.client.get(api.at(room)).json()["coordinates"] == at
    assert api.told()[0]["coordinates"] == at
    assert [each["outcome"] for each in api.imported([room])] == ["unchanged"]


class Atlantis(Areas):
    def locate(self, at: Coordinates) -> Area | None:
        return Area(name="Acropolis", city="Atlantis", country="Atlantis")


def test_another_knowledge_of_places_takes_the_place_of_ours(serve, sqlite_url, listing):
    def configure(binder: Binder) -> None:
        binder.bind(Areas, to=Atlantis())

    assert serve(sqlite_url, configure).create(listing())["area"]["city"] == "Atlantis"
