"""A query in Elasticsearch's words, and its answer in ours."""

from collections.abc import Iterable
from typing import Any

from search.domain import FACET_VALUES, Facet, Filter, Hit, Page, Query, Range, Sort, SortValues
from search.geo import Box, Circle
from search.kinds import Kind, Type
from search.relevance import HELD, Points, ways
from search.text import Match, Word, fold_name

Clause = dict[str, Any]

#: More than there are buckets: prices have at most 19 digits.
_BUCKETS = 400
_BY_COUNT = [{"_count": "desc"}, {"_key": "asc"}]


def search_body(kind: Kind, query: Query) -> Clause:
    """The body of one `_search` that answers hits, total and facets; it asks for one hit more, to know whether there is a next page."""
    # Filters that some facet must not see are applied after the facets were counted; each facet applies those of the others by itself.
    shared = query
    for facet in query.facets:
        shared = shared.without(facet)
    own = _difference(kind, query, shared)
    body: Clause = {
        "query": matches(kind, shared),
        "size": query.limit + 1,
        "sort": [_sort(query), {"id": "asc"}],
        "track_total_hits": True,
        "_source": ["id", "version", kind.singular],
    }
    if own:
        body["post_filter"] = {"bool": {"filter": own}}
    if query.facets:
        body["aggs"] = {facet: _facet(kind, query, shared, facet) for facet in query.facets}
    if query.after is not None:
        body["search_after"] = list(query.after)
    return body


def page(kind: Kind, query: Query, answer: dict[str, Any]) -> Page:
    """Reads the answer to `search_body(kind, query)`."""
    found = answer["hits"]["hits"]
    shown = found[: query.limit]
    last: SortValues | None = (shown[-1]["sort"][0], shown[-1]["sort"][1]) if len(found) > query.limit else None
    by_score = query.sort is Sort.RELEVANCE
    return Page(
        total=answer["hits"]["total"]["value"],
        hits=[hit(kind, each, each["sort"][0] if by_score else None) for each in shown],
        facets={facet: list(_counts(answer["aggregations"][facet]["counted"]["buckets"])) for facet in query.facets},
        next=last,
    )


def hit(kind: Kind, found: dict[str, Any], score: float | None) -> Hit:
    source = found["_source"]
    return Hit(id=source["id"], version=source["version"], score=score, listing=source[kind.singular])


def matches(kind: Kind, query: Query) -> Clause:
    """Visible listings with every word and within every filter; scored by the words where they are ordered by relevance."""
    clauses: Clause = {"filter": [{"term": {"visible": True}}, *_filters(kind, query)]}
    if query.words:
        scored = query.sort is Sort.RELEVANCE
        answers = [_answers(kind, query, scored)]
        clauses["must" if scored else "filter"] = answers if scored else [*clauses["filter"], *answers]
    return {"bool": clauses}


def _answers(kind: Kind, query: Query, scored: bool) -> Clause:
    """Every word in the listing's own text, or something that it holds; where both, the points add up."""
    own = {"bool": {"must": [_word(kind, word, scored) for word in query.words]}}
    if not query.holding:
        return own
    held = _constant({"terms": {"id": list(query.holding)}}, HELD * len(query.words))
    return {"bool": {"should": [own, held], "minimum_should_match": 1}}


def _word(kind: Kind, word: Word, scored: bool) -> Clause:
    """One word in any field. Per field the best kind of match counts, the fields add up."""
    clauses: list[Clause] = []
    for field, points in kind.words.items():
        matches = [_constant(_match(field, word, way), _points(points, way, scored)) for way in ways(word)]
        clauses.append(matches[0] if len(matches) == 1 else {"dis_max": {"queries": matches}})
    return {"bool": {"should": clauses, "minimum_should_match": 1}}


