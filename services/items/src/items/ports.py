"""What items need from the outside beside what all listings do."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterator, Mapping, Sequence

from common.listings.ports import Listings
from items.domain import Item, KnownRoom, Unsettled


class KnownRooms(ABC):
    """What the events of rooms, and answers of the rooms service, have told of them. Safe to share between threads.

    Per room the version decides, not the order in which it is told. Every method raises Unavailable.
    """

    @abstractmethod
    def of(self, ids: Collection[str]) -> dict[str, KnownRoom]:
        """Those that are known among these, deleted ones too."""

    @abstractmethod
    def learn(self, rooms: Sequence[KnownRoom]) -> None:
        """Durable on return. A room that says something else of its place than before is unsettled from now on."""

    @abstractmethod
    def correct(self, rooms: Sequence[tuple[KnownRoom, KnownRoom]]) -> None:
        """Puts, of each pair, the second in place of the first whatever the versions; nothing where another one is known by now.

        These rooms are unsettled from now on.
        """

    @abstractmethod
    def scan(self) -> Iterator[KnownRoom]:
        """All that are known, deleted ones too, ordered by id; in bounded memory, each as it is when it is read."""

    @abstractmethod
    def unsettled(self, limit: int, without: Collection[str] = ()) -> Sequence[Unsettled]:
        """Up to so many rooms, but for those `without`, whose items may not tell yet where they are, in no order: none waits
        behind one that changes, or fails, all the time."""

    @abstractmethod
    def count(self) -> tuple[int, int, int]:
        """How many live, how many were deleted, and how many of all are unsettled."""

    @abstractmethod
    def settle(self, room: Unsettled) -> None:
        """All items that this room had since it bore this mark tell where it is; nothing happens where it bears another one by now."""


class RoomsService(ABC):
    """The service that owns the rooms. Safe to share between threads."""

    @abstractmethod
    def ask(self, ids: Collection[str]) -> Mapping[str, KnownRoom]:
        """Those of these rooms that exist, or did. Raises Unavailable where it does not say."""

    @abstractmethod
    def trouble(self) -> str:
        """Why the last question got no answer, and when that was; empty where it got one, or nothing was asked yet. Asks nothing."""


class KeptRooms(ABC):
    """What the service that owns the rooms keeps of them. Any thread may use it."""

    @abstractmethod
    def __call__(self, ids: Collection[str] | None = None) -> Iterator[KnownRoom]:
        """All of it, or what is kept of these ids, deleted ones too, ordered by id; streamed.

        Raises Unavailable, before the first or later.
        """


class Items(Listings):
    """The listings of things. Rooms whose items are restored are unsettled from then on."""

    @abstractmethod
    def of_room(self, room_id: str, after: str | None, limit: int) -> Sequence[Item]:
        """The first `limit` living items of a room, hidden ones too, oldest first, behind the one with id `after`."""

    @abstractmethod
    def in_unknown_rooms(self, after: str | None, limit: int) -> Sequence[str]:
        """The ids of the first rooms behind this one, by id, of which nothing is known, but which living items name: restored ones."""
