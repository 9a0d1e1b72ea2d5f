"""One generation of the index inside this process, on Tantivy: one process writes, any may read; a commit per batch makes it durable."""

import logging
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from heapq import nsmallest
from pathlib import Path
from uuid import UUID

import orjson
import tantivy
from tantivy import DocAddress, IndexWriter, Order, Searcher

from common.errors import NotFound, Unavailable, WrongSetting
from common.failpoints import failpoint
from common.observability.metrics import BulkItems, Metrics
from search import domain
from search.adapters.tantivy_query import (
    FLAGS,
    FLOATS,
    INTEGERS,
    KEYWORDS,
    WORDS,
    Translator,
    aggregation,
    build_schema,
    counts,
    every,
)
from search.domain import Applied, Contents, Document, Hit, Outcome, Page, Refused, Sort, SortValues
from search.ports import Index
from search.projection import Fields, microseconds, moment, project

log = logging.getLogger(__name__)

NEIGHBOUR = "the index"
_HEAP = 60_000_000  # bytes for the writer's one thread
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1  # of an integer field
_SCANNED = 10_000  # documents that a scan looks at together
_ORDERED_BY = {Sort.NEWEST: ("created_at", True), Sort.PRICE: ("price", False), Sort.PRICE_DESCENDING: ("price", True)}

#: What a match is ordered by (falling orders negated), and where it lies; an entry has its id as a number between them.
_Hit = tuple[float, DocAddress]
_Entry = tuple[float, int, DocAddress]


