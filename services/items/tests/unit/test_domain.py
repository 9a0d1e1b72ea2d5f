"""What an item becomes of what is given."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from common.errors import Invalid
from common.listings.fields import Coordinates, Image
from items.domain import Item, Listing, Place

NOW = datetime(2026, 1, 1, tzinfo=UTC)
ROOM = "01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"
PLACE = Place(version=3, name="Attic", coordinates=Coordinates(lat=52.5, lon=13.4), city="Berlin", is_visible=True)
GIVEN = {
    "name": "Upright <b>piano</b>",
    "description": "Tuned &amp; dusted",
    "category": " Music\u00a0&amp; more ",
    "price": 900,
    "currency": "usd",
    "quantity": 0,
    "condition": "Good ",
    "provider": "nestly",
    "url": " HTTPS://Items.Example/Piano?B=c ",
    "room_id": ROOM,
    "is_visible": False,
    "images": [{"url": "HTTP://I.example/A.jpg", "stored_url": "ignored"}],
}


def test_a_name_is_enough():
    assert Listing.parse({"name": "First item"}) == Listing(
        name="First item",
        description=None,
        category=None,
        price=None,
        currency="EUR",
        quantity=1,
        condition=None,
        provider=None,
        url=None,
        room_id=None,
        is_visible=True,
        images=(),
    )


def test_null_is_as_good_as_nothing():
    assert Listing.parse(dict.fromkeys(GIVEN) | {"name": "First item"}) == Listing.parse({"name": "First item"})


def test_a_listing_is_sanitised():
    listing = Listing.parse(GIVEN)
    assert (listing.name, listing.description) == ("Upright piano", "Tuned & dusted")
    assert listing.category == "Music & more"
    assert (listing.price, listing.currency, listing.quantity, listing.condition) == (900, "USD", 0, "good")
    assert (listing.provider, listing.url) == ("nestly", "https://items.example/Piano?B=c")
    assert listing.images == (Image(url="http://i.example/A.jpg"),)
    assert listing.is_visible is False


@pytest.mark.parametrize("spelling", [ROOM, ROOM.upper(), ROOM.replace("-", ""), f"{{{ROOM}}}", f"urn:uuid:{ROOM}"])
def test_a_room_has_one_id_however_it_is_spelled(spelling):
    assert Listing.parse({"name": "Piano", "room_id": spelling}).room_id == ROOM


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "<i></i>"),
        ("name", " \u200b "),
        ("category", "<br>"),
        ("provider", "\n"),
        ("currency", "XYZ"),
        ("url", "ftp://a.example"),
        ("url", "https://user:secret@a.example/"),
        ("images[1].url", None),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(field, value):
    document = GIVEN | {field: value}
    if field.startswith("images"):
        document["images"] = [{"url": "https://a.example/"}, {"url": "data:image/png;base64,AAAA"}]
    with pytest.raises(Invalid) as refused:
        Listing.parse(document)
    assert [error.name for error in refused.value.errors] == [field]


def test_what_is_stored_reads_back_as_it_was():
    given = Listing.parse(GIVEN)
    assert Listing.restored(given.document()) == given
    assert Listing.restored(Listing.parse({"name": "First item"}).document()) == Listing.parse({"name": "First item"})
    for place in (PLACE, replace(PLACE, city=None, is_visible=False)):
        assert Place.restored(place.document()) == place


def test_an_item_shows_where_its_room_is():
    item = Item(id="1", version=1, given=Listing.parse(GIVEN), located=PLACE, created_at=NOW, updated_at=NOW)
    place = {"version": 3, "name": "Attic", "coordinates": {"lat": 52.5, "lon": 13.4}, "city": "Berlin", "is_visible": True}
    assert item.shown()["room"] == place
    assert Item.located_in(item.shown(), ()) == place
    alone = replace(item, located=None)
    assert alone.shown()["room"] is None
    assert Item.located_in(alone.shown(), ()) is None
    assert item.derived == ()


def test_a_place_is_taken_from_what_a_room_tells():
    told = {"id": ROOM, "version": 3, "name": "Attic", "coordinates": {"lat": 52.5, "lon": 13.4}, "is_visible": True, "price": 1}
    assert Place.of(told | {"area": {"name": "Mitte", "city": "Berlin", "country": "Germany"}}) == PLACE
    assert Place.of(told | {"area": None}) == replace(PLACE, city=None)


@pytest.mark.parametrize(
    "other", [{"name": "Cellar"}, {"coordinates": Coordinates(lat=52.5, lon=13.5)}, {"city": None}, {"is_visible": False}]
)
def test_only_the_version_may_differ_where_a_place_says_the_same(other):
    assert PLACE.says_the_same_as(replace(PLACE, version=9))
    assert not PLACE.says_the_same_as(replace(PLACE, **other))
