"""What the use cases need from the outside."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

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
    furnished: bool | None = None


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
