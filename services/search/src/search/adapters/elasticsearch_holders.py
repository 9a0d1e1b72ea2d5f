"""Which values of a field are held by listings that answer some words, and which of these are the best: asked of Elasticsearch."""

from collections.abc import Collection
from typing import Any

from search.adapters.elasticsearch_query import hit, matches
from search.domain import Hit, Query, Sort
from search.kinds import Kind
from search.text import Word

_BEST_FIRST: list[dict[str, Any]] = [{"_score": "desc"}]


def holders_body(kind: Kind, words: tuple[Word, ...], field: str, limit: int) -> dict[str, Any]:
    """One hit per value of `field`, in the order of its best match."""
    found = matches(kind, Query(words=words, sort=Sort.RELEVANCE))
    return {
        "query": {"bool": {"must": [found], "filter": [{"exists": {"field": field}}]}},
        "collapse": {"field": field},
        "size": limit,
        "sort": [*_BEST_FIRST, {field: "asc"}],
        "track_total_hits": False,
        "stored_fields": "_none_",  # the value of the field is told all the same, and nothing else is read
    }


def holders(field: str, answer: dict[str, Any]) -> list[str]:
    return [each["fields"][field][0] for each in answer["hits"]["hits"]]


def held_body(kind: Kind, words: tuple[Word, ...], field: str, values: Collection[str], each: int) -> dict[str, Any]:
    """No hits, but the best few of each value of `field`."""
    best = {"size": each, "sort": [*_BEST_FIRST, {"id": "asc"}], "_source": ["id", "version", kind.singular]}
    return {
        "query": matches(kind, Query(words=words, filters={field: tuple(values)}, sort=Sort.RELEVANCE)),
        "size": 0,
        "aggs": {"held": {"terms": {"field": field, "size": len(values)}, "aggs": {"best": {"top_hits": best}}}},
    }


def held(kind: Kind, answer: dict[str, Any]) -> dict[str, list[Hit]]:
    buckets = answer["aggregations"]["held"]["buckets"]
    return {each["key"]: [hit(kind, found, found["sort"][0]) for found in each["best"]["hits"]["hits"]] for each in buckets}
