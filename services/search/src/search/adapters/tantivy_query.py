"""A query in Tantivy's words."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tantivy import FieldType, Occur, Query, Schema

from search import domain
from search.domain import FACET_VALUES, Facet, Filter, Range
from search.geo import Box, Circle
from search.kinds import COLUMNS, Column, Kind, Type
from search.relevance import HELD, ways
from search.text import Match, Word, fold_name

#: Values of one facet, more than an embedded index is good for; the engine keeps the count of buckets below 65,000.
_BUCKETS = 20_000
#: Spellings of one folded name.
_SPELLINGS = 100


class Translator:
    """Makes Tantivy queries of ours, all but the circle, whose points the caller has to find (`around`, then `within`)."""

    def __init__(self, kind: Kind, schema: Schema) -> None:
        self._kind, self._schema = kind, schema

    def matches(self, query: domain.Query) -> Query:
        """Visible listings with every word and within every filter; scored by the words."""
        filters = [self._term("visible", True), *self._filters(query)]
        return every([*self._words(query), *(Query.const_score_query(each, 0.0) for each in filters)])

    def between(self, field: str, low: int | None, high: int | None) -> Query:
        """Documents whose integer `field` lies in this range, ends included; None is open."""
        if low is None and high is None:
            return Query.all_query()
        return Query.range_query(self._schema, field, FieldType.Integer, low, high)

    def numbered(self, low: int, high: int | None) -> Query:
        """Listings and tombstones the upper halves of whose ids lie in this range, ends included; None is open."""
        return Query.range_query(self._schema, "id_high", FieldType.Unsigned, low, high)

    def around(self, circle: Circle) -> Query:
        """Documents in the box around the circle."""
        return self._box(circle.around())

    def within(self, circle: Circle, distances: Mapping[int, float]) -> Query:
        """Documents in the circle, given the distances of all cells in the box around it: the box without its corners."""
        corners = [cell for cell, distance in distances.items() if distance > circle.radius]
        inside = (Occur.Must, Query.const_score_query(self.around(circle), 0.0))
        return Query.boolean_query([inside, (Occur.MustNot, Query.term_set_query(self._schema, "cell", corners))])

    def ids(self, ids: Iterable[str]) -> Query:
        return Query.term_set_query(self._schema, "id", list(ids))

    def live(self) -> Query:
        """Every listing, visible or not, that was not deleted."""
        return self._term("deleted", False)

    def visible(self) -> Query:
        return self._term("visible", True)

    def tombstones(self) -> Query:
        return self._term("deleted", True)

    def progress(self) -> Query:
        """What is neither a listing nor a tombstone."""
        return Query.boolean_query(
            [(Occur.Must, Query.all_query()), *((Occur.MustNot, self._term("deleted", deleted)) for deleted in (True, False))]
        )

    def _words(self, query: domain.Query) -> Iterable[Query]:
        """Every word in the listing's own text, or something that it holds; where both, the points add up."""
        own = [self._word(word) for word in query.words]
        if not (own and query.holding):
            return own
        return [any_of([every(own), Query.const_score_query(self.ids(query.holding), HELD * len(own))])]

    def _word(self, word: Word) -> Query:
        """One word in any field. Per field the best kind of match counts, the fields add up."""
        fields = []
        for field, points in self._kind.words.items():
            matches = [Query.const_score_query(self._match(field, word, way), points[way]) for way in ways(word)]
            fields.append(Query.disjunction_max_query(matches))
        return any_of(fields)

    def _match(self, field: str, word: Word, way: Match) -> Query:
        match way:
            case Match.EXACT:
                return self._term(field, word.folded)
            case Match.PREFIX:
                return Query.fuzzy_term_query(self._schema, field, word.folded, distance=0, prefix=True)
            case Match.FUZZY:
                return Query.fuzzy_term_query(self._schema, field, word.folded, distance=word.edits, transposition_cost_one=True)

    def _filters(self, query: domain.Query) -> Iterable[Query]:
        for name, each in query.filters.items():
            yield self._filter(self._kind.fields[name], name, each)
        if query.currency is not None:
            yield self._term("currency", query.currency)
        if query.box is not None:
            yield self._box(query.box)

    def _filter(self, type: Type, name: str, filter: Filter) -> Query:
        match filter:
            case Range():
                return self._range(name, filter, FieldType.Float if COLUMNS[type][""] is Column.FLOAT else FieldType.Integer)
            case bool():
                return self._term(name, filter)
        if type in (Type.NAME, Type.KEY):
            return self._one_of(f"{name}_key", map(fold_name, filter))
        return self._one_of(name, filter)

    def _box(self, box: Box) -> Query:
        if box.west <= box.east:
            meridians = self._range("lon", Range(box.west, box.east))
        else:
            meridians = any_of([self._range("lon", Range(low=box.west)), self._range("lon", Range(high=box.east))])
        return every([self._range("lat", Range(box.south, box.north)), meridians])

    def _term(self, field: str, value: str | bool) -> Query:
        return Query.term_query(self._schema, field, value, index_option="basic")

    def _one_of(self, field: str, values: Iterable[str]) -> Query:
        return Query.term_set_query(self._schema, field, list(values))

    def _range(self, field: str, bounds: Range, type: FieldType = FieldType.Float) -> Query:
        make: Callable[[float], float] = int if type == FieldType.Integer else float
        low, high = (None if bound is None else make(bound) for bound in (bounds.low, bounds.high))
        return Query.range_query(self._schema, field, type, low, high)


def every(queries: Iterable[Query]) -> Query:
    """What answers all of them; the scores add up."""
    return Query.boolean_query([(Occur.Must, each) for each in queries])


def any_of(queries: Iterable[Query]) -> Query:
    """What answers one of them; the scores add up."""
    return Query.boolean_query([(Occur.Should, each) for each in queries])


def aggregation(type: Type, facet: str) -> dict[str, Any]:
    """The aggregation that counts `facet`."""
    match type:
        case Type.PRICE:
            return {"terms": {"field": f"{facet}_bucket", "size": _BUCKETS}}
        case Type.NAME:
            return {
                "terms": {"field": f"{facet}_key", "size": _BUCKETS},
                "aggs": {"spelled": {"terms": {"field": facet, "size": _SPELLINGS}}},
            }
    return {"terms": {"field": facet, "size": _BUCKETS}}


def counts(type: Type, buckets: list[dict[str, Any]]) -> list[Facet]:
    """Reads what the aggregation of a facet has counted."""
    if type is Type.PRICE:
        return sorted((Facet(int(each["key"]), each["doc_count"]) for each in buckets), key=lambda each: int(each.value))
    largest = sorted(buckets, key=_largest_first)[:FACET_VALUES]
    if type is Type.NAME:
        return [Facet(min(each["spelled"]["buckets"], key=_largest_first)["key"], each["doc_count"]) for each in largest]
    return [Facet(each["key"], each["doc_count"]) for each in largest]


def _largest_first(bucket: dict[str, Any]) -> tuple[int, str]:
    return -bucket["doc_count"], bucket["key"]
