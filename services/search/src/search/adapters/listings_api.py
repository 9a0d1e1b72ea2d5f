"""The service that owns a kind of listings, asked over its own API: search never looks into its database."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import Any

from common.errors import NotFound
from common.listings.client import ListingsClient
from search.domain import Document, Written
from search.kinds import Kind
from search.ports import Exports, Origin


class ListingsApi(Exports, Origin):
    def __init__(self, kind: Kind, client: ListingsClient) -> None:
        self._kind, self._client = kind, client

    def __call__(self, ids: Collection[str] | None = None) -> Iterator[Document]:
        now = datetime.now(UTC)
        for datum in self._client.exported(ids):
            yield self._document(datum, now)

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
        return self._client.versions()

    def _document(self, datum: dict[str, Any], now: datetime) -> Document:
        listing = datum[self._kind.singular]
        return Document.of(
            datum["id"],
            datum["version"],
            listing,
            traceparent=datum["traceparent"],
            request_id=datum["request_id"],
            event_id=datum["event_id"],
            event_time=datum["deleted_at"] if listing is None else listing["updated_at"],
            now=now,
        )