class TantivyGeneration(Index):
    """Rooms in a folder. One process at a time may write: a second one is told so."""

    def __init__(self, folder: Path, items: BulkItems | None = None, *, make: bool = False) -> None:
        """With `make` the folder is made where there is none. Touches nothing yet."""
        self.folder, self._make = folder, make
        self._items = items or BulkItems(Metrics("search"))
        self._schema = build_schema()
        self._ask = Translator(self._schema)
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
            fields = project(each)
            if isinstance(fields, Refused):
                outcomes[position] = fields
            elif each.id not in newest or newest[each.id][0].version < each.version:
                newest[each.id] = each, fields
        with self._writing:
            self._write()  # nobody else writes between the look and the commit
            committed = self._versions(newest)
            changes = [(each, fields) for each, fields in newest.values() if each.version > committed.get(each.id, 0)]
            if changes:
                self._commit([("id", each.id, self._stored(each, fields)) for each, fields in changes])
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
        searcher = self._searcher()
        found = [searcher.doc(address) for _, address in searcher.search(self._ask.progress(), limit=100, count=False).hits]
        return {str(each["progress"][0]): moment(each["progress_as_of"][0]) for each in found}

    def search(self, query: domain.Query) -> Page:
        searcher = self._searcher()
        distances = self._distances(searcher, query)
        within = [] if query.near is None else [self._ask.within(query.near, distances)]
        everything = every([self._ask.matches(query), *within])
        total = _count(searcher, everything)
        entries = self._after(searcher, query, everything, distances)
        shown = entries[: query.limit]
        hits = [self._hit(searcher, query, entry) for entry in shown]
        following: SortValues | None = None
        if len(entries) > query.limit:
            key, id, _ = shown[-1]
            following = -key if _falling(query.sort) else key, str(UUID(int=id))
        facets = {}
        for facet in query.facets:
            counted = every([self._ask.matches(query.counted_by(facet)), *within])
            answer = searcher.aggregate(counted, {"counted": aggregation(facet)})
            facets[facet] = counts(facet, answer["counted"]["buckets"])
        return Page(total=total, hits=hits, facets=facets, next=following)

    def get(self, id: str) -> Document:
        document = self.entry(id)
        if document.deleted:
            raise NotFound(id)
        return document

    def entry(self, id: str) -> Document:
        searcher = self._searcher()
        found = searcher.search(self._ask.ids([id]), limit=1, count=False).hits
        if not found:
            raise NotFound(id)
        return self._read(searcher, found[0][1])

    def versions(self, ids: Collection[str]) -> Mapping[str, int]:
        return self._versions(ids)

    def scan(self) -> Iterator[tuple[str, int]]:
        searcher = self._searcher()
        start = 0
        while True:
            beyond = self._ask.numbered(start, None)
            first = searcher.search(beyond, limit=_SCANNED, count=False, order_by_field="id_high", order=Order.Asc).hits
            end = int(first[-1][0]) if len(first) == _SCANNED else None  # more may have this half of an id
            addresses = [address for high, address in first if high != end]
            if end is not None:
                addresses += _all(searcher, self._ask.numbered(end, end))
            versions = searcher.fast_field_values("version", addresses)
            for number, version in sorted(zip(_ids(searcher, addresses), versions, strict=True)):
                yield str(UUID(int=number)), int(version or 0)
            if end is None:
                return
            start = end + 1

    def count(self) -> int:
        return _count(self._searcher(), self._ask.live())

    def contents(self) -> Contents:
        searcher = self._searcher()
        rooms = _count(searcher, self._ask.live())
        summed = searcher.aggregate(tantivy.Query.all_query(), {"versions": {"sum": {"field": "version"}}})
        return Contents(
            rooms=rooms,
            hidden=rooms - _count(searcher, self._ask.visible()),
            tombstones=_count(searcher, self._ask.tombstones()),
            versions=round(summed["versions"]["value"] or 0),
        )

    def documents(self) -> int:
        """How many there are, tombstones too."""
        return _count(self._searcher(), self._ask.numbered(0, None))

    def ping(self) -> None:
        self._searcher()

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
                    raise WrongSetting("INDEX_URL", _unusable(self.folder, error)) from error
                if new:
                    log.info("made a new, empty index in %s: it will hold what is published from now on", self.folder)
            return self._opened

    def _searcher(self) -> Searcher:
        """A snapshot of what is committed, by whichever process."""
        index = self._index()
        try:
            index.reload()
            return index.searcher()
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

    def _versions(self, ids: Iterable[str]) -> dict[str, int]:
        wanted = list(ids)
        if not wanted:
            return {}
        searcher = self._searcher()
        addresses = [address for _, address in searcher.search(self._ask.ids(wanted), limit=len(wanted), count=False).hits]
        versions = searcher.fast_field_values("version", addresses)
        return {str(UUID(int=id)): int(version or 0) for id, version in zip(_ids(searcher, addresses), versions, strict=True)}

    def _stored(self, document: Document, fields: Fields | None) -> tantivy.Document:
        number = UUID(document.id).int
        stored = tantivy.Document()
        stored.add_text("id", document.id)
        stored.add_unsigned("id_high", number >> 64)
        stored.add_unsigned("id_low", number & (2**64 - 1))
        stored.add_integer("version", document.version)
        stored.add_boolean("deleted", document.deleted)
        stored.add_boolean("visible", fields is not None)
        stored.add_bytes("source", orjson.dumps(document))
        if fields is None:
            return stored
        stored.add_unsigned("cell", fields.point.cell)
        for names, add in (
            (WORDS + KEYWORDS, stored.add_text),
            (INTEGERS, stored.add_integer),
            (FLOATS, stored.add_float),
            (FLAGS, stored.add_boolean),
        ):
            for name in names:
                value = getattr(fields, name)
                if value is not None:
                    add(name, value)
        return stored

    # Reading

    def _distances(self, searcher: Searcher, query: domain.Query) -> Mapping[int, float]:
        """How far every cell in the box around the query's circle is from its centre; there are no geo types."""
        if query.near is None:
            return {}
        box = every([self._ask.matches(domain.Query(box=query.box)), self._ask.around(query.near)])
        cells = {int(cell or 0) for cell in searcher.fast_field_values("cell", _all(searcher, box))}
        return {cell: query.near.distance(cell) for cell in cells}

    def _after(
        self, searcher: Searcher, query: domain.Query, everything: tantivy.Query, distances: Mapping[int, float]
    ) -> list[_Entry]:
        """The entries behind the cursor, in order: one more than a page has, if there are as many."""
        match query.sort:
            case Sort.RELEVANCE:
                hits = self._by_score(searcher, query, everything)
            case Sort.DISTANCE:
                addresses = _all(searcher, everything)
                cells = searcher.fast_field_values("cell", addresses)
                hits = [(distances[int(cell or 0)], address) for cell, address in zip(cells, addresses, strict=True)]
            case _:
                hits = self._by_field(searcher, query, everything)
        ids = _ids(searcher, [address for _, address in hits])
        entries = [(key, id, address) for (key, address), id in zip(hits, ids, strict=True)]
        if query.after is not None:
            last = (_key(query), UUID(query.after[1]).int)
            entries = [entry for entry in entries if entry[:2] > last]
        return nsmallest(query.limit + 1, entries, key=lambda entry: entry[:2])

    def _by_field(self, searcher: Searcher, query: domain.Query, everything: tantivy.Query) -> list[_Hit]:
        """From the cursor's value to the value that ends the page: Tantivy orders by one field, ties are broken among these few."""
        field, falling = _ORDERED_BY[query.sort]
        start = None if query.after is None else int(query.after[0])
        wanted = query.limit + 1
        first: list[tuple[int, DocAddress]] = []
        if start != (_LOWEST if falling else _HIGHEST):  # nothing lies beyond those
            beyond = everything
            if start is not None:
                beyond = every([everything, self._ask.between(field, *((None, start - 1) if falling else (start + 1, None)))])
            order = Order.Desc if falling else Order.Asc
            first = searcher.search(beyond, limit=wanted, count=False, order_by_field=field, order=order).hits
        end = first[-1][0] if len(first) == wanted else None
        stretch = every([everything, self._ask.between(field, *((end, start) if falling else (start, end)))])
        addresses = _all(searcher, stretch)
        values = (value or 0 for value in searcher.fast_field_values(field, addresses))
        return [(-value if falling else value, address) for value, address in zip(values, addresses, strict=True)]

    def _by_score(self, searcher: Searcher, query: domain.Query, everything: tantivy.Query) -> list[_Hit]:
        """The same for scores, of which Tantivy gives all, the highest first."""
        hits = searcher.search(everything, limit=max(searcher.num_docs, 1), count=False).hits
        keys = [-score for score, _ in hits]
        first, beyond = (0, 0) if query.after is None else (bisect_left(keys, _key(query)), bisect_right(keys, _key(query)))
        last = beyond + query.limit
        end = bisect_right(keys, keys[last]) if last < len(keys) else len(keys)
        return [(keys[position], hits[position][1]) for position in range(first, end)]

    def _hit(self, searcher: Searcher, query: domain.Query, entry: _Entry) -> Hit:
        document = self._read(searcher, entry[2])
        score = -entry[0] if query.sort is Sort.RELEVANCE else None
        return Hit(id=document.id, version=document.version, score=score, room=document.room or {})

    def _read(self, searcher: Searcher, address: DocAddress) -> Document:
        return Document(**orjson.loads(bytes(searcher.doc(address)["source"][0])))


