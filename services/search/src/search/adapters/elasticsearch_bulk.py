"""Bodies of `_bulk`, in portions, and what Elasticsearch says to each of their items."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from common.errors import Unavailable
from search.adapters.elasticsearch_client import NEIGHBOUR, Missing
from search.adapters.elasticsearch_hold import Blocked
from search.adapters.elasticsearch_mapping import source
from search.domain import Applied, Document, Outcome, Refused
from search.kinds import Kind
from search.projection import project

#: Bytes of one request, about; a real server takes 100 MB.
BULK = 8_000_000
#: What `outcome` needs to know of an answer.
ANSWERED = "items.*.status,items.*.error.type,items.*.error.reason,items.*.error.caused_by.reason"


def bulks(kind: Kind, documents: Sequence[Document], outcomes: list[Outcome]) -> Iterator[tuple[list[int], bytes]]:
    """Bodies with the positions of the documents in them; what no engine can take is Refused in `outcomes`."""
    positions: list[int] = []
    lines: list[bytes] = []
    size = 0
    for position, each in enumerate(documents):
        fields = project(kind, each)
        if isinstance(fields, Refused):
            outcomes[position] = fields
            continue
        positions.append(position)
        lines += action(each.id, each.version, source(kind, each, fields))
        size += len(lines[-1])
        if size > BULK:
            yield positions, body(lines)
            positions, lines, size = [], [], 0
    if positions:
        yield positions, body(lines)


def action(id: str, version: int, written: Mapping[str, Any]) -> tuple[bytes, bytes]:
    """Two lines that write a document, unless one of this or a higher version is there."""
    return orjson.dumps({"index": {"_id": id, "version": version, "version_type": "external"}}), orjson.dumps(written)


def body(lines: Sequence[bytes]) -> bytes:
    return b"\n".join([*lines, b""])


def outcome(item: dict[str, Any]) -> Outcome:
    """Raises Missing, Blocked, Unavailable: all of it is to come again."""
    status = item["status"]
    if status < 300 or status == 409:  # a version conflict: something at least as new is there
        return Applied()
    error = item.get("error", {})
    reason = ": ".join(filter(None, (error.get("type"), error.get("reason"), error.get("caused_by", {}).get("reason"))))
    if counted_as(item) == "refused":
        return Refused("rejected", reason[:1000])
    if status == 404:
        raise Missing
    if "index write (api)" in reason:
        raise Blocked(NEIGHBOUR, reason[:300])
    raise Unavailable(NEIGHBOUR, f"{status} {reason[:300]}")


def counted_as(item: dict[str, Any]) -> str:
    match item["status"]:
        case 409:
            return "stale"
        case 400 if "write index" not in item.get("error", {}).get("reason", ""):  # an alias over two indices is no fault of it
            return "refused"
        case status:
            return "applied" if status < 300 else "retried"
