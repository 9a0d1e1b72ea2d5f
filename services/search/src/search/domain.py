"""What is searched: documents, queries and their answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Self

from search.geo import Box, Circle
from search.text import Word

#: A heartbeat older than this no longer tells how fresh the index is; producers send one every 5 s.
FRESH = timedelta(seconds=15)
#: Entries of a facet that counts values, at most.
FACET_VALUES = 20

#: Characters that are kept of ids that someone else chose.
_FOREIGN_ID = 200

#: What an entry of the result is ordered by, then its id: what a cursor holds.
SortValues = tuple[float | int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The state of one listing at `version`: the listing as its own API shows it, or, once deleted, a tombstone without one.

    `trace_id` and `request_id` name the request that made this version; `event_id` and `event_time` (ISO 8601, UTC) its event, which
    was sent `attempts` times and handed to an indexer `deliveries` times, as far as is known; 0 where nothing is.
    """

    id: str
    version: int
    listing: Mapping[str, Any] | None
    trace_id: str = ""
    request_id: str = ""
    event_id: str = ""
    event_time: str = ""
    attempts: int = 0
    deliveries: int = 0
    indexed_at: str = ""  # ISO 8601, UTC

    @classmethod
    def of(
        cls,
        id: str,
        version: int,
        listing: Mapping[str, Any] | None,
        *,
        traceparent: str,
        request_id: str,
        event_id: str,
        event_time: datetime | None,
        now: datetime,
        attempts: int = 0,
        deliveries: int = 0,
    ) -> Self:
        """The document of what a service tells: `listing` as an Avro datum, whose times become text, as its API shows them."""
        shown = None
        if listing is not None:
            shown = {name: iso(value) if isinstance(value, datetime) else value for name, value in listing.items()}
        return cls(
            id=id,
            version=version,
            listing=shown,
            trace_id=traceparent[3:35],  # 00-<trace id>-<span id>-<flags>
            request_id=request_id[:_FOREIGN_ID],
            event_id=event_id[:_FOREIGN_ID],
            event_time="" if event_time is None else iso(event_time),
            attempts=attempts,
            deliveries=deliveries,
            indexed_at=iso(now),
        )

    @property
    def deleted(self) -> bool:
        return self.listing is None

    @property
    def visible(self) -> bool:
        """Whether searches may show it: it, and the room that it is in."""
        listing = self.listing
        if listing is None or listing["is_visible"] is not True:
            return False
        room = listing.get("room")
        return room is None or room["is_visible"] is True


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What a service keeps of one id: its newest version, and the write that made it, as far as it tells."""

    version: int
    deleted: bool
    at: datetime | None = None
    event_id: str = ""
    request_id: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Applied:
    """The document, or one at least as new, is durable in the index."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The document can never be indexed: `reason` a short stable word, `detail` a sentence for people."""

    reason: str
    detail: str


Outcome = Applied | Refused


@dataclass(frozen=True, slots=True)
class Generation:
    """One of the whole sets of documents that are the index; `documents` counts tombstones too."""

    number: int
    live: bool
    documents: int


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included; None is open."""

    low: float | None = None
    high: float | None = None

    def __bool__(self) -> bool:
        return self.low is not None or self.high is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """How much is in the index: living listings, the hidden among them, tombstones, and the sum of the versions of them all."""

    living: int
    hidden: int
    tombstones: int
    versions: int


class Sort(StrEnum):
    """The order of hits. Those equal in it are ordered by id."""

    RELEVANCE = "relevance"
    NEWEST = "newest"
    PRICE = "price"
    PRICE_DESCENDING = "-price"
    DISTANCE = "distance"


@dataclass(frozen=True, slots=True)
class Market:
    """What a deployment assumes where a query is silent: the currency (ISO 4217) of its prices."""

    currency: str


#: What a field is compared with: a range, texts of which it must have one, or whether it holds.
Filter = Range | tuple[str, ...] | bool

#: The fields that are amounts of money, in every kind that has them.
_AMOUNTS = frozenset({"price", "monthly_price"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What someone looks for. `filters` are by field of the kind; a listing without a value in one matches no filter of it.

    Every one of `words` must be answered by one of the kind's fields of words, or the listing be one of `holding`: the ids of those that
    are known to hold something that answers. Sort.DISTANCE needs `near`; Sort.RELEVANCE orders by nothing but the id where there are no
    words; orders by price need a `currency` (`on`). `money` is the currency in which the price facet counts. `facets` are fields.
    """

    words: tuple[Word, ...] = ()
    holding: tuple[str, ...] = ()
    filters: Mapping[str, Filter] = field(default_factory=dict)
    currency: str | None = None
    near: Circle | None = None
    box: Box | None = None
    sort: Sort = Sort.NEWEST
    facets: tuple[str, ...] = ()
    money: str = "EUR"
    limit: int = 20
    after: SortValues | None = None

    def on(self, market: Market) -> Self:
        """This query in one currency where it speaks of prices: amounts in two cannot be compared."""
        priced = _AMOUNTS & self.filters.keys() or self.sort in (Sort.PRICE, Sort.PRICE_DESCENDING)
        return replace(
            self, currency=self.currency or (market.currency if priced else None), money=self.currency or market.currency
        )

    def without(self, facet: str) -> Self:
        """Without the facet's own filter."""
        return replace(self, filters={name: each for name, each in self.filters.items() if name != facet})

    def counted_by(self, facet: str) -> Self:
        """The query whose matches `facet` counts: this one without the facet's own filter. Prices count in one currency."""
        counted = self.without(facet)
        return replace(counted, currency=self.currency or self.money) if facet in _AMOUNTS else counted


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A listing that answers a query; `score` only when ordered by relevance."""

    id: str
    version: int
    score: float | None
    listing: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Facet:
    """A value, and how many listings have it."""

    value: str | int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A stretch of the answer: `total` counts all of it, `next` is where the rest begins, None at the end."""

    total: int
    hits: Sequence[Hit]
    facets: Mapping[str, Sequence[Facet]] = field(default_factory=dict)
    next: SortValues | None = None


@dataclass(frozen=True, slots=True)
class Freshness:
    """Every change published before `as_of` is found; `lag_seconds` is how long ago that was, None where nobody can say."""

    as_of: datetime | None
    lag_seconds: float | None

    @property
    def stale(self) -> bool:
        return self.lag_seconds is None

    @classmethod
    def at(cls, progress: Mapping[str, datetime], now: datetime) -> Self:
        """From the newest heartbeat of each producer: the index is as fresh as its slowest source, and never fresher than now."""
        as_of = min((*progress.values(), now)) if progress else None
        if as_of is None or now - as_of > FRESH:
            return cls(as_of, None)
        return cls(as_of, round((now - as_of).total_seconds(), 3))


def iso(at: datetime) -> str:
    """ISO 8601 in UTC, as all our APIs write times."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


def price_bucket(price: int) -> int:
    """The lower bound of the bucket of the price histogram in which `price` counts.

    Buckets are half a leading digit wide (… 90, 95, 100, 150, 200 … 950, 1,000, 1,500 …), so that a few dozen cover any price, and their
    bounds depend on nothing but the price: two answers can be compared, and the engines agree.
    """
    if price < 10:
        return max(price, 0)
    half = int("5" + "0" * (len(str(price)) - 2))
    return price // half * half
