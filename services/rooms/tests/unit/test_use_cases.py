"""Where rooms are found to be, and when they are looked for."""

from datetime import UTC, datetime

import pytest

from common.listings.domain import Given
from common.listings.fields import Coordinates
from common.listings.ports import Clock
from common.listings.use_cases import Import, Publish, Revise
from common.security.principal import LOCAL
from rooms.domain import ROOM, Area, Listing, Room
from rooms.ports import Areas
from rooms.use_cases import LocateRooms


class Noon(Clock):
    def now(self) -> datetime:
        return datetime(2026, 1, 1, tzinfo=UTC)


class Atlas(Areas):
    """Names every place by its latitude, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def locate(self, at: Coordinates) -> Area | None:
        self.asked += 1
        return Area(name=f"{at.lat:g}", city="C", country="D")


@pytest.fixture
def atlas() -> Atlas:
    return Atlas()


@pytest.fixture
def kept(tested):
    return tested.in_memory()


@pytest.fixture
def room(tested, atlas, kept) -> Room:
    given = Listing.parse({**tested.required, "url": "https://a.example/1", "coordinates": {"lat": 1, "lon": 2}})
    return Publish(ROOM, kept, LocateRooms(atlas), Noon())(given, LOCAL)


def test_a_published_room_is_located(room, kept):
    assert (room.area.name, kept.get(room.id)) == ("1", room)


def test_only_a_room_that_moved_is_located_again(room, atlas, kept):
    revise = Revise(kept, LocateRooms(atlas), Noon())

    def revised(**changes: object) -> Room:
        def revision(current: Room) -> Given:
            return Listing.parse(current.given.document() | changes)

        return revise(room.id, revision, LOCAL)

    assert revised(name="new").area.name == "1"
    assert atlas.asked == 1
    assert revised(coordinates={"lat": 5, "lon": 2}).area.name == "5"
    assert atlas.asked == 2


def test_an_import_locates_those_that_are_new_or_moved(room, tested, atlas, kept):
    load = Import(ROOM, kept, LocateRooms(atlas), Noon())
    stayed = room.given.document() | {"name": "new"}
    new = {**tested.required, "url": "https://a.example/2", "coordinates": {"lat": 3, "lon": 2}}
    assert [each.outcome for each in load([new, stayed], LOCAL)] == ["created", "updated"]
    assert atlas.asked == 2
    located = {each.given.url: each.located.name for each in kept.list({}, None, 10)}
    assert located == {"https://a.example/1": "1", "https://a.example/2": "3"}
    load([stayed | {"coordinates": {"lat": 5, "lon": 2}}], LOCAL)
    assert (atlas.asked, kept.get(room.id).located.name) == (3, "5")


def test_what_comes_back_changed_has_its_derived_values_follow(room, kept, atlas):
    load = Import(ROOM, kept, LocateRooms(atlas), Noon())
    assert [each.outcome for each in load([room.shown() | {"price": 2, "recurrency": "daily"}], LOCAL)] == ["updated"]
    assert kept.get(room.id).monthly_price == 60