def _unusable(folder: Path, error: Exception) -> str:
    """What to do about an index that cannot be opened. Rooms that did not change are not published again when they are imported."""
    if _forbidden(error):
        return f"the index in {folder} cannot be opened: its folder or a file in it cannot be read and written by this user ({error})"
    if isinstance(error, OSError):
        return f"the index in {folder} cannot be opened: {error}"
    if "schema does not match" in str(error):  # a folder keeps the fields that it was made with
        return f"the index in {folder} was made by another release, with other fields: `search rebuild` makes the next one from the rooms"
    return (
        f"the index in {folder} cannot be opened, it is damaged ({error}): stop everything and restore the folder from a backup, "
        "or begin anew with an empty DATA_DIR (`make reset`) and import the rooms again"
    )


def _forbidden(error: Exception) -> bool:
    """Tantivy tells of the file system in words only."""
    return isinstance(error, PermissionError) or any(word in str(error) for word in ("PermissionDenied", "ReadOnlyFilesystem"))


def _count(searcher: Searcher, query: tantivy.Query) -> int:
    return searcher.search(query, limit=1).count or 0  # type: ignore[attr-defined]  # missing in their stub


def _all(searcher: Searcher, query: tantivy.Query) -> list[DocAddress]:
    return [address for _, address in searcher.search(query, limit=max(searcher.num_docs, 1), count=False).hits]


def _ids(searcher: Searcher, addresses: list[DocAddress]) -> Iterable[int]:
    columns = (searcher.fast_field_values(name, addresses) for name in ("id_high", "id_low"))
    return [int(high or 0) << 64 | int(low or 0) for high, low in zip(*columns, strict=True)]


def _key(query: domain.Query) -> float:
    """What the cursor's entry is ordered by."""
    key = 0 if query.after is None else query.after[0]
    return -key if _falling(query.sort) else key


def _falling(sort: Sort) -> bool:
    return sort in (Sort.RELEVANCE, Sort.NEWEST, Sort.PRICE_DESCENDING)
