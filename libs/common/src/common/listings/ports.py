"""What the use cases of all kinds of listings need from the outside."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from common.errors import AtriumError, Invalid
from common.listings.domain import Aggregate, Given, Located


class Clock(ABC):
    """Tells the time; nothing but what people read depends on it."""

    @abstractmethod
    def now(self) -> datetime:
        """With time zone UTC."""


class SystemClock(Clock):
    def now(self) -> datetime:
        return datetime.now(UTC)


class Locator(ABC):
    """Finds out where listings are. Safe to share between threads."""

    @abstractmethod
    def locate(self, given: Sequence[Given]) -> Sequence[Located | Invalid | None]:
        """For each where it is, None where it is nowhere in particular, or why it cannot be where it says. Raises Unavailable."""

    def stays(self, before: Given, after: Given) -> bool:
        """Whether a listing that was located is still there when `after` takes the place of `before`: nobody needs to ask again."""
        return False


class NoLocator(Locator):
    """Of kinds that are nowhere in particular."""

    def locate(self, given: Sequence[Given]) -> Sequence[None]:
        return [None] * len(given)


#: Which listings to list: the values of these fields.
Filter = Mapping[str, str | bool]


class Overtaken(AtriumError):
    """What this was decided on has changed meanwhile; decide anew."""


@dataclass(frozen=True, slots=True)
class Once:
    """A client's word that a creation which it sends again is still the same one: hashes of its key, and of what it sends."""

    key: bytes
    body: bytes

    @classmethod
    def of(cls, *scope: str, sent: bytes) -> "Once":
        """`scope` is whose key it is, what it is to create, and the key itself."""
        return cls(hashlib.sha256("\n".join(scope).encode()).digest(), hashlib.sha256(sent).digest())


@dataclass(eq=False)
class Repeated(AtriumError):
    """This was created before; `answer` is what was answered then."""

    answer: dict[str, Any]


@dataclass(eq=False)
class KeyReused(AtriumError):
    """This idempotency key came with another body before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Which event told a version, and the request and the trace that made it; each empty where nobody knows it any more."""

    event_id: str = ""
    request_id: str = ""
    traceparent: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What is kept of one id: a listing or, in its place, the time when it was deleted. `owner` is the listing's."""

    id: str
    version: int
    what: Aggregate | datetime
    origin: Origin

    @property
    def listing(self) -> Aggregate | None:
        return self.what if isinstance(self.what, Aggregate) else None

    @property
    def deleted_at(self) -> datetime | None:
        return None if isinstance(self.what, Aggregate) else self.what

    @property
    def event(self) -> str:
        """What happened last: `Created`, `Updated` or `Deleted`."""
        return "Deleted" if self.listing is None else "Created" if self.version == 1 else "Updated"


@dataclass(frozen=True, slots=True)
class Restored:
    """What became of something kept: `taken` where the living listing `holder` has its url."""

    outcome: Literal["restored", "unchanged", "taken"]
    holder: str = ""


@dataclass(frozen=True, slots=True)
class Summary:
    """How much there is. The sum of all versions, tombstones included, grows by one with every change."""

    living: int
    tombstones: int
    versions: int


class Listings(ABC):
    """The listings, each written together with its event: both are durable when a method returns, or neither.

    Safe to share between threads. A method that raises has changed nothing, save Unavailable, after which both or neither may be there.
    Writes raise Unavailable while the outbox is full, and Overtaken where a listing is no longer where it was located.
    """

    @abstractmethod
    def add(self, listing: Aggregate, once: Once | None = None) -> None:
        """Raises Repeated or KeyReused where `once` is known, else Conflict if a living listing has its url."""

    @abstractmethod
    def recall(self, once: Once) -> None:
        """Raises Repeated or KeyReused where `once` is known, and does nothing else."""

    @abstractmethod
    def created(self, by: Collection[Once]) -> Mapping[bytes, tuple[bytes, str]]:
        """By the key of those that are known: the body that it came with, and the id of what was created."""

    @abstractmethod
    def get(self, id: str) -> Aggregate:
        """Raises NotFound, also for a deleted listing."""

    @abstractmethod
    def put(self, listing: Aggregate) -> None:
        """Replaces version `listing.version - 1`. Raises Stale if that is not the current one, NotFound, Conflict as `add`."""

    @abstractmethod
    def remove(self, listing: Aggregate, at: datetime) -> None:
        """Leaves a tombstone of version `listing.version + 1`; the url is free again. Raises Stale, NotFound."""

    @abstractmethod
    def list(self, filter: Filter, after: str | None, limit: int, viewer: str | None = None) -> Sequence[Aggregate]:
        """The first `limit` listings, oldest first, behind the one with id `after`.

        Those that `viewer` may see, which are the visible ones and its own; all of them where it is None.
        """

    @abstractmethod
    def by_urls(self, urls: Sequence[str]) -> dict[str, Aggregate]:
        """The living listings among those that have one of these urls."""

    @abstractmethod
    def summary(self) -> Summary:
        """As of one moment. Looks at every row."""

    @abstractmethod
    def store(
        self, added: Sequence[Aggregate], revised: Sequence[Aggregate], once: Mapping[str, Once] | None = None
    ) -> Sequence[bool]:
        """`add` and `put` for many, in one transaction; answers for each, `added` first, whether it was written.

        One that could not be written, as another has its url or changed it meanwhile, or as it is not where it was located any more,
        leaves the others alone. Those revised keep their url. `once` is by id; where one of them has become known, nothing is written.
        """

    @abstractmethod
    def kept(self, ids: Collection[str] | None, after: str | None, limit: int) -> Sequence[Kept]:
        """The first `limit` of all that is kept, hidden listings and tombstones too, ordered by id, behind the id `after`.

        Only those among `ids`, unless it is None.
        """

    @abstractmethod
    def restore(self, kept: Sequence[Kept]) -> Sequence[Restored]:
        """Puts these in the place of what is there in a lower version or not at all, in one transaction; answers for each.

        Each that was restored is told by its event, which is the one it came from where that is known. A living listing's url is not
        taken from it, unless that listing is replaced as well.
        """

    @abstractmethod
    def forget_keys(self, before: datetime) -> int:
        """Forgets the keys of what was added `once` before that time; answers how many those were."""