def _match(field: str, word: Word, way: Match) -> Clause:
    match way:
        case Match.EXACT:
            return {"term": {field: {"value": word.folded}}}
        case Match.PREFIX:
            return {"prefix": {field: {"value": word.folded}}}
        case Match.FUZZY:
            # The rewrite makes it look at every term: the usual one stops at `max_expansions` and misses documents.
            typos = {"fuzziness": word.edits, "prefix_length": 0, "rewrite": "constant_score"}
            return {"fuzzy": {field: {"value": word.folded, **typos}}}


def _points(points: Points, way: Match, scored: bool) -> float:
    return points[way] if scored else 1.0


def _constant(filter: Clause, points: float) -> Clause:
    return {"constant_score": {"filter": filter, "boost": points}}


def _filters(kind: Kind, query: Query) -> list[Clause]:
    clauses = [_filter(kind.fields[name], name, each) for name, each in query.filters.items()]
    if query.currency is not None:
        clauses.append({"term": {"currency": query.currency}})
    if query.box is not None:
        clauses += _within(query.box)
    if query.near is not None:
        clauses.append({"geo_distance": {"distance": f"{query.near.radius!r}m", "location": _location(query.near)}})
    return clauses


def _filter(type: Type, name: str, filter: Filter) -> Clause:
    match filter:
        case Range():
            return _range(name, filter)
        case bool():
            return {"term": {name: filter}}
    if type in (Type.NAME, Type.KEY):
        return {"terms": {f"{name}_key": [fold_name(value) for value in filter]}}
    return {"terms": {name: list(filter)}}


def _within(box: Box) -> list[Clause]:
    if box.west <= box.east:
        meridians = _range("lon", Range(box.west, box.east))
    else:
        sides = [_range("lon", Range(low=box.west)), _range("lon", Range(high=box.east))]
        meridians = {"bool": {"should": sides, "minimum_should_match": 1}}
    return [_range("lat", Range(box.south, box.north)), meridians]


def _range(field: str, bounds: Range) -> Clause:
    limits = {name: value for name, value in (("gte", bounds.low), ("lte", bounds.high)) if value is not None}
    return {"range": {field: limits}}


def _location(circle: Circle) -> dict[str, float]:
    return {"lat": circle.centre.lat, "lon": circle.centre.lon}


def _sort(query: Query) -> Clause:
    match query.sort:
        case Sort.RELEVANCE:
            return {"_score": "desc"}
        case Sort.NEWEST:
            return {"created_at": "desc"}
        case Sort.PRICE:
            return {"price": "asc"}
        case Sort.PRICE_DESCENDING:
            return {"price": "desc"}
        case Sort.DISTANCE:
            if query.near is None:
                raise ValueError("Sort.DISTANCE needs `near`")
            return {"_geo_distance": {"location": _location(query.near), "order": "asc", "unit": "m", "distance_type": "arc"}}


def _difference(kind: Kind, query: Query, shared: Query) -> list[Clause]:
    """The filters of `query` that `shared` lacks."""
    common = _filters(kind, shared)
    return [clause for clause in _filters(kind, query) if clause not in common]


def _facet(kind: Kind, query: Query, shared: Query, facet: str) -> Clause:
    return {
        "filter": {"bool": {"filter": _difference(kind, query.counted_by(facet), shared)}},
        "aggs": {"counted": _aggregation(kind.fields[facet], facet)},
    }


def _aggregation(type: Type, facet: str) -> Clause:
    if type is Type.PRICE:
        return {"terms": {"field": f"{facet}_bucket", "size": _BUCKETS, "order": {"_key": "asc"}}}
    if type is Type.NAME:
        return {
            "terms": {"field": f"{facet}_key", "size": FACET_VALUES, "order": _BY_COUNT},
            "aggs": {"spelled": {"terms": {"field": facet, "size": 1, "order": _BY_COUNT}}},
        }
    return {"terms": {"field": facet, "size": FACET_VALUES, "order": _BY_COUNT}}


def _counts(buckets: Iterable[dict[str, Any]]) -> Iterable[Facet]:
    for bucket in buckets:
        spelled = bucket["spelled"]["buckets"][0]["key"] if "spelled" in bucket else bucket["key"]
        yield Facet(spelled, bucket["doc_count"])
