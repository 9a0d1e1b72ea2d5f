"""How a kind of listings lies in Elasticsearch: the index template, and the documents written under it."""

from typing import Any

from search.domain import Document
from search.kinds import Column, Kind
from search.projection import Fields

#: Tokens come ready made (search.text), separated by spaces. Scores are constants: neither norms, frequencies nor positions are needed.
_WORDS = {
    "type": "text",
    "analyzer": "whitespace",
    "norms": False,
    "index_options": "docs",
    "index_prefixes": {"min_chars": 1, "max_chars": 10},
}
_KEYWORD = {"type": "keyword"}
_LONG = {"type": "long"}
_FLAG = {"type": "boolean"}
_TYPES = {
    Column.KEYWORD: _KEYWORD,
    Column.ID: _KEYWORD,
    Column.INTEGER: _LONG,
    Column.FLOAT: {"type": "double"},
    Column.FLAG: _FLAG,
}

# Replicas stay the cluster's affair (auto_expand_replicas); an explicit refresh interval keeps an idle index from hiding new documents.
SETTINGS: dict[str, Any] = {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "200ms"}


def mappings(kind: Kind) -> dict[str, Any]:
    """`{"dynamic", "_source", "properties"}`."""
    columns = {name: type for column, type in _TYPES.items() for name in kind.columns(column)}
    return {
        "dynamic": "strict",
        # The tokens can be made again from the listing.
        "_source": {"excludes": list(kind.words)},
        "properties": {
            "id": _KEYWORD,  # Elasticsearch refuses to sort by _id
            "version": _LONG,
            "deleted": _FLAG,
            "visible": _FLAG,
            kind.singular: {"type": "object", "enabled": False},  # as it is shown
            "trace_id": _KEYWORD,
            "request_id": _KEYWORD,
            "event_id": _KEYWORD,
            "event_time": {"type": "date"},
            "attempts": {"type": "integer"},
            "deliveries": {"type": "integer"},
            "indexed_at": {"type": "date"},
            **dict.fromkeys(kind.words, _WORDS),
            **columns,
            # A geo_point is rounded to 5 mm; a bounding box over `lat` and `lon` has exact edges.
            "location": {"type": "geo_point"},
            # Progress documents, one per source, hold only these.
            "progress_source": _KEYWORD,
            "progress_as_of": _LONG,
        },
    }


def template(kind: Kind, alias: str) -> dict[str, Any]:
    """The index template of every generation behind `alias`."""
    return {
        "index_patterns": [f"{alias}-g*"],
        "priority": 500,
        "template": {"settings": {"index": SETTINGS}, "mappings": mappings(kind)},
    }


def source(kind: Kind, document: Document, fields: Fields | None) -> dict[str, Any]:
    """The `_source` of `document`; without `fields` it is found by its id alone."""
    written: dict[str, Any] = {
        "id": document.id,
        "version": document.version,
        "deleted": document.deleted,
        "visible": fields is not None,
        kind.singular: document.listing,
        "trace_id": document.trace_id,
        "request_id": document.request_id,
        "event_id": document.event_id,
        "event_time": document.event_time or None,
        "attempts": document.attempts,
        "deliveries": document.deliveries,
        "indexed_at": document.indexed_at or None,
    }
    if fields is not None:
        written |= {**fields.words, **fields.columns}
        if fields.point is not None:
            written["location"] = {"lat": fields.point.lat, "lon": fields.point.lon}
    return written


def document(kind: Kind, source: dict[str, Any]) -> Document:
    """Reads `source` back."""
    return Document(
        id=source["id"],
        version=source["version"],
        listing=source[kind.singular],
        trace_id=source["trace_id"],
        request_id=source["request_id"],
        event_id=source.get("event_id", ""),  # an earlier release did not keep these four
        event_time=source.get("event_time") or "",
        attempts=source.get("attempts", 0),
        deliveries=source.get("deliveries", 0),
        indexed_at=source["indexed_at"] or "",
    )
