"""Where items are said to be, and whom is asked for that."""

from collections.abc import Callable

import pytest

from common.errors import Unavailable, Unprocessable
from items.adapters.memory import MemoryKnownRooms
from items.domain import KnownRoom, Listing
from items.use_cases import LocateItems


def listing(room: KnownRoom | None) -> Listing:
    return Listing(name="Piano", room_id=None if room is None else room.id)


@pytest.fixture
def known() -> MemoryKnownRooms:
    return MemoryKnownRooms()


@pytest.fixture
def locate(known, told_rooms) -> LocateItems:
    return LocateItems(known, told_rooms)


def refusal(place: object) -> list[str]:
    assert isinstance(place, Unprocessable)
    return [error.name for error in place.errors]


def test_nobody_is_asked_about_items_that_stand_alone(locate, told_rooms):
    assert locate.locate([listing(None)]) == [None]
    assert locate.locate([]) == []
    assert told_rooms.asked == []


def test_what_is_known_is_not_asked_for(locate, known, told_rooms, a_room: Callable[..., KnownRoom]):
    here, gone = a_room(), a_room(place=None)
    known.learn([here, gone])
    place, refused = locate.locate([listing(here), listing(gone)])
    assert place == here.place
    assert refusal(refused) == ["room_id"]
    assert told_rooms.asked == []


def test_one_question_answers_for_all_and_the_answer_is_kept(locate, known, told_rooms, a_room):
    here, hidden, deleted, nowhere = a_room(version=4), a_room(is_visible=False), a_room(place=None), a_room()
    told_rooms.rooms = {room.id: room for room in (here, hidden, deleted)}
    first = locate.locate([listing(room) for room in (here, nowhere, here, None, hidden, deleted)])
    assert [first[0], first[2], first[3], first[4]] == [here.place, here.place, None, hidden.place]
    assert (refusal(first[1]), refusal(first[5])) == (["room_id"], ["room_id"])
    assert told_rooms.asked == [{here.id, nowhere.id, hidden.id, deleted.id}]
    assert known.of([here.id, hidden.id, deleted.id]) == told_rooms.rooms

    assert locate.locate([listing(here), listing(deleted)])[0] == here.place
    assert len(told_rooms.asked) == 1


def test_without_an_answer_nothing_is_decided(locate, known, told_rooms, a_room):
    told_rooms.away = True
    here, unknown = a_room(), a_room()
    known.learn([here])
    with pytest.raises(Unavailable, match="the rooms service"):
        locate.locate([listing(here), listing(unknown)])
    assert locate.locate([listing(here)]) == [here.place]


def test_an_event_that_came_before_the_answer_is_not_forgotten(known, told_rooms, a_room):
    old = a_room()
    new = a_room(of=old, name="Renamed")

    class Overtaken(type(told_rooms)):
        def ask(self, ids):
            known.learn([new])
            return {old.id: old}

    assert LocateItems(known, Overtaken()).locate([listing(old)]) == [new.place]
    assert known.of([old.id]) == {old.id: new}
