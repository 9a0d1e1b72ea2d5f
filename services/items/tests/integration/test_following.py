"""Items follow their rooms: to where those are by now, out of search with them, and away when they go. Whatever comes between."""

import itertools
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from common.db.engine import transaction
from common.errors import Invalid, NotFound, Unavailable
from common.failpoints import arm
from common.listings.fields import Coordinates
from common.listings.ports import Kept, Origin
from common.listings.use_cases import Import
from common.security.principal import LOCAL
from common.testing.waiting import eventually, in_background
from items.adapters.known_rooms import SqlKnownRooms
from items.adapters.sql import SqlItems
from items.domain import Item, KnownRoom

Make = Callable[..., KnownRoom]


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    arm("")


def known(house: Any, room: KnownRoom) -> KnownRoom:
    """A room that items know, and have followed."""
    house.known.learn([room])
    house.settle()
    return room


def places(house: Any) -> Counter[tuple[str, str, bool] | None]:
    """(name, city, visibility) of the rooms that items tell of: how often each."""
    found = [each.located for each in house.living()]
    return Counter(None if place is None else (place.name, place.city, place.is_visible) for place in found)


@pytest.mark.parametrize(
    "change", [{"name": "Cellar"}, {"coordinates": Coordinates(lat=48.1, lon=11.6)}, {"city": None}, {"is_visible": False}]
)
def test_items_tell_anew_where_they_are_when_their_room_changes(house, a_room: Make, change):
    room = known(house, a_room())
    here = [house.publish(room_id=room.id), house.publish(room_id=room.id, is_visible=False)]
    elsewhere = [house.publish(), house.publish(room_id=known(house, a_room()).id)]
    moved = a_room(of=room, **change)
    house.known.learn([moved])
    house.settle()
    for before in here:
        after = house.items.get(before.id)
        assert (after.version, after.located, after.given, after.owner) == (2, moved.place, before.given, before.owner)
        assert after.updated_at > before.updated_at
    assert [house.items.get(each.id) for each in elsewhere] == elsewhere
    last = house.told()[4:]
    assert sorted((type, told["id"]) for type, told in last) == sorted(("ItemUpdated", each.id) for each in here)
    assert all(told["room"] == moved.place.document() for _, told in last)
    assert house.faults() == []


def test_what_items_do_not_tell_of_a_room_makes_no_events(house, a_room: Make):
    room = known(house, a_room())
    item = house.publish(room_id=room.id)
    for _ in range(3):  # the price, say
        room = a_room(of=room)
        house.known.learn([room])
        house.settle()
    assert house.items.get(item.id) == item
    there_and_back = a_room(of=a_room(of=room, name="Cellar"), name="Attic")
    house.known.learn([a_room(of=room, name="Cellar")])
    house.known.learn([there_and_back])
    house.settle()
    assert house.events() == [("ItemCreated", item.id, 1)]
    assert house.faults() == []
    # Who writes it for another reason has it tell the newest version.
    assert house.revise(item.id, price=5).located == there_and_back.place


def test_the_items_of_a_room_that_is_deleted_go_with_it(house, a_room: Make):
    room, other = known(house, a_room()), known(house, a_room())
    gone = [
        house.publish(room_id=room.id, url="https://items.example/1"),
        house.publish(room_id=room.id, is_visible=False),
    ]
    stays, alone = house.publish(room_id=other.id), house.publish()
    house.known.learn([a_room(of=room, place=None)])
    house.settle()
    for item in gone:
        with pytest.raises(NotFound):
            house.items.get(item.id)
    assert {each.id for each in house.living()} == {stays.id, alone.id}
    assert sorted(house.events()[4:]) == sorted(("ItemDeleted", item.id, 2) for item in gone)
    assert house.publish(url="https://items.example/1").version == 1, "its url is free again"
    with pytest.raises(Invalid):
        house.publish(room_id=room.id)
    assert house.faults() == []


