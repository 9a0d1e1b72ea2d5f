"""The use cases where others write at the same time: what is tried again, what is refused, what is answered."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest

from common.errors import Conflict, Invalid, NotFound, Stale, Unavailable
from common.listings.fields import Coordinates
from common.listings.memory import MemoryListings
from common.listings.ports import Clock
from common.listings.showing import Showing
from common.listings.use_cases import RETRIES, Import, Imported, Publish, Revise, Withdraw
from common.security.principal import LOCAL
from rooms.domain import ROOM, Area, Listing, Room
from rooms.ports import Areas
from rooms.use_cases import LocateRooms

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Noon(Clock):
    def now(self) -> datetime:
        return NOW


class Atlas(Areas):
    """Names every place by its latitude, and counts how often it was asked."""

    def __init__(self) -> None:
        self.asked = 0

    def locate(self, at: Coordinates) -> Area | None:
        self.asked += 1
        return Area(name=f"{at.lat:g}", city="C", country="D")


class Contested(MemoryListings):
    """Lets a rival write just before each write, as long as there are rivals left."""

    def __init__(self) -> None:
        super().__init__(ROOM, Showing("http://images.example"))
        self.rivals: deque[Callable[[], object]] = deque()

    def _rival(self) -> None:
        if self.rivals:
            self.rivals.popleft()()

    def put(self, room: Room) -> None:
        self._rival()
        super().put(room)

    def remove(self, room: Room, at: datetime) -> None:
        self._rival()
        super().remove(room, at)

    def store(self, added: Sequence[Room], revised: Sequence[Room]) -> Sequence[bool]:
        self._rival()
        return super().store(added, revised)


@dataclass
class House:
    rooms: Contested = field(default_factory=Contested)
    areas: Atlas = field(default_factory=Atlas)

    def publish(self, **changes: Any) -> Room:
        return Publish(ROOM, self.rooms, LocateRooms(self.areas), Noon())(Listing.parse(given(**changes)), LOCAL)

    def revise(self, id: str, expected: set[int] | None = None, **changes: Any) -> Room:
        return Revise(self.rooms, LocateRooms(self.areas), Noon())(
            id, lambda room: replace(room.given, **changes), LOCAL, expected
        )

    def withdraw(self, id: str, expected: set[int] | None = None) -> int:
        return Withdraw(self.rooms, Noon())(id, LOCAL, expected)

    def load(self, *documents: dict[str, Any]) -> list[tuple[str, str | None]]:
        """(outcome, id) of each."""
        return [(each.outcome, each.id) for each in self.imported(documents)]

    def imported(self, documents: Sequence[dict[str, Any]]) -> list[Imported]:
        return Import(ROOM, self.rooms, LocateRooms(self.areas), Noon())(documents, LOCAL)

    def overtake(self, id: str, times: int = 1) -> None:
        """A rival raises the price between another's read and write."""

        def raised() -> None:
            current = self.rooms.get(id)
            higher = replace(current.given, price=current.given.price + 1000)
            MemoryListings.put(self.rooms, current.revised(higher, current.located, NOW))

        self.rooms.rivals.extend([raised] * times)


@pytest.fixture
def house() -> House:
    return House()


def given(**changes: Any) -> dict[str, Any]:
    return {
        "name": "n",
        "description": "d",
        "price": 1,
        "recurrency": "daily",
        "provider": "p",
        "url": "https://a.example/1",
        "coordinates": {"lat": 1, "lon": 2},
    } | changes


def test_a_published_room_is_located_and_has_version_1(house):
    room = house.publish()
    assert (room.version, room.area.name, room.created_at, room.updated_at) == (1, "1", NOW, NOW)
    assert house.rooms.get(room.id) == room
    with pytest.raises(Conflict) as conflict:
        house.publish()
    assert conflict.value.existing_id == room.id


def test_a_revision_that_was_overtaken_is_made_anew_from_what_is_there_now(house):
    room = house.publish()
    house.overtake(room.id, times=3)
    revised = house.revise(room.id, name="new")
    assert (revised.version, revised.given.name, revised.given.price) == (5, "new", 3001)


def test_a_revision_is_not_tried_for_ever(house):
    room = house.publish()
    house.overtake(room.id, times=RETRIES)
    with pytest.raises(Unavailable, match="a place among those"):
        house.revise(room.id, name="new")
    assert house.rooms.get(room.id).given.name == "n"


def test_under_a_condition_an_overtaken_revision_is_refused_at_once(house):
    room = house.publish()
    house.overtake(room.id)
    with pytest.raises(Stale) as stale:
        house.revise(room.id, expected={1}, name="new")
    assert (stale.value.version, house.rooms.get(room.id).version) == (2, 2)
    with pytest.raises(Stale) as stale:
        house.revise(room.id, expected={1, 3})
    assert stale.value.version == 2


