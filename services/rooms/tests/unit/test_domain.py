"""What a listing becomes."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from common.errors import Invalid
from common.listings.fields import Coordinates
from rooms.domain import Area, Listing, Room

GIVEN = {
    "name": "Attic <b>room</b>",
    "description": "Quiet &amp; bright",
    "price": 100,
    "recurrency": "Weekly",
    "provider": "nestly",
    "url": " HTTPS://Rooms.Example/Attic?B=c ",
    "coordinates": {"lat": 52.5, "lon": 13},
}
NOW = datetime(2026, 1, 1, tzinfo=UTC)
BERLIN = Area(name="Mitte", city="Berlin", country="Germany")


def room(**given) -> Room:
    return Room(id="1", version=1, given=Listing.parse(GIVEN | given), located=BERLIN, created_at=NOW, updated_at=NOW)


def test_a_listing_is_sanitised():
    listing = Listing.parse(GIVEN | {"currency": "usd", "images": [{"url": "HTTP://I.example/A.jpg"}]})
    assert (listing.name, listing.description) == ("Attic room", "Quiet & bright")
    assert (listing.recurrency, listing.currency) == ("weekly", "USD")
    assert listing.url == "https://rooms.example/Attic?B=c"
    assert listing.images[0].url == "http://i.example/A.jpg"
    assert listing.coordinates == Coordinates(lat=52.5, lon=13.0)


@pytest.mark.parametrize(
    ("recurrency", "price", "monthly"),
    [
        ("daily", 10, 300),
        ("weekly", 100, 433),
        ("weekly", 3, 13),
        ("weekly", 45, 195),
        ("weekly", 6, 26),
        ("monthly", 7, 7),
        ("weekly", 0, 0),
    ],
)
def test_the_monthly_price_is_derived_and_rounded_half_up(recurrency, price, monthly):
    assert room(recurrency=recurrency, price=price).monthly_price == monthly


def test_what_is_given_beats_what_is_derived():
    assert room(monthly_price=1).monthly_price == 1
    assert room(area={"name": "X", "city": "Y", "country": "Z"}).area == Area(name="X", city="Y", country="Z")
    assert room().area == BERLIN


def test_what_only_echoes_a_derived_value_is_not_given():
    seen = room().shown()
    assert "monthly_price" not in room().unechoed(seen)
    assert "area" not in room().unechoed(seen)
    assert room().unechoed(seen | {"monthly_price": 5})["monthly_price"] == 5
    assert room().unechoed(seen, touched=frozenset({"monthly_price"}))["monthly_price"] == 433
    assert room(monthly_price=433).unechoed(seen)["monthly_price"] == 433


def test_a_stored_listing_reads_back_as_it_was():
    given = room(
        monthly_price=3,
        property_size=12,
        furnished=False,
        area={"id": "7", "name": "X", "city": "Y", "country": "Z", "coordinates": {"lat": 1, "lon": 2}},
        images=[{"url": "https://a.example/1.jpg"}],
    ).given
    assert Listing.restored(given.document()) == given


def test_each_revision_is_the_next_version():
    first = room()
    second = first.revised(replace(first.given, price=5), None, datetime(2026, 2, 1, tzinfo=UTC))
    assert (second.version, second.given.price, second.area, second.created_at) == (2, 5, None, NOW)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "javascript:alert(1)"),
        ("url", "ftp://a.example"),
        ("url", "//a.example/x"),
        ("url", "https://"),
        ("url", "https://a.example:99999/"),
        ("url", "https://[::1/"),
        ("url", "https://user:secret@a.example/"),
        ("url", "https://a.example/a b"),
        ("url", "https://a.example/a\u00a0b"),
        ("url", "https://a.example/\u202eb"),
        ("url", "http://\u200b/"),
        ("url", "http://*/"),
        ("url", "http://./"),
        ("url", "http://a%00/"),
        ("url", "https://a.example/\nx"),
        ("url", "https://a.example\\@b.example/"),
        ("currency", "XYZ"),
        ("currency", "EU1"),
        ("name", "<i></i>"),
        ("images[1].url", None),
        ("area.city", None),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(field, value):
    document = GIVEN | {field: value} if value is not None else dict(GIVEN)
    if field.startswith("images"):
        document["images"] = [{"url": "https://a.example/"}, {"url": "data:image/png;base64,AAAA"}]
    if field.startswith("area"):
        document["area"] = {"name": "X", "city": " ", "country": "Z"}
    with pytest.raises(Invalid) as refused:
        Listing.parse(document)
    assert refused.value.errors[0].name == field


def test_a_url_does_not_grow():
    url = "HTTP://" + "İ" * 2041  # whose small letter has two characters
    assert Listing.parse(GIVEN | {"url": url}).url == "http://" + "İ" * 2041
