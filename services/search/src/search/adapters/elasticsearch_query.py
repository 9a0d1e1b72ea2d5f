"""A query in Elasticsearch's words, and its answer in ours."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from search.domain import FACET_VALUES, Facet, FacetName, Hit, Page, Query, Range, Sort, SortValues
from search.geo import Circle
from search.relevance import POINTS, kinds
from search.text import Kind, Word, fold_name

Clause = dict[str, Any]

#: More than there are buckets: prices have at most 19 digits.
_BUCKETS = 400
_FACET_FIELDS: dict[FacetName, tuple[str, str]] = {"provider": ("provider_key", "provider"), "city": ("city_key", "city")}


def search_body(query: Query) -> dict[str, Any]:
    """The body of one `_search` that answers hits, total and facets; it asks for one hit more, to know whether there is a next page."""
    # Filters that some facet must not see are applied after the facets were counted; each facet applies those of the others by itself.
    shared = query
    for facet in query.facets:
        shared = _without(shared, facet)
    own = _difference(query, shared)
    body: dict[str, Any] = {
        "query": _query(shared),
        "size": query.limit + 1,
        "sort": [_sort(query), {"id": "asc"}],
        "track_total_hits": True,
        "_source": ["id", "version", "room"],
    }
    if own:
        body["post_filter"] = {"bool": {"filter": own}}
    if query.facets:
        body["aggs"] = {facet: _facet(query, shared, facet) for facet in query.facets}
    if query.after is not None:
        body["search_after"] = list(query.after)
    return body


def page(query: Query, answer: dict[str, Any]) -> Page:
    """Reads the answer to `search_body(query)`."""
    found = answer["hits"]["hits"]
    shown = found[: query.limit]
    last: SortValues | None = (shown[-1]["sort"][0], shown[-1]["sort"][1]) if len(found) > query.limit else None
    by_score = query.sort is Sort.RELEVANCE
    return Page(
        total=answer["hits"]["total"]["value"],
        hits=[
            Hit(
                id=hit["_source"]["id"],
                version=hit["_source"]["version"],
                score=hit["sort"][0] if by_score else None,
                room=hit["_source"]["room"],
            )
            for hit in shown
        ],
        facets={facet: list(_counts(facet, answer["aggregations"][facet]["counted"]["buckets"])) for facet in query.facets},
        next=last,
    )


def _query(query: Query) -> Clause:
    scored = query.sort is Sort.RELEVANCE
    words = [_word(word, scored) for word in query.words]
    clauses: Clause = {"filter": [{"term": {"visible": True}}, *_filters(query)]}
    if words:
        clauses["must" if scored else "filter"] = words if scored else [*clauses["filter"], *words]
    return {"bool": clauses}


def _word(word: Word, scored: bool) -> Clause:
    """One word in any field. Per field the best kind of match counts, the fields add up."""
    clauses: list[Clause] = []
    for field, points in POINTS.items():
        matches = [_match(field, word.folded, kind, word.edits, points[kind] if scored else 1.0) for kind in kinds(word)]
        clauses.append(matches[0] if len(matches) == 1 else {"dis_max": {"queries": matches}})
    return {"bool": {"should": clauses, "minimum_should_match": 1}}


def _match(field: str, text: str, kind: Kind, edits: int, points: float) -> Clause:
    clauses: dict[Kind, Clause] = {
        Kind.EXACT: {"term": {field: {"value": text}}},
        Kind.PREFIX: {"prefix": {field: {"value": text}}},
        # The rewrite makes it look at every term: the usual one stops at `max_expansions` and misses documents.
        Kind.FUZZY: {"fuzzy": {field: {"value": text, "fuzziness": edits, "prefix_length": 0, "rewrite": "constant_score"}}},
    }
    return {"constant_score": {"filter": clauses[kind], "boost": points}}


def _filters(query: Query) -> list[Clause]:
    clauses = [
        _range(field, getattr(query, field)) for field in ("price", "monthly_price", "property_size") if getattr(query, field)
    ]
    if query.currency is not None:
        clauses.append({"term": {"currency": query.currency}})
    for field, values in (("provider_key", query.providers), ("city_key", query.cities), ("country_key", query.countries)):
        if values:
            clauses.append({"terms": {field: [fold_name(value) for value in values]}})
    if query.recurrencies:
        clauses.append({"terms": {"recurrency": list(query.recurrencies)}})
    if query.furnished is not None:
        clauses.append({"term": {"furnished": query.furnished}})
    if query.box is not None:
        clauses.append(_range("lat", Range(query.box.south, query.box.north)))
        west, east = Range(low=query.box.west), Range(high=query.box.east)
        if query.box.west <= query.box.east:
            clauses.append(_range("lon", Range(query.box.west, query.box.east)))
        else:
            clauses.append({"bool": {"should": [_range("lon", west), _range("lon", east)], "minimum_should_match": 1}})
    if query.near is not None:
        clauses.append({"geo_distance": {"distance": f"{query.near.radius!r}m", "location": _location(query.near)}})
    return clauses


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


def _without(query: Query, facet: FacetName) -> Query:
    """`counted_by`, but for the currency: hits are not narrowed by a facet that is only asked for."""
    return replace(query.counted_by(facet), currency=query.currency)


def _difference(query: Query, shared: Query) -> list[Clause]:
    """The filters of `query` that `shared` lacks."""
    common = _filters(shared)
    return [clause for clause in _filters(query) if clause not in common]


def _facet(query: Query, shared: Query, facet: FacetName) -> Clause:
    return {
        "filter": {"bool": {"filter": _difference(query.counted_by(facet), shared)}},
        "aggs": {"counted": _aggregation(facet)},
    }


def _aggregation(facet: FacetName) -> Clause:
    by_count = [{"_count": "desc"}, {"_key": "asc"}]
    match facet:
        case "price":
            return {"terms": {"field": "price_bucket", "size": _BUCKETS, "order": {"_key": "asc"}}}
        case "recurrency":
            return {"terms": {"field": "recurrency", "size": FACET_VALUES, "order": by_count}}
    key, spelling = _FACET_FIELDS[facet]
    return {
        "terms": {"field": key, "size": FACET_VALUES, "order": by_count},
        "aggs": {"spelled": {"terms": {"field": spelling, "size": 1, "order": by_count}}},
    }


def _counts(facet: FacetName, buckets: Iterable[dict[str, Any]]) -> Iterable[Facet]:
    for bucket in buckets:
        spelled = bucket["spelled"]["buckets"][0]["key"] if facet in _FACET_FIELDS else bucket["key"]
        yield Facet(spelled, bucket["doc_count"])
