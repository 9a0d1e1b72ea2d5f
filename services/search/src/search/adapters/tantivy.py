"""One generation of the index inside this process, on Tantivy: one process writes, any may read; a commit per batch makes it durable."""

import logging
import threading
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import tantivy
from tantivy import IndexWriter

from common.errors import NotFound, Unavailable, WrongSetting
from common.failpoints import failpoint
from common.observability.metrics import BulkItems, Metrics
from search.adapters.tantivy_place import NEIGHBOUR
from search.adapters.tantivy_query import Translator
from search.adapters.tantivy_reader import Reader
from search.adapters.tantivy_schema import build_schema, stored
from search.domain import Applied, Contents, Document, Hit, Outcome, Page, Query, Refused
from search.kinds import Kind
from search.ports import Index
from search.projection import Fields, microseconds, moment, project
from search.text import Word

log = logging.getLogger(__name__)

_HEAP = 60_000_000  # bytes for the writer's one thread


class TantivyGeneration(Index):
    """Listings of one kind in a folder. One process at a time may write: a second one is told so."""

    def __init__(self, folder: Path, kind: Kind, items: BulkItems | None = None, *, make: bool = False) -> None:
        """With `make` the folder is made where there is none. Touches nothing yet."""
        self.folder, self._kind, self._make = folder, kind, make
        self._items = items or BulkItems(Metrics("search"), kind.name)
        self._schema = build_schema(kind)
        self._ask = Translator(kind, self._schema)
        self._opened: tantivy.Index | None = None
        self._writer: IndexWriter | None = None
        self._opening = threading.Lock()
        self._writing = threading.RLock()

    def ensure(self, *, writing: bool) -> None:
        self._index()
        if writing:
            with self._writing:
                try:
                    self._write()
                except Unavailable as error:
                    raise WrongSetting("INDEX_URL", f"{error.reason} ({self.folder})") from error

    def apply(self, documents: Sequence[Document]) -> Sequence[Outcome]:
        outcomes, written = self._apply(documents)
        refused = sum(isinstance(each, Refused) for each in outcomes)
        self._items.add({"applied": written, "stale": len(documents) - refused - written, "refused": refused})
        return outcomes

    def _apply(self, documents: Sequence[Document]) -> tuple[list[Outcome], int]:
        outcomes: list[Outcome] = [Applied()] * len(documents)
        newest: dict[str, tuple[Document, Fields | None]] = {}
        for position, each in enumerate(documents):
            fields = project(self._kind, each)
            if isinstance(fields, Refused):
                outcomes[position] = fields
            elif each.id not in newest or newest[each.id][0].version < each.version:
                newest[each.id] = each, fields
        with self._writing:
            self._write()  # nobody else writes between the look and the commit
            committed = self.versions(newest)
            changes = [(each, fields) for each, fields in newest.values() if each.version > committed.get(each.id, 0)]
            if changes:
                self._commit([("id", each.id, stored(self._kind, each, fields)) for each, fields in changes])
        return outcomes, len(changes)

    def record_progress(self, source: str, as_of: datetime) -> Outcome:
        at = microseconds(as_of)
        with self._writing:
            self._write()
            known = self.progress().get(source)
            if known is None or known < as_of:
                progress = tantivy.Document()
                progress.add_text("progress", source)
                progress.add_integer("progress_as_of", at)
                self._commit([("progress", source, progress)])
        return Applied()

    def progress(self) -> Mapping[str, datetime]:
        searcher = self._read().searcher
        found = [searcher.doc(address) for _, address in searcher.search(self._ask.progress(), limit=100, count=False).hits]
        return {str(each["progress"][0]): moment(each["progress_as_of"][0]) for each in found}

    def search(self, query: Query) -> Page:
        return self._read().page(query)

    def holders(self, words: tuple[Word, ...], field: str, limit: int) -> Sequence[str]:
        return self._read().holders(words, field, limit)

    def held(self, words: tuple[Word, ...], field: str, values: Collection[str], each: int) -> Mapping[str, Sequence[Hit]]:
        return self._read().held(words, field, values, each)

    def entry(self, id: str) -> Document:
        reader = self._read()
        found = reader.searcher.search(self._ask.ids([id]), limit=1, count=False).hits
        if not found:
            raise NotFound(id)
        return reader.document(found[0][1])

    def versions(self, ids: Collection[str]) -> Mapping[str, int]:
        return self._read().versions(list(ids))

    def scan(self) -> Iterator[tuple[str, int]]:
        return self._read().scan()

    def count(self) -> int:
        return self._read().count(self._ask.live())

    def contents(self) -> Contents:
        reader = self._read()
        living = reader.count(self._ask.live())
        summed = reader.searcher.aggregate(tantivy.Query.all_query(), {"versions": {"sum": {"field": "version"}}})
        return Contents(
            living=living,
            hidden=living - reader.count(self._ask.visible()),
            tombstones=reader.count(self._ask.tombstones()),
            versions=round(summed["versions"]["value"] or 0),
        )

    def documents(self) -> int:
        """How many there are, tombstones too."""
        return self._read().count(self._ask.numbered(0, None))

    def ping(self) -> None:
        self._read()

    def close(self) -> None:
        with self._writing:
            writer, self._writer = self._writer, None
            if writer is not None:
                writer.wait_merging_threads()  # also lets go of the lock

    # Opening

    def _index(self) -> tantivy.Index:
        with self._opening:
            if self._opened is None:
                try:
                    if self._make:
                        self.folder.mkdir(parents=True, exist_ok=True)
                    new = not (self.folder / "meta.json").exists()
                    self._opened = tantivy.Index(self._schema, str(self.folder))
                except (ValueError, OSError) as error:
                    raise WrongSetting("INDEX_URL", _unusable(self.folder, self._kind, error)) from error
                if new:
                    log.info("made a new, empty index in %s: it will hold what is published from now on", self.folder)
            return self._opened

    def _read(self) -> Reader:
        """A snapshot of what is committed, by whichever process."""
        index = self._index()
        try:
            index.reload()
            return Reader(self._kind, self._ask, index.searcher())
        except (ValueError, OSError) as error:
            raise Unavailable(NEIGHBOUR, str(error)) from error

    # Writing, with the lock held

    def _write(self) -> IndexWriter:
        if self._writer is None:
            try:
                writer = self._index().writer(heap_size=_HEAP, num_threads=1)
                # Tantivy 0.27 gives a new writer's first operation the number of the last commit, and takes a segment with
                # deletions of that number for up to date: were the segment merged now, that operation would be lost on it, and a
                # room be found in two versions for ever. So the first one deletes nothing.
                writer.delete_documents_by_term("id", "")
                self._writer = writer
            except (ValueError, OSError) as error:
                reason = "another process writes to it" if "LockBusy" in str(error) else str(error)
                if _forbidden(error):
                    reason = f"it cannot be written by this user: {error}"
                raise Unavailable(NEIGHBOUR, reason) from error
        return self._writer

    def _commit(self, documents: Iterable[tuple[str, str, tantivy.Document]]) -> None:
        """Makes these durable, each (field, value, document) in the place of what has that value in that field."""
        writer, self._writer = self._write(), None  # should it fail, what was added and not committed goes with the writer
        try:
            for field, value, each in documents:
                writer.delete_documents_by_term(field, value)
                writer.add_document(each)
            failpoint("index.commit")
            writer.commit()
            failpoint("index.committed")
        except (ValueError, OSError) as error:
            raise Unavailable(NEIGHBOUR, f"cannot commit: {error}") from error
        self._writer = writer


def _unusable(folder: Path, kind: Kind, error: Exception) -> str:
    """What to do about an index that cannot be opened. What did not change is not published again when it is imported."""
    if _forbidden(error):
        return f"the index in {folder} cannot be opened: its folder or a file in it cannot be read and written by this user ({error})"
    if isinstance(error, OSError):
        return f"the index in {folder} cannot be opened: {error}"
    if "schema does not match" in str(error):  # a folder keeps the fields that it was made with
        return f"the index in {folder} was made by another release, with other fields: `search rebuild {kind}` makes the next one"
    return (
        f"the index in {folder} cannot be opened, it is damaged ({error}): stop everything and restore the folder from a backup, "
        f"or begin anew with an empty DATA_DIR (`make reset`) and import the {kind} again"
    )


def _forbidden(error: Exception) -> bool:
    """Tantivy tells of the file system in words only."""
    return isinstance(error, PermissionError) or any(word in str(error) for word in ("PermissionDenied", "ReadOnlyFilesystem"))
