"""What is done with items beside what is done with all listings: they know where their rooms are, and follow them."""

import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from common.backoff import Backoff
from common.errors import NotFound, Stale, Unavailable, Unprocessable
from common.failpoints import failpoint
from common.listings.domain import Given
from common.listings.ports import Clock, Locator
from items.domain import Item, KnownRoom, Listing, Place
from items.ports import Items, KnownRooms, RoomsService

log = logging.getLogger(__name__)

#: Items that are written together when their room has changed, and rooms that are looked for at a time.
TOGETHER, ROOMS = 500, 20
#: Rooms that failed unexpectedly: how many are left alone for a while.
RESTING = 1000


@dataclass(frozen=True)
class LocateItems(Locator):
    """An item is where its room is. A room of which nothing is known yet is asked for once, and the answer is kept."""

    known: KnownRooms
    rooms: RoomsService

    def locate(self, given: Sequence[Given]) -> Sequence[Place | Unprocessable | None]:
        wanted = {each.room_id for each in given if isinstance(each, Listing) and each.room_id is not None}
        known = self._known(wanted) if wanted else {}
        return [self._place(known, each.room_id) if isinstance(each, Listing) else None for each in given]

    def _known(self, wanted: set[str]) -> Mapping[str, KnownRoom]:
        known = self.known.of(wanted)
        if unknown := wanted - known.keys():
            told = self.rooms.ask(unknown)
            self.known.learn(list(told.values()))
            known |= self.known.of(told.keys())  # an event may have told more meanwhile
        return known

    def _place(self, known: Mapping[str, KnownRoom], id: str | None) -> Place | Unprocessable | None:
        if id is None:
            return None
        place = known[id].place if id in known else None
        return place or Unprocessable.field("room_id", "there is no such room, or it has been deleted")


@dataclass
class Resting:
    """A room whose items failed unexpectedly: when they are tried again."""

    until: datetime
    backoff: Backoff = field(default_factory=lambda: Backoff(shortest=0.5, longest=60.0))


@dataclass(frozen=True)
class FollowRooms:
    """Brings items to where their rooms are by now; the items of a room that was deleted go with it. For one thread."""

    items: Items
    known: KnownRooms
    clock: Clock
    _resting: OrderedDict[str, Resting] = field(default_factory=OrderedDict, init=False)

    def __call__(self) -> int:
        """Answers how many rooms were looked at; those that could not be settled come again. Raises Unavailable.

        A room that fails in a way that nobody foresaw is logged, holds up no other, and comes again later and later.
        """
        now = self.clock.now()
        rooms = self.known.unsettled(ROOMS, [id for id, each in self._resting.items() if each.until > now])
        for each in rooms:
            try:
                if self._followed(each.room):
                    self.known.settle(each)
                    failpoint("items.settled")
            except Unavailable:
                raise
            except Exception:
                log.exception("items cannot follow their room", extra={"room_id": each.room.id})
                self._rest(each.room.id)
            else:
                self._resting.pop(each.room.id, None)
        return len(rooms)

    def _rest(self, id: str) -> None:
        now = self.clock.now()
        resting = self._resting.setdefault(id, Resting(now))
        resting.until = now + timedelta(seconds=resting.backoff.pause())
        self._resting.move_to_end(id)
        if len(self._resting) > RESTING:
            self._resting.popitem(last=False)

    def _followed(self, room: KnownRoom) -> bool:
        after, all_written = None, True
        while page := self.items.of_room(room.id, after, TOGETHER):
            failpoint("items.follow")
            all_written &= self._gone(page) if room.place is None else self._moved(page, room.place)
            failpoint("items.followed")
            after = page[-1].id
        return all_written

    def _moved(self, items: Sequence[Item], place: Place) -> bool:
        now = self.clock.now()
        # Not by their versions: one that was restored may tell of a later one than we have heard of.
        behind = [each for each in items if each.located is None or not each.located.says_the_same_as(place)]
        revised = [each.revised(each.given, place, now) for each in behind]
        return all(self.items.store([], revised)) if revised else True

    def _gone(self, items: Sequence[Item]) -> bool:
        gone = True
        for each in items:
            try:
                self.items.remove(each, self.clock.now())
            except Stale:
                gone = False
            except NotFound:
                pass
        return gone