def test_1200_items_follow_500_at_a_time(house, a_room: Make, monkeypatch):
    room = known(house, a_room())
    ids = house.publish_many(1200, room_id=room.id)
    portions: list[int] = []
    store = type(house.items).store

    def counted(self: Any, added: Any, revised: Any) -> Any:
        portions.append(len(revised))
        return store(self, added, revised)

    monkeypatch.setattr(SqlItems, "store", counted)
    house.known.learn([a_room(of=room, name="Cellar")])
    house.settle()
    assert portions == [500, 500, 200]
    assert places(house) == {("Cellar", "Berlin", True): 1200}
    assert Counter(house.events()[1200:]) == Counter(("ItemUpdated", id, 2) for id in ids)

    house.known.learn([a_room(of=room, version=3, place=None)])
    house.settle()
    assert house.living() == []
    assert Counter(house.events()[2400:]) == Counter(("ItemDeleted", id, 3) for id in ids)
    assert house.faults() == []


@pytest.mark.parametrize("fate", [{"name": "Cellar"}, {"place": None}], ids=["moves", "goes"])
def test_two_workers_at_once_tell_each_change_once(database_url, open_house, a_room: Make, threads, fate):
    houses = [open_house(database_url), open_house(database_url)]
    rooms = [known(houses[0], a_room()) for _ in range(3)]
    ids = [id for room in rooms for id in houses[0].publish_many(200, room_id=room.id)]
    houses[0].known.learn([a_room(of=room, **fate) for room in rooms])
    threads(lambda house: house.settle(), houses)
    what = "ItemDeleted" if "place" in fate else "ItemUpdated"
    assert Counter(houses[0].events()[len(ids) :]) == Counter((what, id, 2) for id in ids)
    assert houses[0].faults() == []


@pytest.mark.parametrize("point", ["items.follow=error@2", "items.followed=error@1", "items.settled=error@1"])
@pytest.mark.parametrize("fate", [{"name": "Cellar"}, {"place": None}], ids=["moves", "goes"])
def test_what_stands_in_the_way_half_way_is_gone_on_with(house, a_room: Make, point, fate):
    room = known(house, a_room())
    ids = house.publish_many(600, room_id=room.id)
    house.known.learn([a_room(of=room, **fate)])
    arm(point)
    with pytest.raises(Unavailable):
        house.settle()
    done = len(house.events()) - 600
    assert done == (600 if "settled" in point else 500)
    house.settle()
    assert Counter(Counter(house.events()).values()) == {1: 1200}
    assert {id for _, id, version in house.events() if version == 2} == set(ids)
    assert house.faults() == []


