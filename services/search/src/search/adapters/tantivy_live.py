"""The live generation of the index on Tantivy: a file names its folder, and every call looks which that is.

Who writes a batch has a lock meanwhile, so that a swap or a guest comes between two batches; and who wrote last closes its writer after
a moment, because Tantivy's own lock goes with the writer, and opening one takes milliseconds.
"""

import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TypeVar

from common.errors import Unavailable, WrongSetting
from common.observability.metrics import BulkItems, Metrics
from search.adapters.tantivy import TantivyGeneration
from search.adapters.tantivy_place import NEIGHBOUR, Place
from search.domain import Contents, Document, Hit, Outcome, Page, Query
from search.kinds import Kind
from search.ports import Index
from search.text import Word

T = TypeVar("T")

#: Seconds after which a writer that has nothing to do is closed.
IDLE = 0.5


class TantivyIndex(Index):
    """Listings of one kind in a folder of generations. One process at a time may be the one that writes: a second one is told so."""

    def __init__(self, url: str, kind: Kind, items: BulkItems | None = None) -> None:
        """`url` is `tantivy:///relative/folder` or `tantivy:////absolute/folder`. Touches nothing yet."""
        self._kind, self._place = kind, Place.of(url, kind)
        self._items = items or BulkItems(Metrics("search"), kind.name)
        self._current: TantivyGeneration | None = None
        self._opening, self._writing = threading.Lock(), threading.RLock()
        self._office = self._place.office()  # ours for as long as we are the process that writes
        self._in_office = False
        self._written_at = 0.0
        self._rest: threading.Timer | None = None

    def ensure(self, *, writing: bool) -> None:
        folder = self._place.generation(self._place.live() or 1)
        if not folder.exists():
            TantivyGeneration(folder, self._kind, make=True).ensure(writing=False)
        self._reading(lambda live: live.ensure(writing=False))
        if writing:
            try:
                with self._batch() as live:
                    live.ensure(writing=True)
            except Unavailable as error:
                raise WrongSetting("INDEX_URL", f"{error.reason} ({self._live().folder})") from error

    def apply(self, documents: Sequence[Document]) -> Sequence[Outcome]:
        try:
            with self._batch() as live:
                return live.apply(documents)
        except Unavailable:
            self._items.add({"retried": len(documents)})
            raise

    def record_progress(self, source: str, as_of: datetime) -> Outcome:
        with self._batch() as live:
            return live.record_progress(source, as_of)

    def progress(self) -> Mapping[str, datetime]:
        return self._reading(lambda live: live.progress())

    def search(self, query: Query) -> Page:
        return self._reading(lambda live: live.search(query))

    def holders(self, words: tuple[Word, ...], field: str, limit: int) -> Sequence[str]:
        return self._reading(lambda live: live.holders(words, field, limit))

    def held(self, words: tuple[Word, ...], field: str, values: Collection[str], each: int) -> Mapping[str, Sequence[Hit]]:
        return self._reading(lambda live: live.held(words, field, values, each))

    def entry(self, id: str) -> Document:
        return self._reading(lambda live: live.entry(id))

    def versions(self, ids: Collection[str]) -> Mapping[str, int]:
        return self._reading(lambda live: live.versions(ids))

    def scan(self) -> Iterator[tuple[str, int]]:
        return self._live().scan()

    def contents(self) -> Contents:
        return self._reading(lambda live: live.contents())

    def count(self) -> int:
        return self._reading(lambda live: live.count())

    def ping(self) -> None:
        self._reading(lambda live: live.ping())

    def close(self) -> None:
        with self._writing:
            if self._rest is not None:
                self._rest.cancel()
                self._rest = None
            if self._current is not None:
                self._current.close()
            self._office.free()
            self._in_office = False

    def _live(self) -> TantivyGeneration:
        with self._opening:
            number = self._place.live()
            folder = self._place.generation(number or 1)
            former = self._current
            if former is None or former.folder != folder:
                self._current = TantivyGeneration(folder, self._kind, self._items, make=number is None)
            else:
                former = None
            live = self._current
        if former is not None:
            former.close()
        return live  # type: ignore[return-value]

    def _reading(self, step: Callable[[TantivyGeneration], T]) -> T:
        """Again where the generation was replaced, and perhaps removed, just then."""
        while True:
            live = self._live()
            try:
                return step(live)
            except (Unavailable, WrongSetting):
                if self._live() is live:
                    raise

    @contextmanager
    def _batch(self) -> Iterator[TantivyGeneration]:
        """The live generation, which stays that as long as the block lasts."""
        with self._writing:
            lock = self._place.writing()
            try:
                self._in_office = self._in_office or self._office.take()
                if not self._in_office:
                    raise Unavailable(NEIGHBOUR, "another process writes to it")
                if not lock.take():
                    raise Unavailable(NEIGHBOUR, "its writers are held for a moment")
            except OSError as error:
                raise Unavailable(NEIGHBOUR, f"it cannot be written by this user: {error}") from error
            try:
                yield self._live()
            finally:
                lock.free()
                self._written_at = time.monotonic()
                self._rest_after(IDLE)

    def _rest_after(self, seconds: float) -> None:
        if self._rest is None:
            self._rest = threading.Timer(seconds, self._close_idle)
            self._rest.daemon = True
            self._rest.start()

    def _close_idle(self) -> None:
        with self._writing:
            if self._rest is None:
                return
            self._rest = None
            left = self._written_at + IDLE - time.monotonic()
            if left > 0:
                self._rest_after(left)
            elif self._current is not None:
                self._current.close()
