"""What is searched: documents, queries and their answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Literal, Self

from search.geo import Box, Circle
from search.text import Word

#: A heartbeat older than this no longer tells how fresh the index is; producers send one every 5 s.
FRESH = timedelta(seconds=15)
#: Entries of a facet that counts values, at most.
FACET_VALUES = 20

#: Characters that are kept of ids that someone else chose.
_FOREIGN_ID = 200

FacetName = Literal["provider", "city", "recurrency", "price"]
#: What an entry of the result is ordered by, then its id: what a cursor holds.
SortValues = tuple[float | int, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """The state of one room at `version`: the room as its own API shows it, or, once deleted, a tombstone without one.

    `trace_id` and `request_id` name the request that made this version; `event_id` and `event_time` (ISO 8601, UTC) its event, which
    was sent `attempts` times and handed to an indexer `deliveries` times, as far as is known; 0 where nothing is.
    """

    id: str
    version: int
    room: Mapping[str, Any] | None
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
        room: Mapping[str, Any] | None,
        *,
        traceparent: str,
        request_id: str,
        event_id: str,
        event_time: datetime | None,
        now: datetime,
        attempts: int = 0,
        deliveries: int = 0,
    ) -> Self:
        """The document of what rooms tell: `room` as an Avro datum, whose times become text, as the rooms API shows them."""
        shown = None
        if room is not None:
            shown = {name: iso(value) if isinstance(value, datetime) else value for name, value in room.items()}
        return cls(
            id=id,
            version=version,
            room=shown,
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
        return self.room is None

    @property
    def visible(self) -> bool:
        """Whether searches may show it."""
        return self.room is not None and self.room["is_visible"] is True


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What the rooms service keeps of one id: its newest version, and the write that made it, as far as it tells."""

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

    @property
    def name(self) -> str:
        return generation_name(self.number)


def generation_name(number: int) -> str:
    return f"rooms-g{number}"


@dataclass(frozen=True, slots=True)
class Range:
    """From `low` to `high`, both included; None is open."""

    low: float | None = None
    high: float | None = None

    def __bool__(self) -> bool:
        return self.low is not None or self.high is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """How much is in the index: rooms, the hidden among them, tombstones, and the sum of the versions of them all."""

    rooms: int
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What someone looks for. Filters that are empty do not filter; several values of one filter are alternatives.

    Every one of `words` must be answered by the name, the place or the description. Sort.DISTANCE needs `near`; Sort.RELEVANCE orders by
    nothing but the id where there are no words. A room of which nobody knows whether it is `furnished` is neither. `money` is the currency
    in which the price facet counts.
    """

    words: tuple[Word, ...] = ()
    price: Range = Range()
    monthly_price: Range = Range()
    property_size: Range = Range()
    currency: str | None = None
    providers: tuple[str, ...] = ()
    recurrencies: tuple[str, ...] = ()
    furnished: bool | None = None
    cities: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    near: Circle | None = None
    box: Box | None = None
    sort: Sort = Sort.NEWEST
    facets: tuple[FacetName, ...] = ()
    money: str = "EUR"
    limit: int = 20
    after: SortValues | None = None

    def on(self, market: Market) -> Self:
        """This query in one currency where it speaks of prices: amounts in two cannot be compared."""
        priced = self.price or self.monthly_price or self.sort in (Sort.PRICE, Sort.PRICE_DESCENDING)
        return replace(
            self, currency=self.currency or (market.currency if priced else None), money=self.currency or market.currency
        )

    def counted_by(self, facet: FacetName) -> Self:
        """The query whose matches `facet` counts: this one without the facet's own filter. Prices count in one currency."""
        match facet:
            case "provider":
                return replace(self, providers=())
            case "city":
                return replace(self, cities=())
            case "recurrency":
                return replace(self, recurrencies=())
            case "price":
                return replace(self, price=Range(), currency=self.currency or self.money)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A room that answers a query; `score` only when ordered by relevance."""

    id: str
    version: int
    score: float | None
    room: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Facet:
    """A value, and how many rooms have it."""

    value: str | int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A stretch of the answer: `total` counts all of it, `next` is where the rest begins, None at the end."""

    total: int
    hits: Sequence[Hit]
    facets: Mapping[FacetName, Sequence[Facet]] = field(default_factory=dict)
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
