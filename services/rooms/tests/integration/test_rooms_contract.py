"""What every adapter of the rooms port does: in memory, on SQLite, on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from uuid_utils import uuid7

from common.errors import Conflict, NotFound, Stale
from rooms.domain import Room
from rooms.ports import Filter, Summary

LATER = datetime(2026, 5, 2, tzinfo=UTC)


def test_what_was_added_reads_back_the_same(shelf, a_room):
    room, bare = a_room(), a_room(area=None, images=(), property_size=None, monthly_price=0)
    for each in (room, replace(bare, located=None)):
        shelf.rooms.add(each)
        assert shelf.rooms.get(each.id) == each
        assert shelf.rooms.by_urls([each.given.url]) == {each.given.url: each}
    with pytest.raises(NotFound):
        shelf.rooms.get(str(uuid7()))


def test_an_url_is_unique_among_the_living_and_free_after_a_delete(shelf, a_room):
    room = a_room()
    shelf.rooms.add(room)
    twin = a_room(url=room.given.url)
    with pytest.raises(Conflict) as conflict:
        shelf.rooms.add(twin)
    assert (conflict.value.field, conflict.value.existing_id) == ("url", room.id)
    assert len(shelf.events()) == 1

    shelf.rooms.remove(room, LATER)
    shelf.rooms.add(twin)
    assert shelf.events()[1:] == [("RoomDeleted", room.id, 2), ("RoomCreated", twin.id, 1)]
    with pytest.raises(NotFound):
        shelf.rooms.get(room.id)
    with pytest.raises(NotFound):
        shelf.rooms.remove(room, LATER)


def test_a_stale_put_changes_nothing(shelf, a_room):
    room = a_room()
    shelf.rooms.add(room)
    second = room.revised(replace(room.given, price=1), room.located, LATER)
    shelf.rooms.put(second)
    with pytest.raises(Stale) as stale:
        shelf.rooms.put(room.revised(replace(room.given, price=2), None, LATER))
    assert stale.value.version == 2
    assert shelf.rooms.get(room.id) == second
    assert shelf.events() == [("RoomCreated", room.id, 1), ("RoomUpdated", room.id, 2)]


def test_a_put_may_not_take_anothers_url(shelf, a_room):
    one, other = a_room(), a_room()
    shelf.rooms.add(one)
    shelf.rooms.add(other)
    with pytest.raises(Conflict) as conflict:
        shelf.rooms.put(one.revised(replace(one.given, url=other.given.url), None, LATER))
    assert conflict.value.existing_id == other.id
    assert len(shelf.events()) == 2


def test_of_many_writers_each_version_has_one(shelf, a_room):
    room = a_room()
    shelf.rooms.add(room)
    written = []

    def write(price: int) -> None:
        while True:
            current = shelf.rooms.get(room.id)
            try:
                shelf.rooms.put(current.revised(replace(current.given, price=price), None, LATER))
            except Stale:
                continue
            written.append(price)
            return

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(24)))
    assert sorted(written) == list(range(24))
    assert [sequence for _, _, sequence in shelf.events()] == list(range(1, 26))


def test_one_of_many_adders_gets_the_url(shelf, a_room):
    twins = [a_room(url="https://a.example/same") for _ in range(12)]
    outcomes = []

    def add(room: Room) -> None:
        try:
            shelf.rooms.add(room)
            outcomes.append(room.id)
        except Conflict:
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(add, twins))
    assert len(outcomes) == 1
    assert [subject for _, subject, _ in shelf.events()] == outcomes


def test_many_are_stored_at_once_and_those_that_cannot_be_leave_the_rest_alone(shelf, a_room):
    known, taken = a_room(), a_room()
    shelf.rooms.add(known)
    shelf.rooms.add(taken)
    new = a_room()
    blocked = a_room(url=taken.given.url)
    revised = known.revised(replace(known.given, price=3), None, LATER)
    stale = taken.revised(taken.given, None, LATER).revised(taken.given, None, LATER)
    again = new.revised(replace(new.given, price=4), None, LATER)
    assert shelf.rooms.store([new, blocked], [revised, stale, again]) == [True, False, True, False, True]
    assert shelf.rooms.by_urls([known.given.url, new.given.url, "https://a.example/none"]) == {
        known.given.url: revised,
        new.given.url: again,
    }
    assert shelf.events()[2:] == [("RoomCreated", new.id, 1), ("RoomUpdated", known.id, 2), ("RoomUpdated", new.id, 2)]


def test_a_list_walks_all_rooms_in_order(shelf, a_room):
    rooms = [a_room(provider="odd" if i % 2 else "even", is_visible=i % 3 != 0) for i in range(9)]
    for room in reversed(rooms):
        shelf.rooms.add(room)
    rooms.sort(key=lambda room: room.id)
    assert shelf.rooms.list(Filter(), None, 4) == rooms[:4]
    assert shelf.rooms.list(Filter(), rooms[3].id, 100) == rooms[4:]
    assert shelf.rooms.list(Filter(provider="odd", is_visible=True), None, 100) == [
        room for room in rooms if room.given.provider == "odd" and room.given.is_visible
    ]


def test_a_room_that_is_gone_is_neither_listed_nor_found_nor_changed(shelf, a_room):
    room = a_room()
    shelf.rooms.add(room)
    shelf.rooms.remove(room, LATER)
    assert shelf.rooms.list(Filter(), None, 10) == []
    assert shelf.rooms.by_urls([room.given.url]) == {}
    with pytest.raises(NotFound):
        shelf.rooms.put(room.revised(room.given, None, LATER))
    assert shelf.rooms.store([], [room.revised(room.given, None, LATER)]) == [False]


def test_a_stale_removal_changes_nothing(shelf, a_room):
    room = a_room()
    shelf.rooms.add(room)
    shelf.rooms.put(room.revised(room.given, None, LATER))
    with pytest.raises(Stale) as stale:
        shelf.rooms.remove(room, LATER)
    assert stale.value.version == 2
    assert shelf.rooms.get(room.id).version == 2


def test_storing_nothing_and_asking_for_nothing_is_fine(shelf):
    assert shelf.rooms.store([], []) == []
    assert shelf.rooms.by_urls([]) == {}


def test_who_store_the_same_rooms_in_another_order_do_not_wait_for_each_other_for_ever(shelf, a_room):
    urls = [f"https://a.example/{number}" for number in range(200)]
    known = [a_room() for _ in range(50)]
    shelf.rooms.store(known, [])

    def store(backwards: bool) -> list[bool]:
        added = [a_room(url=url) for url in urls]
        revised = [room.revised(replace(room.given, price=7), None, LATER) for room in known]
        if backwards:
            added.reverse()
            revised.reverse()
        done = shelf.rooms.store(added, revised)
        return list(reversed(done[:200])) + list(reversed(done[200:])) if backwards else list(done)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(store, [False, True] * 4))
    assert [sum(done) for done in zip(*answers, strict=True)] == [1] * 250
    assert len(shelf.events()) == 50 + 250


def test_the_sum_of_versions_grows_by_one_with_every_change(shelf, a_room):
    assert shelf.rooms.summary() == Summary(living=0, tombstones=0, versions=0)
    kept, gone = a_room(), a_room()
    shelf.rooms.store([kept, gone], [])
    shelf.rooms.put(kept.revised(replace(kept.given, price=1), None, LATER))
    assert shelf.rooms.summary() == Summary(living=2, tombstones=0, versions=3)
    shelf.rooms.remove(gone, LATER)
    assert shelf.rooms.summary() == Summary(living=1, tombstones=1, versions=4)
