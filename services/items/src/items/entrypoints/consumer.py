"""The events of rooms, as what items know of them; and the worker that has items follow their rooms."""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from common.backoff import Backoff
from common.errors import Unavailable
from common.events.consumer import Handler, Rejected
from common.events.envelope import Event
from common.failpoints import failpoint
from common.observability.logs import Trouble
from items.domain import KnownRoom, Place
from items.ports import KnownRooms
from items.use_cases import FollowRooms

log = logging.getLogger(__name__)

#: Seconds between two looks for rooms whose items have to follow.
LOOK = 0.25


@dataclass(frozen=True)
class LearnRooms(Handler):
    """Any order and any number of repetitions lead to the same knowledge."""

    known: KnownRooms

    def apply(self, events: Sequence[Event]) -> Sequence[Rejected | None]:
        answers: list[Rejected | None] = []
        rooms: list[KnownRoom] = []
        for event in events:
            answers.append(None)
            match event.type:
                case "RoomCreated" | "RoomUpdated" if (fault := _fault(event.data)) is not None:
                    answers[-1] = Rejected("invalid", fault)
                case "RoomCreated" | "RoomUpdated":
                    rooms.append(KnownRoom(id=event.data["id"], version=event.data["version"], place=Place.of(event.data)))
                case "RoomDeleted":
                    rooms.append(KnownRoom(id=event.data["id"], version=event.data["version"], place=None))
                case _:
                    answers[-1] = Rejected("unknown-type", f"items do not know what {event.type} means for them")
        self.known.learn(rooms)
        failpoint("items.learned")
        return answers


def _fault(room: Mapping[str, Any]) -> str | None:
    """What no room can be: items would tell it on, and search would refuse them for it."""
    lat, lon = room["coordinates"]["lat"], room["coordinates"]["lon"]
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        return f"there is no place at latitude {lat}, longitude {lon}"
    return None if room["version"] >= 1 else f"the version {room['version']} is out of range"


@dataclass(frozen=True)
class Follower:
    """Has items follow their rooms until told to stop."""

    follow: FollowRooms

    def run(self, stop: threading.Event) -> None:
        backoff, trouble = Backoff(longest=10.0), Trouble(log)
        while not stop.is_set():
            try:
                found = self.follow()
            except Unavailable as error:
                trouble.warn(f"items wait to follow their rooms: {error}")
                stop.wait(backoff.pause())
            else:
                trouble.over()
                backoff.reset()
                if not found:
                    stop.wait(LOOK)
