"""What is read from one snapshot of a Tantivy folder: pages in each order, facets, what holds an answer."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from uuid import UUID

import tantivy
from tantivy import DocAddress, Order, Searcher

from search import domain
from search.adapters.tantivy_query import Translator, aggregation, counts, every
from search.adapters.tantivy_schema import document
from search.domain import Document, Facet, Hit, Page, Sort, SortValues
from search.kinds import Kind
from search.text import Word

_LOWEST, _HIGHEST = -(2**63), 2**63 - 1  # of an integer field
_SCANNED = 10_000  # documents that a scan looks at together
_ORDERED_BY = {Sort.NEWEST: ("created_at", True), Sort.PRICE: ("price", False), Sort.PRICE_DESCENDING: ("price", True)}

#: What a match is ordered by (falling orders negated), and where it lies; an entry has its id as a number between them.
_Hit = tuple[float, DocAddress]
_Entry = tuple[float, int, DocAddress]


@dataclass(frozen=True, slots=True)
class Reader:
    kind: Kind
    ask: Translator
    searcher: Searcher

    def page(self, query: domain.Query) -> Page:
        distances = self._distances(query)
        within = [] if query.near is None else [self.ask.within(query.near, distances)]
        everything = every([self.ask.matches(query), *within])
        entries = self._after(query, everything, distances)
        shown = entries[: query.limit]
        following: SortValues | None = None
        if len(entries) > query.limit:
            key, id, _ = shown[-1]
            following = -key if _falling(query.sort) else key, str(UUID(int=id))
        return Page(
            total=self.count(everything),
            hits=[self._hit(address, -key if query.sort is Sort.RELEVANCE else None) for key, _, address in shown],
            facets={facet: self._facet(query.counted_by(facet), facet, within) for facet in query.facets},
            next=following,
        )

    def holders(self, words: tuple[Word, ...], field: str, limit: int) -> list[str]:
        best: dict[str, float] = {}
        for value, score, _ in self._held(domain.Query(words=words), field):
            best[value] = max(score, best.get(value, 0.0))
        return nsmallest(limit, best, key=lambda value: (-best[value], value))

    def held(self, words: tuple[Word, ...], field: str, values: Collection[str], each: int) -> dict[str, list[Hit]]:
        found: dict[str, list[_Hit]] = {}
        for value, score, address in self._held(domain.Query(words=words, filters={field: tuple(values)}), field):
            found.setdefault(value, []).append((-score, address))
        return {
            value: [self._hit(address, -key) for key, _, address in nsmallest(each, self._entries(hits), key=_place)]
            for value, hits in found.items()
        }

    def document(self, address: DocAddress) -> Document:
        return document(self.kind, self.searcher.doc(address))

    def versions(self, ids: Sequence[str]) -> dict[str, int]:
        hits = self.searcher.search(self.ask.ids(ids), limit=len(ids), count=False).hits if ids else []
        addresses = [address for _, address in hits]
        versions = self.searcher.fast_field_values("version", addresses)
        return {str(UUID(int=id)): int(version or 0) for id, version in zip(self._ids(addresses), versions, strict=True)}

    def scan(self) -> Iterator[tuple[str, int]]:
        start = 0
        while True:
            beyond = self.ask.numbered(start, None)
            first = self.searcher.search(beyond, limit=_SCANNED, count=False, order_by_field="id_high", order=Order.Asc).hits
            end = int(first[-1][0]) if len(first) == _SCANNED else None  # more may have this half of an id
            addresses = [address for high, address in first if high != end]
            if end is not None:
                addresses += self._all(self.ask.numbered(end, end))
            versions = self.searcher.fast_field_values("version", addresses)
            for number, version in sorted(zip(self._ids(addresses), versions, strict=True)):
                yield str(UUID(int=number)), int(version or 0)
            if end is None:
                return
            start = end + 1

    def count(self, query: tantivy.Query) -> int:
        return self.searcher.search(query, limit=1).count or 0  # type: ignore[attr-defined]  # missing in their stub

    def _facet(self, query: domain.Query, facet: str, within: Sequence[tantivy.Query]) -> list[Facet]:
        type = self.kind.fields[facet]
        counted = every([self.ask.matches(query), *within])
        answer = self.searcher.aggregate(counted, {"counted": aggregation(type, facet)})
        return counts(type, answer["counted"]["buckets"])

    def _held(self, query: domain.Query, field: str) -> Iterator[tuple[str, float, DocAddress]]:
        """The value of `field`, score and place of each match that has one."""
        hits = self.searcher.search(self.ask.matches(query), limit=max(self.searcher.num_docs, 1), count=False).hits
        numbers = self._ids([address for _, address in hits], field)
        for number, (score, address) in zip(numbers, hits, strict=True):
            if number:
                yield str(UUID(int=number)), float(score), address

    def _distances(self, query: domain.Query) -> Mapping[int, float]:
        """How far every cell in the box around the query's circle is from its centre; there are no geo types."""
        if query.near is None:
            return {}
        box = every([self.ask.matches(domain.Query(box=query.box)), self.ask.around(query.near)])
        cells = {int(cell or 0) for cell in self.searcher.fast_field_values("cell", self._all(box))}
        return {cell: query.near.distance(cell) for cell in cells}

    def _after(self, query: domain.Query, everything: tantivy.Query, distances: Mapping[int, float]) -> list[_Entry]:
        """The entries behind the cursor, in order: one more than a page has, if there are as many."""
        match query.sort:
            case Sort.RELEVANCE:
                hits = self._by_score(query, everything)
            case Sort.DISTANCE:
                addresses = self._all(everything)
                cells = self.searcher.fast_field_values("cell", addresses)
                hits = [(distances[int(cell or 0)], address) for cell, address in zip(cells, addresses, strict=True)]
            case _:
                hits = self._by_field(query, everything)
        entries = self._entries(hits)
        if query.after is not None:
            last = (_key(query), UUID(query.after[1]).int)
            entries = [entry for entry in entries if _place(entry) > last]
        return nsmallest(query.limit + 1, entries, key=_place)

    def _by_field(self, query: domain.Query, everything: tantivy.Query) -> list[_Hit]:
        """From the cursor's value to the value that ends the page: Tantivy orders by one field, ties are broken among these few."""
        field, falling = _ORDERED_BY[query.sort]
        start = None if query.after is None else int(query.after[0])
        wanted = query.limit + 1
        first: list[tuple[int, DocAddress]] = []
        if start != (_LOWEST if falling else _HIGHEST):  # nothing lies beyond those
            beyond = everything
            if start is not None:
                beyond = every([everything, self.ask.between(field, *((None, start - 1) if falling else (start + 1, None)))])
            order = Order.Desc if falling else Order.Asc
            first = self.searcher.search(beyond, limit=wanted, count=False, order_by_field=field, order=order).hits
        end = first[-1][0] if len(first) == wanted else None
        stretch = every([everything, self.ask.between(field, *((end, start) if falling else (start, end)))])
        addresses = self._all(stretch)
        values = (value or 0 for value in self.searcher.fast_field_values(field, addresses))
        return [(-value if falling else value, address) for value, address in zip(values, addresses, strict=True)]

    def _by_score(self, query: domain.Query, everything: tantivy.Query) -> list[_Hit]:
        """The same for scores, of which Tantivy gives all, the highest first."""
        hits = self.searcher.search(everything, limit=max(self.searcher.num_docs, 1), count=False).hits
        keys = [-score for score, _ in hits]
        first, beyond = (0, 0) if query.after is None else (bisect_left(keys, _key(query)), bisect_right(keys, _key(query)))
        last = beyond + query.limit
        end = bisect_right(keys, keys[last]) if last < len(keys) else len(keys)
        return [(keys[position], hits[position][1]) for position in range(first, end)]

    def _hit(self, address: DocAddress, score: float | None) -> Hit:
        found = self.document(address)
        return Hit(id=found.id, version=found.version, score=score, listing=found.listing or {})

    def _all(self, query: tantivy.Query) -> list[DocAddress]:
        return [address for _, address in self.searcher.search(query, limit=max(self.searcher.num_docs, 1), count=False).hits]

    def _entries(self, hits: Sequence[_Hit]) -> list[_Entry]:
        ids = self._ids([address for _, address in hits])
        return [(key, id, address) for (key, address), id in zip(hits, ids, strict=True)]

    def _ids(self, addresses: list[DocAddress], field: str = "id") -> Iterable[int]:
        """Those in this field, as numbers; 0 where there is none."""
        columns = (self.searcher.fast_field_values(f"{field}_{half}", addresses) for half in ("high", "low"))
        return [int(high or 0) << 64 | int(low or 0) for high, low in zip(*columns, strict=True)]


def _place(entry: _Entry) -> tuple[float, int]:
    return entry[:2]


def _key(query: domain.Query) -> float:
    """What the cursor's entry is ordered by."""
    key = 0 if query.after is None else query.after[0]
    return -key if _falling(query.sort) else key


def _falling(sort: Sort) -> bool:
    return sort in (Sort.RELEVANCE, Sort.NEWEST, Sort.PRICE_DESCENDING)
