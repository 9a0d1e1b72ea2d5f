"""What is known of rooms is compared with what is kept of them, and set right, also where versions went back. In each database."""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from common.errors import NotFound
from common.listings.audit import Difference, Kind
from common.listings.ports import Kept, Origin
from items.audit import AuditRooms, NothingKept
from items.domain import KnownRoom
from items.ports import KeptRooms

Make = Callable[..., KnownRoom]


@dataclass
class Rooms(KeptRooms):
    """What the rooms service keeps, in memory; `before` is called before each answer."""

    rooms: dict[str, KnownRoom] = field(default_factory=dict)
    before: Callable[[Collection[str] | None], None] = lambda _: None

    def keep(self, *rooms: KnownRoom) -> None:
        self.rooms |= {room.id: room for room in rooms}

    def __call__(self, ids: Collection[str] | None = None) -> Iterator[KnownRoom]:
        self.before(ids)
        for id in sorted(self.rooms):
            if ids is None or id in ids:
                yield self.rooms[id]


@pytest.fixture
def rooms() -> Rooms:
    return Rooms()


@pytest.fixture
def audit(house: Any, rooms: Rooms) -> Callable[..., list[Difference]]:
    def run(*, mend: bool = False, patience: tuple[float, ...] = ()) -> list[Difference]:
        found = AuditRooms(house.known, house.items, rooms)(mend=mend, patience=patience)
        return sorted(found, key=lambda each: each.id)

    return run


def restored_item(house: Any, room_id: str) -> str:
    """An item in a room of which nobody has ever heard, as a restore may bring it."""
    item = house.publish()
    house.withdraw(item.id)
    back = replace(item, version=3, given=replace(item.given, room_id=room_id))
    assert house.restore([Kept(id=item.id, version=3, what=back, origin=Origin(event_id="", request_id="", traceparent=""))]) == [
        "restored"
    ]
    return str(item.id)


def test_each_kind_of_difference_is_found_and_set_right(house, rooms: Rooms, audit, a_room: Make):
    agreed = [a_room(version=3), a_room(version=2, place=None)]
    missing, missing_tombstone = a_room(), a_room(version=4, place=None)
    behind, alive, ahead, buried, other, phantom = (a_room() for _ in range(6))
    forgotten = a_room(version=5, place=None)  # deleted, and the backup is older than the room
    rooms.keep(*agreed, missing, missing_tombstone, a_room(of=behind, version=3, name="Cellar"), a_room(of=alive, place=None))
    rooms.keep(a_room(of=ahead, name="Before"), buried, a_room(of=other, version=6, name="Another"))
    house.known.learn([*agreed, behind, alive, a_room(of=ahead, version=7), a_room(of=buried, version=4, place=None)])
    house.known.learn([a_room(of=other, version=6), phantom, forgotten])
    house.settle()
    items = {room.id: house.publish(room_id=room.id) for room in (behind, alive, ahead, other, phantom)}
    stray = restored_item(house, nowhere := a_room().id)

    expected = [
        Difference(missing.id, Kind.MISSING, 1, None),
        Difference(missing_tombstone.id, Kind.MISSING, 4, None),
        Difference(behind.id, Kind.BEHIND, 3, 1),
        Difference(alive.id, Kind.ALIVE, 2, 1),
        Difference(ahead.id, Kind.AHEAD, 2, 7),
        Difference(buried.id, Kind.AHEAD, 1, 4),
        Difference(other.id, Kind.OTHER, 6, 6),
        Difference(phantom.id, Kind.PHANTOM, None, 1),
        Difference(nowhere, Kind.STRAY, None, None),
    ]
    expected.sort(key=lambda each: each.id)
    assert audit() == expected
    assert audit(mend=True) == [replace(each, mended=True) for each in expected]
    assert audit() == []
    house.settle()
    assert house.faults() == []
    assert house.known.of(rooms.rooms) == rooms.rooms
    for room in (behind, ahead, other):
        kept = rooms.rooms[room.id]
        assert house.items.get(items[room.id].id).located == kept.place
    for gone in (items[alive.id].id, items[phantom.id].id, stray):
        with pytest.raises(NotFound):
            house.items.get(gone)


def test_a_room_that_went_back_is_followed_again(house, rooms: Rooms, audit, a_room: Make):
    room = a_room(version=9)
    house.known.learn([room])
    item = house.publish(room_id=room.id)
    rooms.keep(a_room(of=room, version=3))
    assert [each.kind for each in audit(mend=True)] == [Kind.AHEAD]
    house.known.learn([moved := a_room(of=room, version=4, name="Cellar")])
    house.settle()
    assert house.items.get(item.id).located == moved.place


