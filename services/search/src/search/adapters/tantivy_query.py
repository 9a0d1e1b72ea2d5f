"""A query in Tantivy's words, and the schema it is asked against."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tantivy import FieldType, Occur, Query, Schema, SchemaBuilder

from search import domain
from search.domain import FACET_VALUES, Facet, FacetName, Range
from search.geo import Box, Circle
from search.relevance import POINTS, kinds
from search.text import Kind, Word, fold_name

WORDS = ("name", "place", "description")
KEYWORDS = ("provider", "provider_key", "recurrency", "currency", "city", "city_key", "country_key")
INTEGERS = ("price", "price_bucket", "monthly_price", "created_at")
FLOATS = ("property_size", "lat", "lon")
FLAGS = ("furnished",)

#: Values of one facet, more than an embedded index is good for; the engine keeps the count of buckets below 65,000.
_BUCKETS = 20_000
#: Spellings of one folded name.
_SPELLINGS = 100


def build_schema() -> Schema:
    """The fields of one generation; another release that needs other fields needs another generation."""
    builder = SchemaBuilder()
    builder.add_text_field("id", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("progress", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("progress_as_of", stored=True)
    builder.add_bytes_field("source", stored=True)
    builder.add_integer_field("version", fast=True)
    # The id once more as two numbers: columns of text are slow to read for many documents.
    builder.add_unsigned_field("id_high", fast=True)
    builder.add_unsigned_field("id_low", fast=True)
    builder.add_unsigned_field("cell", indexed=True, fast=True)
    for name in ("deleted", "visible", *FLAGS):
        builder.add_boolean_field(name, indexed=True)
    for name in WORDS:
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="basic")
    for name in KEYWORDS:
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic", fast=True)
    for name in INTEGERS:
        builder.add_integer_field(name, indexed=True, fast=True)
    for name in FLOATS:
        builder.add_float_field(name, indexed=True, fast=True)
    return builder.build()


class Translator:
    """Makes Tantivy queries of ours, all but the circle, whose points the caller has to find (`around`, then `within`)."""

    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def matches(self, query: domain.Query) -> Query:
        """Visible rooms with every word and within every filter; scored by the words."""
        filters = [self._term("visible", True), *self._filters(query)]
        return every([*(self._word(word) for word in query.words), *(Query.const_score_query(each, 0.0) for each in filters)])

    def between(self, field: str, low: int | None, high: int | None) -> Query:
        """Documents whose integer `field` lies in this range, ends included; None is open."""
        if low is None and high is None:
            return Query.all_query()
        return Query.range_query(self._schema, field, FieldType.Integer, low, high)

    def numbered(self, low: int, high: int | None) -> Query:
        """Rooms and tombstones the upper halves of whose ids lie in this range, ends included; None is open."""
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
        """Every room, visible or not, that was not deleted."""
        return self._term("deleted", False)

    def visible(self) -> Query:
        return self._term("visible", True)

    def tombstones(self) -> Query:
        return self._term("deleted", True)

    def progress(self) -> Query:
        """What is neither a room nor a tombstone."""
        return Query.boolean_query(
            [(Occur.Must, Query.all_query()), *((Occur.MustNot, self._term("deleted", deleted)) for deleted in (True, False))]
        )

    def _word(self, word: Word) -> Query:
        """One word in any field. Per field the best kind of match counts, the fields add up."""
        fields = []
        for field, points in POINTS.items():
            matches = [Query.const_score_query(self._match(field, word, kind), points[kind]) for kind in kinds(word)]
            fields.append((Occur.Should, Query.disjunction_max_query(matches)))
        return Query.boolean_query(fields)

    def _match(self, field: str, word: Word, kind: Kind) -> Query:
        match kind:
            case Kind.EXACT:
                return self._term(field, word.folded)
            case Kind.PREFIX:
                return Query.fuzzy_term_query(self._schema, field, word.folded, distance=0, prefix=True)
            case Kind.FUZZY:
                return Query.fuzzy_term_query(self._schema, field, word.folded, distance=word.edits, transposition_cost_one=True)

    def _filters(self, query: domain.Query) -> Iterable[Query]:
        for field in ("price", "monthly_price"):
            if bounds := getattr(query, field):
                yield self._range(field, bounds, FieldType.Integer)
        if query.property_size:
            yield self._range("property_size", query.property_size)
        if query.currency is not None:
            yield self._term("currency", query.currency)
        for field, values in (("provider_key", query.providers), ("city_key", query.cities), ("country_key", query.countries)):
            if values:
                yield self._one_of(field, [fold_name(value) for value in values])
        if query.recurrencies:
            yield self._one_of("recurrency", query.recurrencies)
        if query.furnished is not None:
            yield self._term("furnished", query.furnished)
        if query.box is not None:
            yield self._box(query.box)

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
    return Query.boolean_query([(Occur.Should, each) for each in queries])


def aggregation(facet: FacetName) -> dict[str, Any]:
    """The aggregation that counts `facet`."""
    if facet == "price":
        return {"terms": {"field": "price_bucket", "size": _BUCKETS}}
    if facet == "recurrency":
        return {"terms": {"field": "recurrency", "size": _BUCKETS}}
    return {
        "terms": {"field": f"{facet}_key", "size": _BUCKETS},
        "aggs": {"spelled": {"terms": {"field": facet, "size": _SPELLINGS}}},
    }


def counts(facet: FacetName, buckets: list[dict[str, Any]]) -> list[Facet]:
    """Reads what `aggregation(facet)` counted."""
    if facet == "price":
        return sorted((Facet(int(each["key"]), each["doc_count"]) for each in buckets), key=lambda each: int(each.value))
    largest = sorted(buckets, key=_largest_first)[:FACET_VALUES]
    if facet == "recurrency":
        return [Facet(each["key"], each["doc_count"]) for each in largest]
    return [Facet(min(each["spelled"]["buckets"], key=_largest_first)["key"], each["doc_count"]) for each in largest]


def _largest_first(bucket: dict[str, Any]) -> tuple[int, str]:
    return -bucket["doc_count"], bucket["key"]
