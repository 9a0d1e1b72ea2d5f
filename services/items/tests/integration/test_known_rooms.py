"""What is known of rooms: whatever the order and however often it is told, the same; in memory and in each database."""

import itertools
import random
from collections.abc import Callable

import pytest
from sqlalchemy import select

from common.db.engine import transaction
from common.testing.waiting import eventually
from items.adapters.memory import MemoryKnownRooms
from items.adapters.tables import known_rooms
from items.domain import KnownRoom
from items.ports import KnownRooms

Make = Callable[..., KnownRoom]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def known(request: pytest.FixtureRequest, open_house) -> KnownRooms:
    if request.param == "memory":
        return MemoryKnownRooms()
    return open_house(request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param])).known


def settle(known: KnownRooms) -> None:
    for each in known.unsettled(1000):
        known.settle(each)


def unsettled(known: KnownRooms) -> list[str]:
    return [each.room.id for each in known.unsettled(1000)]


def life(a_room: Make) -> list[KnownRoom]:
    """The versions of one room, to its end."""
    first = a_room()
    second = a_room(of=first, name="Renamed")
    third = a_room(of=second, is_visible=False)
    return [first, second, third, a_room(of=third, place=None)]


def test_nothing_is_known_at_first(known, a_room: Make):
    assert known.of([a_room().id]) == {}
    assert known.of([]) == {}
    assert known.unsettled(10) == []
    assert known.count() == (0, 0, 0)
    known.learn([])


def test_what_was_told_is_known_tombstones_too(known, a_room: Make):
    room, gone, other = a_room(version=7, city=None), a_room(version=2, place=None), a_room()
    known.learn([room, gone, other])
    assert known.of([room.id, gone.id, a_room().id]) == {room.id: room, gone.id: gone}
    assert known.count() == (2, 1, 3)
    settle(known)
    assert known.count() == (2, 1, 0)


def test_any_order_and_any_repetition_of_a_life_end_in_its_last_version(known, a_room: Make):
    lives = []
    for order in itertools.permutations(range(4)):
        room = life(a_room)
        lives.append(room)
        for number in order:
            known.learn([room[number], room[order[0]]])
        known.learn(room * 2)  # and all of it once more, in one batch
    assert known.of([room[0].id for room in lives]) == {room[-1].id: room[-1] for room in lives}


def test_a_tombstone_stays(known, a_room: Make):
    room = life(a_room)
    known.learn([room[-1]])
    for older in room[:-1]:
        known.learn([older])
    assert known.of([room[0].id])[room[0].id].place is None


@pytest.mark.parametrize(
    ("change", "follows"),
    [
        ({}, False),
        ({"name": "Cellar"}, True),
        ({"city": None}, True),
        ({"is_visible": False}, True),
        ({"place": None}, True),
    ],
)
def test_only_what_items_tell_of_a_room_unsettles_it(known, a_room: Make, change, follows):
    room = a_room()
    known.learn([room])
    assert unsettled(known) == [room.id], "its items may have come before it"
    settle(known)
    known.learn([room])
    assert unsettled(known) == [], "told once more"
    known.learn([a_room(of=room, **change)])
    assert (unsettled(known) == [room.id]) is follows
    assert known.of([room.id])[room.id].version == 2


def test_a_room_stays_unsettled_until_its_last_change_is_settled(known, a_room: Make):
    room = a_room()
    known.learn([room])
    (seen,) = known.unsettled(1)
    known.learn([a_room(of=room)])  # says the same
    known.settle(seen)
    assert unsettled(known) == [room.id]
    (seen,) = known.unsettled(1)
    known.settle(seen)
    known.settle(seen)
    assert unsettled(known) == []
    # Who has looked at it before it changed settles nothing, though it has been settled in between.
    known.learn([a_room(of=room, version=3, name="Cellar")])
    (before,) = known.unsettled(1)
    known.settle(before)
    known.learn([a_room(of=room, version=4, name="Attic")])
    known.settle(before)
    assert unsettled(known) == [room.id]


def test_all_are_told_in_the_order_of_their_ids(known, a_room: Make):
    rooms = [a_room(), a_room(version=3, place=None), a_room(version=2)]
    known.learn(rooms[::-1])
    assert list(known.scan()) == sorted(rooms, key=lambda room: room.id)


