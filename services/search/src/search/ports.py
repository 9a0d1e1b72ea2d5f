"""What the use cases need from the outside."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from datetime import datetime

from search.domain import Contents, Document, Outcome, Page, Query, Written


class Clock(ABC):
    """Tells the time; nothing but what people read depends on it."""

    @abstractmethod
    def now(self) -> datetime:
        """With time zone UTC."""


class Origin(ABC):
    """The service that owns the rooms. Safe to share between threads."""

    @abstractmethod
    def written(self, id: str) -> Written:
        """The newest version under this id, a tombstone's too. Raises NotFound where there never was one, and Unavailable."""


class Index(ABC):
    """The documents of all rooms, one per id, the highest version applied so far, tombstones included.

    Safe to share between threads, and more than one process may read; whether more than one may write is the adapter's to say. Nothing here
    depends on the order in which documents arrive: per id the version decides. Every method but `close` raises Unavailable when the index
    does not answer, and has then changed nothing, or any part of what it was asked to: ask again.
    """

    @abstractmethod
    def ensure(self, *, writing: bool) -> None:
        """Makes the index exist, empty if it did not; any number of processes may do so at once, again and again.

        With `writing` it also takes what a writer needs to hold. Raises WrongSetting where something is in the way that waiting
        does not cure.
        """

    @abstractmethod
    def apply(self, documents: Sequence[Document]) -> Sequence[Outcome]:
        """One outcome per document, in order. Applied: it, or one at least as new, is durable, and found within a second.

        Refused: it can never be indexed; its neighbours are not affected. A document is never replaced by one of an equal or lower version.
        """

    @abstractmethod
    def record_progress(self, source: str, as_of: datetime) -> Outcome:
        """Notes that everything `source` published before `as_of` has been applied. Going back in time is ignored.

        Applied: durable on return. Refused: never possible, as with times before 1970.
        """

    @abstractmethod
    def progress(self) -> Mapping[str, datetime]:
        """The newest `as_of` by source, as of up to a second ago. What it promises, a `search` that begins afterwards finds."""

    @abstractmethod
    def search(self, query: Query) -> Page:
        """The visible rooms that answer `query`.

        Equal documents and queries give equal matches, scores, totals, facets and orders in every adapter. Facets count under every
        filter but their own: values by falling count, then by their folded form, the 20 first, in their most frequent spelling; the
        price histogram has all its buckets, by lower bound.
        """

    @abstractmethod
    def get(self, id: str) -> Document:
        """The document of this id, visible or not. Raises NotFound, also for a tombstone."""

    @abstractmethod
    def entry(self, id: str) -> Document:
        """What was applied last under this id, a tombstone too, maybe before searches see it. Raises NotFound."""

    @abstractmethod
    def versions(self, ids: Sequence[str]) -> Mapping[str, int]:
        """The version of each of these ids that a `search` which begins afterwards sees, tombstones and hidden rooms included.

        Ids that are not there are left out.
        """

    @abstractmethod
    def count(self) -> int:
        """How many rooms are indexed, visible or not, tombstones aside."""

    @abstractmethod
    def contents(self) -> Contents:
        """As a search would see them, that is of up to a second ago."""

    @abstractmethod
    def ping(self) -> None:
        """Raises Unavailable if the index does not answer within a second or two."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of connections and locks."""