def test_what_happens_to_a_room_while_it_is_set_back_is_not_lost(house, rooms: Rooms, audit, a_room: Make):
    """Its event comes between the question and the repair, and is refused as old: it is not told again, but asked for."""
    room = a_room(version=9)
    house.known.learn([room])
    rooms.keep(a_room(of=room, version=3))
    asked = 0

    def meanwhile(ids: Collection[str] | None) -> None:
        nonlocal asked
        asked += ids is not None
        if asked == 3:  # of the look again, of the repair, and then this
            rooms.keep(changed)

    changed = a_room(of=room, version=4, name="Cellar")
    rooms.before = meanwhile
    correct = house.known.correct

    def corrected(pairs: Any) -> None:
        house.known.learn([changed])
        assert house.known.of([room.id]) == {room.id: room}, "it counts as old"
        correct(pairs)

    house.known.correct = corrected
    audit(mend=True)
    assert asked == 3
    assert house.known.of([room.id]) == {room.id: changed}


def test_what_is_learnt_meanwhile_is_not_overwritten_by_what_was_known_before(house, rooms: Rooms, a_room: Make):
    room, gone = a_room(version=9), a_room()
    house.known.learn([room, gone])
    newer = [a_room(of=room, version=10, name="Newer"), a_room(of=gone, name="Newer")]
    house.known.learn(newer)
    house.known.correct([(room, a_room(of=room, version=3)), (gone, KnownRoom.nowhere(gone.id))])
    assert house.known.of([room.id, gone.id]) == {each.id: each for each in newer}


def test_an_item_written_while_its_room_becomes_another_in_the_same_version_tells_the_new_one(
    house, rooms: Rooms, a_room: Make, monkeypatch
):
    """The version alone does not say where the room is: the item was located before the repair, and is written after its follower."""
    room = a_room(version=6)
    house.known.learn([room])
    house.settle()
    other = a_room(of=room, version=6, name="Another")
    corrected: list[bool] = []
    locate = type(house.locate).locate

    def repaired(self: Any, given: Any) -> Any:
        places = locate(self, given)
        if not corrected:
            corrected.append(True)
            house.known.correct([(room, other)])
            house.settle()
        return places

    monkeypatch.setattr(type(house.locate), "locate", repaired)
    item = house.publish(room_id=room.id)
    house.settle()
    assert house.items.get(item.id).located == other.place
    assert house.faults() == []


def test_what_arrives_while_it_looks_again_is_no_difference(house, rooms: Rooms, audit, a_room: Make):
    late, restless = a_room(), a_room()
    house.known.learn([restless])
    rooms.keep(late, a_room(of=restless, name="Cellar"))

    def meanwhile(ids: Collection[str] | None) -> None:
        if ids is not None:
            house.known.learn(list(rooms.rooms.values()))
            rooms.keep(a_room(of=rooms.rooms[restless.id]))

    rooms.before = meanwhile
    assert audit(patience=(0.01, 0.01, 0.01)) == []


def test_a_rooms_service_that_keeps_nothing_is_not_believed(house, rooms: Rooms, audit, a_room: Make):
    house.known.learn([room := a_room()])
    item = house.publish(room_id=room.id)
    assert [each.kind for each in audit()] == [Kind.PHANTOM]
    with pytest.raises(NothingKept):
        audit(mend=True)
    house.settle()
    assert house.items.get(item.id) == item


def test_two_that_keep_nothing_agree(audit):
    assert audit() == []
    assert audit(mend=True) == []


def test_many_are_compared_in_portions(house, rooms: Rooms, audit, a_room: Make, monkeypatch):
    for name, size in {
        "common.listings.audit._SUSPECTS": 10,
        "common.listings.audit._PORTION": 3,
        "items.audit._PORTION": 2,
        "items.adapters.known_rooms._PAGE": 4,
    }.items():
        monkeypatch.setattr(name, size)
    known = [a_room(version=5) for _ in range(25)]
    house.known.learn(known)
    rooms.keep(*(a_room(of=room, version=2) for room in known[:20]), *(a_room() for _ in range(15)))
    strays = {a_room().id for _ in range(5)}
    for room_id in strays:
        restored_item(house, room_id)
    found = audit(mend=True)
    assert {each.id for each in found} == rooms.rooms.keys() | {room.id for room in known} | strays
    assert audit() == []
    house.settle()
    assert house.faults() == []