def test_a_room_is_corrected_whatever_the_versions_where_it_is_still_what_was_seen(known, a_room: Make):
    ahead, other, changed = a_room(version=9), a_room(version=4), a_room()
    known.learn([ahead, other, changed])
    settle(known)
    right = [a_room(of=ahead, version=3), a_room(of=other, version=4, name="Another"), KnownRoom.nowhere(changed.id)]
    newer = a_room(of=changed)
    known.learn([newer])
    known.correct(list(zip([ahead, other, changed], right, strict=True)))
    assert known.of([ahead.id, other.id, changed.id]) == {ahead.id: right[0], other.id: right[1], changed.id: newer}
    assert sorted(unsettled(known)) == sorted([ahead.id, other.id]), "though the one says the same in another version"
    known.learn([later := a_room(of=right[0])])
    assert known.of([ahead.id]) == {ahead.id: later}
    known.correct([])


def test_so_many_unsettled_ones_are_given_out(known, a_room: Make):
    rooms = [a_room() for _ in range(5)]
    known.learn(rooms)
    first = known.unsettled(3)
    for each in first:
        known.settle(each)
    rest = known.unsettled(3)
    assert (len(first), len(rest)) == (3, 2)
    assert {each.room.id for each in (*first, *rest)} == {room.id for room in rooms}


def test_rooms_that_are_left_out_are_not_given_out(known, a_room: Make):
    rooms = [a_room() for _ in range(5)]
    known.learn(rooms)
    without = [room.id for room in rooms[:3]]
    assert {each.room.id for each in known.unsettled(10, without)} == {room.id for room in rooms[3:]}


def test_rooms_that_are_never_settled_hold_up_no_other(known, a_room: Make):
    rooms = [a_room() for _ in range(9)]
    known.learn(rooms)
    seen: set[str] = set()

    def all_were_given_out() -> bool:
        seen.update(each.room.id for each in known.unsettled(3))
        return seen == {room.id for room in rooms}

    eventually(all_were_given_out)


def test_rooms_that_change_all_the_time_hold_up_no_other(known, a_room: Make):
    busy = [a_room() for _ in range(3)]
    known.learn(busy)
    quiet = a_room()
    known.learn([quiet])
    for version in itertools.count(2):
        given = known.unsettled(3)
        if quiet in [each.room for each in given]:
            break
        assert version < 200, "three that change hold it up"
        known.learn([a_room(of=room, version=version, name=f"Name {version}") for room in busy])
        for each in given:
            known.settle(each)


def test_many_threads_that_tell_the_same_rooms_leave_the_same_rows(known, a_room: Make, threads):
    lives = [life(a_room) for _ in range(30)]
    told = [version for room in lives for version in room]

    def teller(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(5):
            chance.shuffle(told_here := list(told))
            for start in range(0, len(told_here), 25):
                known.learn(told_here[start : start + 25])

    threads(teller, range(4))
    assert known.of([room[0].id for room in lives]) == {room[0].id: room[-1] for room in lives}
    assert known.count() == (0, 30, 30)


def test_the_rows_are_alike_however_they_came_about(house, a_room: Make):
    lives = [life(a_room)[: number % 4 + 1] for number in range(20)]
    told = [version for room in lives for version in room]

    def rows() -> list[tuple[object, ...]]:
        wanted = select(known_rooms.c.id, known_rooms.c.version, known_rooms.c.place, known_rooms.c.place_hash)
        with house.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(wanted.order_by(known_rooms.c.id))]

    house.known.learn(told)
    expected = rows()
    for seed in range(10):
        with house.engine.begin() as connection:
            connection.execute(known_rooms.delete())
        shuffled = told * 2
        random.Random(seed).shuffle(shuffled)
        for start in range(0, len(shuffled), 7):
            house.known.learn(shuffled[start : start + 7])
        assert rows() == expected, f"seed {seed}"


def test_a_table_of_rooms_that_are_settled_is_not_looked_through(postgres_url, open_house, a_room: Make):
    house = open_house(postgres_url)
    house.known.learn([a_room() for _ in range(3)])
    settle(house.known)
    with transaction(house.engine) as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = "\n".join(connection.exec_driver_sql("EXPLAIN SELECT * FROM known_rooms WHERE unsettled IS NOT NULL").scalars())
    assert "known_rooms_unsettled" in plan
