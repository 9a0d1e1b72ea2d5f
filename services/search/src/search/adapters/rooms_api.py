"""The rooms service, asked over its own API: search never looks into its database."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import Any

import httpx

from common.errors import NotFound, Unavailable, WrongSetting
from common.events.codec import Undecodable
from common.events.container import Container
from search.domain import Document, Written
from search.ports import Exports, Origin

#: Ids of one request: its head has to fit.
_IDS = 100
#: Seconds: between two pieces of an export the database reads a page; what is one number must not hold up who looks at it.
_TIMEOUT, _SOON = httpx.Timeout(60, connect=5), httpx.Timeout(2.5)


class RoomsApi(Exports, Origin):
    def __init__(self, url: str, container: Container) -> None:
        """`url` is the service's address, without a path. Connects to nothing yet, and holds nothing open."""
        self._url, self._container = url.rstrip("/"), container
        try:
            httpx.URL(url)
        except httpx.InvalidURL as error:
            raise WrongSetting("ROOMS_URL", f"cannot be used: {error}") from error

    def __call__(self, ids: Collection[str] | None = None) -> Iterator[Document]:
        if ids is None:
            yield from self._documents([])
            return
        chosen = sorted(ids)
        for start in range(0, len(chosen), _IDS):
            yield from self._documents(chosen[start : start + _IDS])

    def written(self, id: str) -> Written:
        found = list(self([id]))  # to its end: half an answer is none
        if not found:
            raise NotFound(id)
        (document,) = found
        return Written(
            version=document.version,
            deleted=document.deleted,
            at=datetime.fromisoformat(document.event_time) if document.event_time else None,
            event_id=document.event_id,
            request_id=document.request_id,
            trace_id=document.trace_id,
        )

    def versions(self) -> int:
        try:
            answer = httpx.get(f"{self._url}/v1.0/rooms/summary", timeout=_SOON)
        except httpx.HTTPError as error:
            raise self._unavailable(str(error) or type(error).__name__) from error
        if answer.status_code != httpx.codes.OK:
            raise self._unavailable(f"it answered {answer.status_code}")
        try:
            return int(answer.json()["versions"])
        except (ValueError, KeyError, TypeError):
            raise self._unavailable("what answers there is no rooms API") from None

    def _documents(self, ids: list[str]) -> Iterator[Document]:
        now = datetime.now(UTC)
        try:
            with httpx.stream("GET", f"{self._url}/v1.0/rooms/export", params={"id": ids}, timeout=_TIMEOUT) as answer:
                if answer.status_code != httpx.codes.OK:
                    answer.read()
                    raise self._unavailable(f"it answered {answer.status_code} {answer.text[:200]}")
                for datum in self._container.read(answer.iter_raw()):
                    yield _document(datum, now)
        except httpx.HTTPError as error:
            raise self._unavailable(str(error) or type(error).__name__) from error
        except Undecodable as error:
            raise self._unavailable(f"its export cannot be read: {error.reason}") from error

    def _unavailable(self, reason: str) -> Unavailable:
        return Unavailable(f"the rooms API at {self._url}", reason)


def _document(datum: dict[str, Any], now: datetime) -> Document:
    room = datum["room"]
    return Document.of(
        datum["id"],
        datum["version"],
        room,
        traceparent=datum["traceparent"],
        request_id=datum["request_id"],
        event_id=datum["event_id"],
        event_time=datum["deleted_at"] if room is None else room["updated_at"],
        now=now,
    )