@pytest.mark.slow
@pytest.mark.parametrize("point", ["items.follow=kill@2", "items.followed=kill@2", "items.settled=kill"])
def test_a_worker_that_is_killed_half_way_leaves_the_rest_to_the_next(house, database_url, a_room: Make, tmp_path: Path, point):
    room = known(house, a_room())
    ids = house.publish_many(1200, room_id=room.id)
    house.known.learn([a_room(of=room, is_visible=False)])
    environ = {"PATH": os.environ["PATH"], "DATABASE_URL": database_url, "BROKER_URL": f"sqlite:///{tmp_path}/broker.db"}
    command = [sys.executable, "-m", "items", "consumer"]
    killed = subprocess.run(
        command, env=environ | {"FAILPOINTS": point}, stdin=subprocess.DEVNULL, capture_output=True, timeout=60, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert len(house.events()) == {"items.follow=kill@2": 1700, "items.followed=kill@2": 2200, "items.settled=kill": 2400}[point]
    with subprocess.Popen(command, env=environ, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        eventually(lambda: house.known.count()[2] == 0, seconds=60)
        process.kill()
    assert Counter(house.events()[1200:]) == Counter(("ItemUpdated", id, 2) for id in ids)
    assert house.faults() == []


def test_an_item_may_come_before_the_event_of_its_room(house, a_room: Make):
    told = a_room()
    newer = a_room(of=told, name="Cellar")
    house.rooms.rooms = {told.id: told}
    item = house.publish(room_id=told.id)  # nothing has been heard of the room
    house.settle()
    house.known.learn([told])
    house.settle()
    assert house.items.get(item.id) == item
    house.known.learn([newer])
    house.known.learn([told])
    house.settle()
    assert house.items.get(item.id).located == newer.place
    assert house.rooms.asked == [{told.id}]
    assert house.faults() == []


def test_a_room_that_changes_between_the_question_and_the_write_is_looked_at_again(house, a_room: Make, monkeypatch):
    room = known(house, a_room())
    item = house.publish(room_id=room.id)
    versions = iter([a_room(of=room, name="Cellar"), a_room(of=room, version=3, is_visible=False)])
    of = SqlKnownRooms.of

    def overtaken(self: Any, ids: Any) -> Any:
        found = of(self, ids)
        house.known.learn([each for each in [next(versions, None)] if each])
        return found

    monkeypatch.setattr(SqlKnownRooms, "of", overtaken)
    fresh = house.publish(room_id=room.id)
    assert (fresh.located.version, fresh.located.is_visible) == (3, False)
    house.settle()
    assert house.items.get(item.id).located == fresh.located
    assert house.faults() == []


def test_a_room_that_goes_between_the_question_and_the_write_takes_the_item_along(house, a_room: Make, monkeypatch):
    room, other = known(house, a_room()), known(house, a_room())
    item = house.publish()
    of = SqlKnownRooms.of

    def overtaken(self: Any, ids: Any) -> Any:
        found = of(self, ids)
        house.known.learn([a_room(of=room, place=None)])
        return found

    monkeypatch.setattr(SqlKnownRooms, "of", overtaken)
    with pytest.raises(Invalid):
        house.publish(room_id=room.id)
    with pytest.raises(Invalid):
        house.revise(item.id, room_id=room.id)
    assert house.revise(item.id, room_id=other.id).located == other.place
    house.settle()
    assert [each.id for each in house.living()] == [item.id]
    assert house.faults() == []


def lock_waiters(house: Any) -> int:
    with house.engine.connect() as connection:
        waiting = text("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        return int(connection.scalar(waiting) or 0)


def test_what_is_known_of_a_room_does_not_change_while_an_item_is_written_but_others_are_written(
    postgres_url, open_house, a_room: Make
):
    house = open_house(postgres_url)
    room = known(house, a_room())
    item = house.publish(room_id=room.id)
    learner = threading.Thread(target=house.known.learn, args=([a_room(of=room, place=None)],))
    with transaction(house.engine) as writing:
        assert house.items.held(writing, [item]) == [True]
        other = house.publish(room_id=room.id)  # shared: it does not wait
        learner.start()
        eventually(lambda: lock_waiters(house) == 1)
        assert house.known.of([room.id])[room.id] == room
    learner.join(20)
    assert house.known.of([room.id])[room.id].place is None
    with transaction(house.engine) as writing:
        assert house.items.held(writing, [item, other]) == [False, False]
    house.settle()
    assert house.living() == []
    assert house.faults() == []


def test_an_item_is_not_written_while_what_is_known_of_its_room_changes(postgres_url, open_house, a_room: Make, threads):
    house = open_house(postgres_url)
    room, other = known(house, a_room()), known(house, a_room())
    written: list[Item] = []
    writer = threading.Thread(target=lambda: written.append(house.publish(room_id=room.id)))
    with transaction(house.engine) as learning:
        learning.execute(text("SELECT 1 FROM known_rooms WHERE id = :id FOR UPDATE"), {"id": room.id})
        writer.start()
        eventually(lambda: lock_waiters(house) == 1)
        assert house.publish(room_id=other.id).located == other.place, "another room is another row"
        moved = {
            "id": room.id,
            "place": '{"version": 2, "name": "Cellar", "coordinates": {"lat": 1, "lon": 2}, "city": null, "is_visible": true}',
        }
        learning.execute(text("UPDATE known_rooms SET version = 2, place = :place WHERE id = :id"), moved)
        assert written == []
    writer.join(20)
    assert (written[0].located.version, written[0].located.name) == (2, "Cellar"), "decided anew"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", range(3))
def test_writers_importers_tellers_and_followers_all_at_once_end_alike(database_url, open_house, a_room: Make, threads, seed):
    """Rooms that change and go while items are put into them, moved between them, imported, taken out; by threads of four processes."""
    houses = [open_house(database_url) for _ in range(4)]
    lives: list[list[KnownRoom]] = []
    chance = random.Random(seed)
    for number in range(6):
        room = [a_room()]
        for version in range(2, 12):
            change = chance.choice(
                [{}, {"name": f"Room {version}"}, {"is_visible": bool(version % 2)}, {"city": f"City {version}"}]
            )
            room.append(a_room(of=room[-1], **change))
        if number % 2:
            room.append(a_room(of=room[-1], place=None))
        lives.append(room)
    for house in houses:
        house.rooms.rooms = {room[0].id: room[0] for room in lives}  # what they answer is old, as it may be
    rooms = [room[0].id for room in lives]
    surprises: list[Exception] = []

    def write(house: Any, chance: random.Random) -> None:
        mine: list[str] = []
        for _ in range(25):
            room = chance.choice([*rooms, None])
            with suppress(Invalid, NotFound):  # the room, or the item with it, has gone
                match chance.randrange(5):
                    case 0 | 1:
                        mine.append(house.publish(room_id=room).id)
                    case 2 if mine:
                        house.revise(chance.choice(mine), room_id=room)
                    case 3 if mine:
                        house.revise(chance.choice(mine), price=chance.randrange(100))
                    case 4 if mine:
                        house.withdraw(mine.pop())

    def bring(house: Any, chance: random.Random) -> None:
        for number in range(6):
            documents = [
                {"name": f"{number}", "url": f"https://items.example/{each}", "room_id": chance.choice(rooms), "price": number}
                for each in range(30)
            ]
            outcomes = Counter(each.outcome for each in house.injector.get(Import)(documents, LOCAL))
            assert set(outcomes) <= {"created", "updated", "unchanged", "invalid"}

    def tell(house: Any, chance: random.Random) -> None:
        told = [version for room in lives for version in room] * 2
        chance.shuffle(told)
        for start in range(0, len(told), 5):
            house.known.learn(told[start : start + 5])

    def acting(job: tuple[Callable[[Any, random.Random], None], Any, int]) -> None:
        act, house, number = job
        try:
            act(house, random.Random(f"{seed}/{number}"))
        except Exception as error:
            surprises.append(error)

    jobs = [(write, houses[0]), (write, houses[1]), (bring, houses[2]), (tell, houses[3]), (tell, houses[0])]
    with in_background(houses[1].follower.run), in_background(houses[2].follower.run):
        threads(acting, [(*job, number) for number, job in enumerate(jobs)])
        eventually(lambda: houses[0].known.count()[2] == 0, seconds=60)
    assert surprises == []
    houses[0].settle()
    assert houses[0].faults() == []
    assert houses[0].known.of(rooms) == {room[0].id: room[-1] for room in lives}
    written = houses[0].events()
    assert Counter(Counter((id, version) for _, id, version in written).values()) == {1: len(written)}, (
        "each version was told once"
    )
    assert {item.given.room_id for item in houses[0].living()} <= {*rooms[::2], None}


def kept(item: Item, **changes: Any) -> Kept:
    return Kept(id=item.id, version=item.version, what=replace(item, **changes), origin=Origin())


@pytest.mark.parametrize("told", [1, 5, 9], ids=["an older", "the same", "a newer"])
def test_items_that_are_restored_follow_rooms_that_have_moved_or_gone_since(house, open_house, tmp_path, a_room: Make, told):
    """Their backup tells of their rooms as those were then; a version tells nothing where rooms were restored as well."""
    elsewhere = open_house(f"sqlite:///{tmp_path}/elsewhere.db")
    then, gone_then = a_room(version=told), a_room(version=told)
    elsewhere.known.learn([then, gone_then])
    backup = [elsewhere.publish(room_id=room.id) for room in (then, gone_then)] + [elsewhere.publish()]

    now, gone = a_room(of=then, version=5, name="Cellar"), a_room(of=gone_then, version=5, place=None)
    known(house, now)
    known(house, gone)
    assert house.restore([kept(each) for each in backup]) == ["restored"] * 3
    house.settle()
    assert [(each.id, each.located) for each in house.living()] == [(backup[0].id, now.place), (backup[2].id, None)]
    assert house.faults() == []
    assert house.restore([kept(each) for each in backup]) == ["unchanged"] * 3
    assert house.known.count()[2] == 0


def test_a_room_of_which_nothing_is_known_yet_is_followed_once_it_is(house, open_house, tmp_path, a_room: Make):
    elsewhere = open_house(f"sqlite:///{tmp_path}/elsewhere.db")
    room = known(elsewhere, a_room())
    item = elsewhere.publish(room_id=room.id)
    house.restore([kept(item, located=None)])
    house.settle()
    house.known.learn([a_room(of=room, name="Cellar")])
    house.settle()
    assert house.items.get(item.id).located.name == "Cellar"
    assert house.faults() == []


def test_a_restore_that_comes_while_a_room_is_being_settled_is_not_overlooked(postgres_url, open_house, tmp_path, a_room: Make):
    house, elsewhere = open_house(postgres_url), open_house(f"sqlite:///{tmp_path}/elsewhere.db")
    then = known(elsewhere, a_room())
    item = elsewhere.publish(room_id=then.id)
    house.known.learn([a_room(of=then, name="Cellar")])
    (seen,) = house.known.unsettled(10)  # a follower has looked, and found no item
    house.restore([kept(item)])
    house.known.settle(seen)
    assert house.known.count()[2] == 1
    house.settle()
    assert house.faults() == []
    house.known.settle(seen)


def test_a_room_that_is_learnt_while_items_are_restored_into_it_is_followed_by_them(
    postgres_url, open_house, tmp_path, a_room: Make, monkeypatch
):
    """The restore has looked for the room and found nothing, but is not committed; the room comes, and who follows it sees no item."""
    house, neighbour = open_house(postgres_url), open_house(postgres_url)
    elsewhere = open_house(f"sqlite:///{tmp_path}/elsewhere.db")
    then = known(elsewhere, a_room())
    item = elsewhere.publish(room_id=then.id)
    unsettled, commit, came_back = threading.Event(), threading.Event(), SqlItems.came_back

    def held_up(self: SqlItems, *arguments: Any) -> None:
        came_back(self, *arguments)
        unsettled.set()
        assert commit.wait(20)

    monkeypatch.setattr(SqlItems, "came_back", held_up)
    asked = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"

    def learns_or_waits() -> bool:
        with house.engine.connect() as connection:
            return learning.done() or connection.exec_driver_sql(asked).scalar_one() > 0

    with ThreadPoolExecutor(2) as pool:
        restoring = pool.submit(house.restore, [kept(item)])
        assert unsettled.wait(20)
        learning = pool.submit(neighbour.known.learn, [a_room(of=then, name="Cellar")])
        try:
            eventually(learns_or_waits)
            neighbour.settle()
        finally:
            commit.set()
        assert restoring.result(20) == ["restored"]
        learning.result(20)
    house.settle()
    assert house.items.get(item.id).located.name == "Cellar"
    assert house.faults() == []


def test_a_follower_waits_for_a_neighbour_that_is_down(house, a_room: Make, monkeypatch):
    room = known(house, a_room())
    item = house.publish(room_id=room.id)
    house.known.learn([a_room(of=room, name="Cellar")])
    failures = itertools.count()
    arm("items.follow=error")
    follow = type(house.follow).__call__

    def counted(self: Any) -> int:
        next(failures)
        return follow(self)

    monkeypatch.setattr(type(house.follow), "__call__", counted)
    with in_background(house.follower.run):
        eventually(lambda: next(failures) > 5)
        assert house.items.get(item.id).version == 1
        arm("")
        eventually(lambda: house.items.get(item.id).version == 2)
    assert house.faults() == []
