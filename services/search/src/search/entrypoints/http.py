"""The HTTP operations of `openapi.yaml`, one method each; the name is the operationId."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from uuid import UUID

from flask import request

from common.web.consistency import still_pending
from common.web.pagination import next_link
from search.domain import Document, Filter, Query
from search.entrypoints.parameters import Complaints, after, alternatives, bounds, box, circle, cursor_of, order
from search.kinds import ITEMS, ROOMS, Kind
from search.text import words
from search.use_cases import Answer, Found, ReadDocument, SearchListings

SPEC = Path(__file__).parent / "openapi.yaml"

Answered = tuple[dict[str, Any], int, dict[str, str]]


@dataclass(frozen=True)
class SearchController:
    find: SearchListings
    document: ReadDocument

    def search_rooms(
        self,
        price_min: int | None = None,
        price_max: int | None = None,
        monthly_price_min: int | None = None,
        monthly_price_max: int | None = None,
        property_size_min: float | None = None,
        property_size_max: float | None = None,
        provider: list[str] | None = None,
        recurrency: list[str] | None = None,
        city: list[str] | None = None,
        country: list[str] | None = None,
        furnished: bool | None = None,
        **common: Any,
    ) -> Answered:
        complaints = Complaints()
        filters: dict[str, Filter | None] = {
            "price": bounds("price", price_min, price_max, complaints),
            "monthly_price": bounds("monthly_price", monthly_price_min, monthly_price_max, complaints),
            "property_size": bounds("property_size", property_size_min, property_size_max, complaints),
            "provider": alternatives(provider),
            "recurrency": tuple(dict.fromkeys(each.lower() for each in recurrency or ())),
            "city": alternatives(city),
            "country": alternatives(country),
            "furnished": furnished,
        }
        return self._search(ROOMS, filters, complaints, **common)

    def search_items(
        self,
        price_min: int | None = None,
        price_max: int | None = None,
        category: list[str] | None = None,
        condition: list[str] | None = None,
        provider: list[str] | None = None,
        city: list[str] | None = None,
        room_id: list[str] | None = None,
        **common: Any,
    ) -> Answered:
        complaints = Complaints()
        filters: dict[str, Filter | None] = {
            "price": bounds("price", price_min, price_max, complaints),
            "category": alternatives(category),
            "condition": tuple(dict.fromkeys(each.lower() for each in condition or ())),
            "provider": alternatives(provider),
            "city": alternatives(city),
            "room_id": tuple(dict.fromkeys(str(UUID(each)) for each in room_id or ())),
        }
        return self._search(ITEMS, filters, complaints, **common)

    def read_room(self, room_id: str) -> Answered:
        return self._read(ROOMS, room_id)

    def read_item(self, item_id: str) -> Answered:
        return self._read(ITEMS, item_id)

    def _search(
        self,
        kind: Kind,
        filters: Mapping[str, Filter | None],
        complaints: Complaints,
        *,
        limit: int,
        q: str | None = None,
        currency: str | None = None,
        near: str | None = None,
        radius: float | None = None,
        bbox: str | None = None,
        sort: str | None = None,
        facets: list[str] | None = None,
        cursor: str | None = None,
    ) -> Answered:
        around = circle(near, radius, complaints)
        sought = words(q or "")
        query = Query(
            words=sought,
            filters={name: each for name, each in filters.items() if each or each is False},
            currency=currency.upper() if currency else None,
            near=around,
            box=box(bbox, complaints),
            sort=order(sort, bool(sought), around, complaints),
            facets=tuple(dict.fromkeys(facets or ())),
            limit=limit,
        )
        complaints.speak()
        answer = self.find(kind, replace(query, after=after(cursor, kind, query)))
        following = None if answer.page.next is None else cursor_of(kind, query, answer.page.next)
        headers = {}
        if following is not None:
            headers["Link"] = next_link(request.path, request.query_string.decode(), following)
        return _shown(kind, answer, following, still_pending(request.environ["asgi.scope"])), 200, headers

    def _read(self, kind: Kind, id: str) -> Answered:
        shown = _shown_document(kind, self.document(kind, str(UUID(id))))
        pending = still_pending(request.environ["asgi.scope"])
        return shown | ({"index": pending} if pending else {}), 200, {}


def _shown(kind: Kind, answer: Answer, following: str | None, pending: dict[str, list[str]]) -> dict[str, Any]:
    return {
        "total": {"value": answer.page.total, "relation": "eq" if answer.complete else "gte"},
        "hits": [_shown_hit(kind, each) for each in answer.found],
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


def _shown_hit(kind: Kind, found: Found) -> dict[str, Any]:
    hit = found.hit
    shown = {
        "id": hit.id,
        "version": hit.version,
        "score": hit.score,
        "distance_m": found.distance_m,
        "highlights": found.highlights,
        kind.singular: hit.listing,
    }
    if kind.holds is not None:
        shown[kind.holds[0]] = [{"id": each.id, "name": each.listing["name"]} for each in found.held]
    return shown


def _shown_document(kind: Kind, document: Document) -> dict[str, Any]:
    return {
        "id": document.id,
        "version": document.version,
        kind.singular: document.listing,
        "trace_id": document.trace_id,
        "request_id": document.request_id,
        "event_id": document.event_id,
        "event_time": document.event_time or None,
        "attempts": document.attempts,
        "deliveries": document.deliveries,
        "indexed_at": document.indexed_at,
    }
