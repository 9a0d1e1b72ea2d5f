"""What every adapter of the rooms port does: in memory, on SQLite, on PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from uuid_utils import uuid7

from common.errors import Conflict, NotFound, Stale
from common.listings.ports import Kept, Origin, Restored, Summary
from common.observability.context import bind
from rooms.domain import Room

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
    assert shelf.rooms.list({}, None, 4) == rooms[:4]
    assert shelf.rooms.list({}, rooms[3].id, 100) == rooms[4:]
    assert shelf.rooms.list({"provider": "odd", "is_visible": True}, None, 100) == [
        room for room in rooms if room.given.provider == "odd" and room.given.is_visible
    ]


def test_a_room_of_which_nobody_has_said_whether_it_is_furnished_is_neither(shelf, a_room):
    furnished, bare, unknown = (a_room(furnished=each) for each in (True, False, None))
    shelf.rooms.store([furnished, bare, unknown], [])
    assert shelf.rooms.list({"furnished": True}, None, 10) == [furnished]
    assert shelf.rooms.list({"furnished": False}, None, 10) == [bare]
    told = bare.revised(replace(bare.given, furnished=True), bare.located, LATER)
    shelf.rooms.put(told)
    assert shelf.rooms.list({"furnished": True}, None, 10) == [furnished, told]


def test_a_room_that_is_gone_is_neither_listed_nor_found_nor_changed(shelf, a_room):
    room = a_room()
    shelf.rooms.add(room)
    shelf.rooms.remove(room, LATER)
    assert shelf.rooms.list({}, None, 10) == []
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


def kept(room: Room, **origin: str) -> Kept:
    return Kept(id=room.id, version=room.version, what=room, origin=Origin(**origin))


def tombstone(room: Room, version: int, **origin: str) -> Kept:
    return Kept(id=room.id, version=version, what=LATER, origin=Origin(**origin))


def all_kept(shelf) -> list[Kept]:
    return list(shelf.rooms.kept(None, None, 1000))


def test_what_is_kept_is_walked_in_order_with_hidden_rooms_and_tombstones(shelf, a_room):
    shown, hidden, gone, revised = rooms = sorted(
        (a_room(), a_room(is_visible=False), a_room(), a_room()), key=lambda room: room.id
    )
    for room in reversed(rooms):
        shelf.rooms.add(room)
    shelf.rooms.remove(gone, LATER)
    revised = revised.revised(revised.given, None, LATER)
    assert shelf.rooms.store([], [revised]) == [True]
    everything = all_kept(shelf)
    assert [(each.id, each.version, each.what) for each in everything] == [
        (shown.id, 1, shown),
        (hidden.id, 1, hidden),
        (gone.id, 2, LATER),
        (revised.id, 2, revised),
    ]
    assert shelf.rooms.kept(None, None, 2) == everything[:2]
    assert shelf.rooms.kept(None, hidden.id, 100) == everything[2:]
    assert shelf.rooms.kept({gone.id, shown.id, str(uuid7())}, None, 100) == [everything[0], everything[2]]
    assert shelf.rooms.kept({gone.id, shown.id}, shown.id, 100) == [everything[2]]
    assert shelf.rooms.kept([], None, 100) == []


def test_a_row_keeps_the_ids_of_the_work_that_wrote_it_last(shelf, a_room):
    room, stored = a_room(), a_room()

    def origins() -> dict[str, Origin]:
        return {each.id: each.origin for each in all_kept(shelf)}

    seen: list[str] = []
    second = room.revised(room.given, None, LATER)
    writes = (
        lambda: shelf.rooms.add(room),
        lambda: shelf.rooms.put(second),
        lambda: shelf.rooms.store([stored], [second.revised(room.given, None, LATER)]),
        lambda: shelf.rooms.remove(replace(second, version=3), LATER),
    )
    for number, write in enumerate(writes):
        with bind(f"request-{number}") as work:
            write()
        origin = origins()[room.id]
        assert (origin.request_id, origin.traceparent) == (f"request-{number}", work.traceparent)
        seen.append(origin.event_id)
    assert len(set(seen)) == 4
    assert "" not in seen
    assert origins()[stored.id].request_id == "request-2"


def test_an_empty_place_is_restored_to_the_same(shelf, a_room):
    room, revised, bare, gone = a_room(), replace(a_room(), version=7), a_room(area=None, monthly_price=None), a_room()
    given = [
        *(kept(each, event_id=str(uuid7()), request_id="r", traceparent="t") for each in (room, revised, bare)),
        tombstone(gone, 3, event_id=str(uuid7())),
    ]
    assert shelf.rooms.restore(given) == [Restored("restored")] * 4
    assert all_kept(shelf) == sorted(given, key=lambda each: each.id)
    assert sorted(shelf.events()) == sorted(
        [("RoomCreated", room.id, 1), ("RoomUpdated", revised.id, 7), ("RoomCreated", bare.id, 1), ("RoomDeleted", gone.id, 3)]
    )
    # It lives on from there.
    shelf.rooms.put(revised.revised(revised.given, None, LATER))
    with pytest.raises(NotFound):
        shelf.rooms.get(gone.id)

    events = len(shelf.events())
    assert shelf.rooms.restore(given) == [Restored("unchanged")] * 4
    assert (len(shelf.events()), shelf.rooms.get(revised.id).version) == (events, 8)
    assert shelf.rooms.restore([]) == []


def test_what_is_there_in_a_lower_version_is_replaced(shelf, a_room):
    room, gone, again = a_room(), a_room(), a_room()
    for each in (room, gone, again):
        shelf.rooms.add(each)
    shelf.rooms.remove(again, LATER)
    newer = replace(room, version=4, given=replace(room.given, url="https://a.example/moved"))
    alive = replace(again, version=5)
    assert {each.outcome for each in shelf.rooms.restore([kept(newer), tombstone(gone, 2), kept(alive)])} == {"restored"}
    assert (shelf.rooms.get(room.id), shelf.rooms.get(again.id)) == (newer, alive)
    with pytest.raises(NotFound):
        shelf.rooms.get(gone.id)
    assert shelf.rooms.by_urls([room.given.url, gone.given.url]) == {}
    assert all(each.origin.event_id for each in all_kept(shelf)), "where none is known, the event has a new one"


def test_of_one_id_that_comes_twice_the_higher_version_is_restored(shelf, a_room):
    room = a_room()
    second = replace(room, version=2)
    assert [each.outcome for each in shelf.rooms.restore([kept(room), kept(second), kept(room)])] == [
        "unchanged",
        "restored",
        "unchanged",
    ]
    assert shelf.rooms.get(room.id) == second


def test_a_living_rooms_url_is_not_taken_and_the_rest_goes_on(shelf, a_room):
    holder = a_room()
    shelf.rooms.add(holder)
    thief, other = a_room(url=holder.given.url), a_room()
    twin = a_room(url=other.given.url)
    assert shelf.rooms.restore([kept(thief), kept(other), kept(twin)]) == [
        Restored("taken", holder.id),
        Restored("restored"),
        Restored("taken", other.id),
    ]
    assert {each.id for each in all_kept(shelf)} == {holder.id, other.id}
    assert len(shelf.events()) == 2


def test_urls_may_change_hands_among_the_restored_and_come_from_the_deleted(shelf, a_room):
    one, other, gone = a_room(), a_room(), a_room()
    for each in (one, other, gone):
        shelf.rooms.add(each)
    heir = a_room(url=gone.given.url)
    swapped = [replace(a, version=2, given=replace(a.given, url=b.given.url)) for a, b in ((one, other), (other, one))]
    assert {each.outcome for each in shelf.rooms.restore([*map(kept, swapped), kept(heir), tombstone(gone, 2)])} == {"restored"}
    assert shelf.rooms.by_urls([one.given.url, other.given.url, gone.given.url]) == {
        other.given.url: swapped[0],
        one.given.url: swapped[1],
        gone.given.url: heir,
    }


def test_who_is_refused_keeps_its_url_and_so_refuses_another(shelf, a_room):
    holder, refused = a_room(), a_room()
    for each in (holder, refused):
        shelf.rooms.add(each)
    moved = replace(refused, version=2, given=replace(refused.given, url=holder.given.url))
    hopeful = a_room(url=refused.given.url)
    assert shelf.rooms.restore([kept(moved), kept(hopeful)]) == [Restored("taken", holder.id), Restored("taken", refused.id)]
    assert shelf.rooms.get(refused.id) == refused


def test_many_restore_the_same_at_once(shelf, a_room):
    given = [kept(a_room()) for _ in range(100)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: shelf.rooms.restore(given), range(8)))
    assert [(each.id, each.what) for each in all_kept(shelf)] == sorted((each.id, each.what) for each in given)
    assert set(shelf.events()) == {("RoomCreated", each.id, 1) for each in given}


def test_the_sum_of_versions_grows_by_one_with_every_change(shelf, a_room):
    assert shelf.rooms.summary() == Summary(living=0, tombstones=0, versions=0)
    kept, gone = a_room(), a_room()
    shelf.rooms.store([kept, gone], [])
    shelf.rooms.put(kept.revised(replace(kept.given, price=1), None, LATER))
    assert shelf.rooms.summary() == Summary(living=2, tombstones=0, versions=3)
    shelf.rooms.remove(gone, LATER)
    assert shelf.rooms.summary() == Summary(living=1, tombstones=1, versions=4)