def test_a_room_that_goes_while_it_is_revised_is_not_found(house):
    room = house.publish()
    house.rooms.rivals.append(lambda: MemoryListings.remove(house.rooms, room, NOW))
    with pytest.raises(NotFound):
        house.revise(room.id, name="new")


def test_only_a_room_that_moved_is_located_again(house):
    room = house.publish()
    assert house.revise(room.id, name="new").area.name == "1"
    assert house.areas.asked == 1
    assert house.revise(room.id, coordinates=Coordinates(lat=5, lon=2)).area.name == "5"


def test_a_withdrawal_that_was_overtaken_removes_what_is_there_now(house):
    room = house.publish()
    house.overtake(room.id, times=2)
    assert house.withdraw(room.id) == 4
    with pytest.raises(NotFound):
        house.withdraw(room.id)


def test_a_withdrawal_is_not_tried_for_ever_and_under_a_condition_once(house):
    room = house.publish()
    house.overtake(room.id, times=RETRIES)
    with pytest.raises(Unavailable, match="a place among those"):
        house.withdraw(room.id)
    house.overtake(room.id)
    with pytest.raises(Stale):
        house.withdraw(room.id, expected={RETRIES + 1})
    assert house.rooms.get(room.id).version == RETRIES + 2


class TestImport:
    def test_listings_are_found_again_by_their_url(self, house):
        known = house.publish()
        created, unchanged, updated = house.load(
            given(url="https://a.example/2"), given(url="HTTPS://A.example/1 "), given(price=5)
        )
        assert created[0] == "created"
        assert (unchanged, updated) == (("unchanged", known.id), ("updated", known.id))
        assert [event[0] for event in house.rooms.events] == ["RoomCreated", "RoomCreated", "RoomUpdated"]

    def test_listings_with_one_url_come_one_after_the_other(self, house):
        outcomes = house.load(given(), given(price=2), given(price=2), given(url="https://a.example/2"), given(price=3))
        first = outcomes[0][1]
        assert [outcome for outcome, _ in outcomes] == ["created", "updated", "unchanged", "created", "updated"]
        assert {outcomes[line][1] for line in (1, 2, 4)} == {first}
        assert (house.rooms.get(first).version, house.rooms.get(first).given.price) == (3, 3)

    def test_what_was_exported_changes_nothing_when_it_comes_back(self, house):
        room = house.publish()
        assert house.load(room.shown()) == [("unchanged", room.id)]
        changed = house.load(room.shown() | {"price": 2})
        assert changed == [("updated", room.id)]
        assert house.rooms.get(room.id).monthly_price == 60

    def test_an_invalid_listing_leaves_its_neighbours_alone(self, house):
        known = house.publish()
        outcomes = house.imported(
            [
                given(url="ftp://a.example"),
                given(name="<b></b>"),
                given(url="https://a.example/2", currency="XXZ"),
                given(price=9),
            ]
        )
        assert [(each.outcome, each.id) for each in outcomes] == [
            ("invalid", None),
            ("invalid", known.id),
            ("invalid", None),
            ("updated", known.id),
        ]
        problems = [each.problem.errors[0].name for each in outcomes if isinstance(each.problem, Invalid)]
        assert problems == ["url", "name", "currency"]

    def test_a_listing_that_another_published_meanwhile_is_that_room_for_every_line(self, house):
        house.rooms.rivals.append(lambda: house.publish(price=7))
        outcomes = house.load(given(), given(), given(name="<b></b>"), given(price=2))
        (room,) = house.rooms.by_urls(["https://a.example/1"]).values()
        assert outcomes == [("updated", room.id), ("unchanged", room.id), ("invalid", room.id), ("updated", room.id)]
        assert (room.version, room.given.price) == (3, 2)

    def test_a_listing_that_another_revised_meanwhile_still_prevails(self, house):
        room = house.publish()
        house.overtake(room.id)
        other = given(url="https://a.example/2")
        assert [outcome for outcome, _ in house.load(given(price=5), given(price=6), other)] == ["updated", "updated", "created"]
        assert (house.rooms.get(room.id).version, house.rooms.get(room.id).given.price) == (4, 6)

    def test_a_listing_whose_room_goes_meanwhile_is_published_anew(self, house):
        room = house.publish()
        house.rooms.rivals.append(lambda: MemoryListings.remove(house.rooms, house.rooms.get(room.id), NOW))
        ((outcome, id),) = house.load(given(price=5))
        assert (outcome, id != room.id, house.rooms.get(id).version) == ("created", True, 1)

    def test_an_import_gives_up_when_others_never_let_it_write(self, house):
        room = house.publish()
        house.overtake(room.id, times=RETRIES)
        with pytest.raises(Unavailable):
            house.load(given(price=5))

    def test_nothing_imports_nothing(self, house):
        assert house.load() == []
