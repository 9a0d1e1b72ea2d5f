"""How rooms lie in Elasticsearch: the index template, and the documents written under it."""

from typing import Any

from search.domain import Document
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
_DOUBLE = {"type": "double"}

MAPPINGS: dict[str, Any] = {
    "dynamic": "strict",
    # The tokens can be made again from the room.
    "_source": {"excludes": ["name", "place", "description"]},
    "properties": {
        "id": _KEYWORD,  # Elasticsearch refuses to sort by _id
        "version": _LONG,
        "deleted": {"type": "boolean"},
        "visible": {"type": "boolean"},
        "room": {"type": "object", "enabled": False},  # as it is shown
        "trace_id": _KEYWORD,
        "request_id": _KEYWORD,
        "event_id": _KEYWORD,
        "event_time": {"type": "date"},
        "attempts": {"type": "integer"},
        "deliveries": {"type": "integer"},
        "indexed_at": {"type": "date"},
        "name": _WORDS,
        "place": _WORDS,
        "description": _WORDS,
        "provider": _KEYWORD,
        "provider_key": _KEYWORD,
        "recurrency": _KEYWORD,
        "currency": _KEYWORD,
        "city": _KEYWORD,
        "city_key": _KEYWORD,
        "country_key": _KEYWORD,
        "price": _LONG,
        "price_bucket": _LONG,
        "monthly_price": _LONG,
        "property_size": _DOUBLE,
        "location": {"type": "geo_point"},
        # A geo_point is rounded to 5 mm; a bounding box has exact edges.
        "lat": _DOUBLE,
        "lon": _DOUBLE,
        "created_at": _LONG,  # microseconds: `date` would keep milliseconds
        # Progress documents, one per source, hold only these.
        "progress_source": _KEYWORD,
        "progress_as_of": _LONG,
    },
}

# Replicas stay the cluster's affair (auto_expand_replicas); an explicit refresh interval keeps an idle index from hiding new documents.
SETTINGS: dict[str, Any] = {"number_of_shards": 1, "auto_expand_replicas": "0-1", "refresh_interval": "200ms"}


def template(alias: str) -> dict[str, Any]:
    """The index template of every generation behind `alias`."""
    return {
        "index_patterns": [f"{alias}-g*"],
        "priority": 500,
        "template": {"settings": {"index": SETTINGS}, "mappings": MAPPINGS},
    }


def source(document: Document, fields: Fields | None) -> dict[str, Any]:
    """The `_source` of `document`; without `fields` it is found by its id alone."""
    written: dict[str, Any] = {
        "id": document.id,
        "version": document.version,
        "deleted": document.deleted,
        "visible": fields is not None,
        "room": document.room,
        "trace_id": document.trace_id,
        "request_id": document.request_id,
        "event_id": document.event_id,
        "event_time": document.event_time or None,
        "attempts": document.attempts,
        "deliveries": document.deliveries,
        "indexed_at": document.indexed_at or None,
    }
    if fields is not None:
        written |= {name: getattr(fields, name) for name in Fields.__slots__}
        written["location"] = {"lat": fields.lat, "lon": fields.lon}
    return written


def document(source: dict[str, Any]) -> Document:
    """Reads `source` back."""
    return Document(
        id=source["id"],
        version=source["version"],
        room=source["room"],
        trace_id=source["trace_id"],
        request_id=source["request_id"],
        event_id=source.get("event_id", ""),  # an earlier release did not keep these four
        event_time=source.get("event_time") or "",
        attempts=source.get("attempts", 0),
        deliveries=source.get("deliveries", 0),
        indexed_at=source["indexed_at"] or "",
    )
