"""What the use cases need from the outside."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from rooms.domain import Area, Coordinates, Room


class Clock(ABC):
    """Tells the time; nothing but what people read depends on it."""

    @abstractmethod
    def now(self) -> datetime:
        """With time zone UTC."""


class Areas(ABC):
    """Knows the world's places. Safe to share between threads; asks nobody."""

    @abstractmethod
    def locate(self, at: Coordinates) -> Area | None:
        """The area around these coordinates; None where there is none, as on the high seas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which rooms to list; None means all."""

    provider: str | None = None
    is_visible: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which event told a version, and the request and the trace that made it; each empty where nobody knows it any more."""

    event_id: str = ""
    request_id: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of one id: a room or, in its place, the time when it was deleted."""

    id: str
    version: int
    what: Room | datetime
    origin: Origin

    @property
    def room(self) -> Room | None:
        return self.what if isinstance(self.what, Room) else None

    @property
    def deleted_at(self) -> datetime | None:
        return None if isinstance(self.what, Room) else self.what

    @property
    def event(self) -> str:
        """The type of the event that told it."""
        return "RoomDeleted" if self.room is None else "RoomCreated" if self.version == 1 else "RoomUpdated"


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of something kept: `taken` where the living room `holder` has its url."""

    outcome: Literal["restored", "unchanged", "taken"]
    holder: str = ""


class Rooms(ABC):
    """The rooms, each written together with its event: both are durable when a method returns, or neither.

    Safe to share between threads. A method that raises has changed nothing, save Unavailable, after which both or neither may be there.
    Writes raise Unavailable while the outbox is full.
    """

    @abstractmethod
    def add(self, room: Room) -> None:
        """Raises Conflict if a living room has its url."""

    @abstractmethod
    def get(self, id: str) -> Room:
        """Raises NotFound, also for a deleted room."""

    @abstractmethod
    def put(self, room: Room) -> None:
        """Replaces version `room.version - 1`. Raises Stale if that is not the current one, NotFound, Conflict as `add`."""

    @abstractmethod
    def remove(self, room: Room, at: datetime) -> None:
        """Leaves a tombstone of version `room.version + 1`; the url is free again. Raises Stale, NotFound."""

    @abstractmethod
    def list(self, filter: Filter, after: str | None, limit: int) -> Sequence[Room]:
        """The first `limit` rooms, oldest first, behind the one with id `after`."""

    @abstractmethod
    def by_urls(self, urls: Sequence[str]) -> dict[str, Room]:
        """The living rooms among those that have one of these urls."""

    @abstractmethod
    def store(self, added: Sequence[Room], revised: Sequence[Room]) -> Sequence[bool]:
        """`add` and `put` for many, in one transaction; answers for each, `added` first, whether it was written.

        One that could not be written, as another has its url or changed it meanwhile, leaves the others alone. Those revised keep
        their url.
        """

    @abstractmethod
    def kept(self, ids: Collection[str] | None, after: str | None, limit: int) -> Sequence[Kept]:
        """The first `limit` of all that is kept, hidden rooms and tombstones too, ordered by id, behind the id `after`.

        Only those among `ids`, unless it is None.
        """

    @abstractmethod
    def restore(self, kept: Sequence[Kept]) -> Sequence[Restored]:
        """Puts these in the place of what is there in a lower version or not at all, in one transaction; answers for each.

        Each that was restored is told by its event, which is the one it came from where that is known. A living room's url is not
        taken from it, unless that room is replaced as well.
        """
