"""What the use cases need from the outside."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from common.errors import NotFound
from common.messaging.topology import Queue
from search.domain import Contents, Document, Generation, Hit, Outcome, Page, Query, Written
from search.kinds import Kind
from search.text import Word


class Clock(ABC):
    """Tells the time; nothing but what people read depends on it."""

    @abstractmethod
    def now(self) -> datetime:
        """With time zone UTC."""


class Origin(ABC):
    """The service that owns the listings. Safe to share between threads."""

    @abstractmethod
    def written(self, id: str) -> Written:
        """The newest version under this id, a tombstone's too. Raises NotFound where there never was one, and Unavailable."""

    @abstractmethod
    def versions(self) -> int:
        """The sum of all versions, tombstones' too: it grows by one with every change. Raises Unavailable."""


class Index(ABC):
    """The documents of all listings of one kind, one per id, the highest version applied so far, tombstones included.

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
        """The visible listings that answer `query`.

        Equal documents and queries give equal matches, scores, totals, facets and orders in every adapter. Facets count under every
        filter but their own: values by falling count, then by their folded form, the 20 first, in their most frequent spelling; the
        price histogram has all its buckets, by lower bound.
        """

    @abstractmethod
    def holders(self, words: tuple[Word, ...], field: str, limit: int) -> Sequence[str]:
        """The values of `field`, one of Type.ID, among the visible listings that answer all words: so many, in the order of the best
        score of a listing that has them, then of the values. The same in every adapter.
        """

    @abstractmethod
    def held(self, words: tuple[Word, ...], field: str, values: Collection[str], each: int) -> Mapping[str, Sequence[Hit]]:
        """The best few visible listings that answer all words, by score, then id, for each of these values of `field` that has any."""

    def get(self, id: str) -> Document:
        """The document of this id, visible or not. Raises NotFound, also for a tombstone."""
        found = self.entry(id)
        if found.deleted:
            raise NotFound(id)
        return found

    @abstractmethod
    def entry(self, id: str) -> Document:
        """What was applied last under this id, a tombstone too, maybe before searches see it. Raises NotFound."""

    @abstractmethod
    def versions(self, ids: Collection[str]) -> Mapping[str, int]:
        """The version of each of these ids that a `search` which begins afterwards sees, tombstones and hidden listings included.

        Ids that are not there are left out.
        """

    @abstractmethod
    def scan(self) -> Iterator[tuple[str, int]]:
        """The id and the version of all there is, tombstones and hidden listings included, ordered by id; in bounded memory.

        As it was when the first was asked for.
        """

    @abstractmethod
    def count(self) -> int:
        """How many listings are indexed, visible or not, tombstones aside."""

    @abstractmethod
    def contents(self) -> Contents:
        """As a search would see them, that is of up to a second ago."""

    @abstractmethod
    def ping(self) -> None:
        """Raises Unavailable if the index does not answer within a second or two."""

    @abstractmethod
    def close(self) -> None:
        """Lets go of connections and locks."""


class Generations(ABC):
    """The generations of an index. The live one is what an Index searches and writes; it looks which that is each time.

    Any process may look at them; only one at a time may make, hold, swap or remove. Every method raises Unavailable when the index does
    not answer.
    """

    @abstractmethod
    def all(self) -> Sequence[Generation]:
        """By number. Raises WrongSetting where none is live: nobody made the index exist."""

    @abstractmethod
    def make(self) -> int:
        """The number of a new one, empty, which is higher than all others; the live one stays."""

    @abstractmethod
    def open(self, number: int) -> Index:
        """This generation, whether live or not, to be written beside whoever else writes to it. Its `ensure` does nothing."""

    @abstractmethod
    def mark(self) -> int:
        """What `hold` takes to know which documents the live generation had already."""

    @abstractmethod
    def hold(self, mark: int) -> AbstractContextManager[Iterable[tuple[str, int]]]:
        """Within the block nobody writes to the live generation: writers get Unavailable, and come again. Searches go on.

        Gives the id and the version of what has been written to it since `mark()`, and perhaps of more; nothing where nobody can
        read it. What was written before the block is durable and found. A process that dies in the block holds nobody up for longer
        than half a minute.
        """

    @abstractmethod
    def swap(self, number: int) -> None:
        """Makes this the live generation, in one step and for everybody, with all that was written to it being found.

        Only within `hold`; raises Unavailable, and nothing has changed, when that has been broken.
        """

    @abstractmethod
    def remove(self, number: int) -> None:
        """Takes one that is not live away. May be repeated."""

    @abstractmethod
    def tidy(self) -> None:
        """Undoes what a process that died has left half done."""


class Exports(ABC):
    """What a service keeps of its listings. Any thread may use it."""

    @abstractmethod
    def __call__(self, ids: Collection[str] | None = None) -> Iterator[Document]:
        """All of it, or what is kept of these ids, hidden listings and tombstones too, ordered by id; streamed.

        Each as it is when it is read, at the earliest when the first is asked for. Raises Unavailable, before the first or later.
        """


class Backlog(ABC):
    """The queue of a generation that is being built: a copy of each event, from `begin` on. One thread at a time may use it."""

    @abstractmethod
    def begin(self, number: int) -> None:
        """From now on what is published is kept for this generation. Raises Unavailable."""

    @abstractmethod
    def draining(self, number: int, into: Index) -> AbstractContextManager[None]:
        """Within the block what was kept is applied to `into`, by a thread of its own; what is under way at the end is kept."""

    @abstractmethod
    def waiting(self, number: int) -> int:
        """How many events wait to be applied, those in hand aside. Raises Unavailable."""

    @abstractmethod
    def end(self, number: int, *, forget: bool) -> None:
        """Keeps nothing any more, and leaves nothing behind. May be repeated, and where there was no beginning.

        Unless told to `forget` it hands what it kept over to the live index's own queue, and its dead letters to that one's,
        each durable there before it is gone here. Raises Unavailable.
        """


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """All that search has of one kind of listings, and where it has it from."""

    kind: Kind
    index: Index
    generations: Generations
    exports: Exports
    origin: Origin
    queue: Queue  # that feeds the index


class Corpora(dict[str, Corpus]):
    """By the kind's name."""

    def close(self) -> None:
        for corpus in self.values():
            corpus.index.close()
