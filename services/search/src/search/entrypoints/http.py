"""The HTTP operations of `openapi.yaml`, one method each; the name is the operationId."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from flask import request

from common.web.consistency import still_pending
from common.web.pagination import next_link
from search.domain import Document, FacetName, Query
from search.entrypoints.parameters import Complaints, after, alternatives, bounds, box, circle, cursor_of, order
from search.text import words
from search.use_cases import Answer, Found, ReadDocument, SearchRooms

SPEC = Path(__file__).parent / "openapi.yaml"


@dataclass(frozen=True)
class SearchController:
    find: SearchRooms
    document: ReadDocument

    def search(
        self,
        limit: int,
        radius: float | None = None,
        q: str | None = None,
        price_min: int | None = None,
        price_max: int | None = None,
        monthly_price_min: int | None = None,
        monthly_price_max: int | None = None,
        currency: str | None = None,
        property_size_min: float | None = None,
        property_size_max: float | None = None,
        provider: list[str] | None = None,
        recurrency: list[str] | None = None,
        city: list[str] | None = None,
        country: list[str] | None = None,
        near: str | None = None,
        bbox: str | None = None,
        sort: str | None = None,
        facets: list[FacetName] | None = None,
        cursor: str | None = None,
    ) -> tuple[dict[str, Any], int, dict[str, str]]:
        complaints = Complaints()
        around = circle(near, radius, complaints)
        sought = words(q or "")
        query = Query(
            words=sought,
            price=bounds("price", price_min, price_max, complaints),
            monthly_price=bounds("monthly_price", monthly_price_min, monthly_price_max, complaints),
            property_size=bounds("property_size", property_size_min, property_size_max, complaints),
            currency=currency.upper() if currency else None,
            providers=alternatives(provider),
            recurrencies=tuple(dict.fromkeys(each.lower() for each in recurrency or ())),
            cities=alternatives(city),
            countries=alternatives(country),
            near=around,
            box=box(bbox, complaints),
            sort=order(sort, bool(sought), around, complaints),
            facets=tuple(dict.fromkeys(facets or ())),
            limit=limit,
        )
        complaints.speak()
        answer = self.find(replace(query, after=after(cursor, query)))
        following = None if answer.page.next is None else cursor_of(query, answer.page.next)
        headers = {}
        if following is not None:
            headers["Link"] = next_link(request.path, request.query_string.decode(), following)
        return _shown(answer, following, still_pending(request.environ["asgi.scope"])), 200, headers

    def read(self, room_id: str) -> tuple[dict[str, Any], int, dict[str, str]]:
        shown = _shown_document(self.document(str(UUID(room_id))))
        pending = still_pending(request.environ["asgi.scope"])
        return shown | ({"index": pending} if pending else {}), 200, {}


def _shown(answer: Answer, following: str | None, pending: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "total": {"value": answer.page.total, "relation": "eq"},
        "hits": [_shown_hit(each) for each in answer.found],
        "facets": {
            name: [{"value": each.value, "count": each.count} for each in counted] for name, counted in answer.page.facets.items()
        },
        "next": following,
        "index": {
            "as_of": answer.freshness.as_of,
            "lag_seconds": answer.freshness.lag_seconds,
            "stale": answer.freshness.stale,
            **pending,
        },
    }


def _shown_hit(found: Found) -> dict[str, Any]:
    hit = found.hit
    return {
        "id": hit.id,
        "version": hit.version,
        "score": hit.score,
        "distance_m": found.distance_m,
        "highlights": found.highlights,
        "room": hit.room,
    }


def _shown_document(document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "version": document.version,
        "room": document.room,
        "trace_id": document.trace_id,
        "request_id": document.request_id,
        "event_id": document.event_id,
        "event_time": document.event_time or None,
        "attempts": document.attempts,
        "deliveries": document.deliveries,
        "indexed_at": document.indexed_at,
    }
