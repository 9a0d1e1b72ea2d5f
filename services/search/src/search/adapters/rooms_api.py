"""The rooms service, asked over its own API: search never looks into its database."""

from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import fastavro
import httpx

from common.errors import NotFound, Unavailable
from search.domain import Written
from search.ports import Origin

NEIGHBOUR = "the rooms service"
TIMEOUT = 10.0


class RoomsApi(Origin):
    def __init__(self, url: str) -> None:
        """`url` is the service's address, without a path. Connects to nothing yet, and holds nothing open."""
        self._url = url.rstrip("/")

    def written(self, id: str) -> Written:
        answer = self._get("/v1.0/rooms/export", id=id)
        if answer.status_code == httpx.codes.OK:
            return _exported(id, answer.content)
        # An earlier release has no export; what it shows of a room says nothing of the write, and of a tombstone nothing at all.
        answer = self._get(f"/v1.0/rooms/{id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(id)
        if answer.status_code != httpx.codes.OK:
            raise Unavailable(NEIGHBOUR, f"it answers {answer.status_code}")
        try:
            room = answer.json()
            return Written(version=room["version"], deleted=False, at=datetime.fromisoformat(room["updated_at"]))
        except (ValueError, TypeError, KeyError):
            raise _stranger() from None

    def _get(self, path: str, **query: str) -> httpx.Response:
        try:
            return httpx.get(f"{self._url}{path}", params=query, timeout=TIMEOUT)
        except httpx.TransportError as error:
            raise Unavailable(NEIGHBOUR, str(error) or type(error).__name__) from error


def _exported(id: str, content: bytes) -> Written:
    try:
        records: Iterator[Any] = iter(fastavro.reader(BytesIO(content)))
        rows = [row for row in records if str(row["id"]) == id]
    except (ValueError, TypeError, KeyError, EOFError):
        raise _stranger() from None
    if not rows:
        raise NotFound(id)
    row = rows[0]
    at = row["deleted_at"] if row["room"] is None else row["room"]["updated_at"]
    return Written(
        version=row["version"],
        deleted=row["room"] is None,
        at=None if at is None else at.astimezone(UTC),
        event_id=row["event_id"],
        request_id=row["request_id"],
        trace_id=row["traceparent"][3:35],
    )


def _stranger() -> Unavailable:
    return Unavailable(NEIGHBOUR, "what answers there is no rooms API")
