"""Listings in memory: the same promises as the database's, but durable only as long as the object lives."""

import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

import orjson
from uuid_utils import uuid7

from common.errors import Conflict, NotFound, Stale
from common.listings.domain import Aggregate, Kind
from common.listings.ports import Filter, Kept, KeyReused, Listings, Once, Origin, Repeated, Restored, Summary
from common.listings.restore import judged, url_of
from common.listings.showing import Showing
from common.observability.context import current


class MemoryListings(Listings):
    """For tests, and for who wants to try the API without a database. Nothing publishes its `events`."""

    def __init__(self, kind: Kind, shown: Showing) -> None:
        self._kind, self._shown = kind, shown
        self._lock = threading.RLock()
        self._kept: dict[str, Kept] = {}
        self._keys: dict[bytes, tuple[bytes, dict[str, Any], datetime]] = {}
        self.events: list[tuple[str, str, int]] = []  # type, subject, sequence

    def add(self, listing: Aggregate, once: Once | None = None) -> None:
        with self._lock:
            if once is not None:
                self.recall(once)
            self._check_url(listing)
            self._keep(listing)
            if once is not None:
                answer = orjson.loads(orjson.dumps(self._shown(listing), option=orjson.OPT_UTC_Z))
                self._keys[once.key] = once.body, answer, datetime.now(UTC)

    def recall(self, once: Once) -> None:
        with self._lock:
            known = self._keys.get(once.key)
        if known is not None:
            raise Repeated(known[1]) if known[0] == once.body else KeyReused

    def created(self, by: Collection[Once]) -> Mapping[bytes, tuple[bytes, str]]:
        with self._lock:
            return {each.key: (known[0], known[1]["id"]) for each in by if (known := self._keys.get(each.key)) is not None}

    def get(self, id: str) -> Aggregate:
        with self._lock:
            kept = self._kept.get(id)
        if kept is None or kept.listing is None:
            raise NotFound(id)
        return kept.listing

    def put(self, listing: Aggregate) -> None:
        with self._lock:
            self._check_version(listing.id, listing.version - 1)
            self._check_url(listing)
            self._keep(listing)

    def remove(self, listing: Aggregate, at: datetime) -> None:
        with self._lock:
            self._check_version(listing.id, listing.version)
            version = listing.version + 1
            self._kept[listing.id] = Kept(id=listing.id, version=version, what=at, origin=_origin())
            self._tell("Deleted", listing.id, version)

    def list(self, filter: Filter, after: str | None, limit: int, viewer: str | None = None) -> Sequence[Aggregate]:
        return [
            listing
            for listing in self._living()
            if (after is None or listing.id > after)
            and (viewer is None or listing.is_visible or (viewer and listing.owner == viewer))
            and all(getattr(listing if name == "is_visible" else listing.given, name) == value for name, value in filter.items())
        ][:limit]

    def by_urls(self, urls: Sequence[str]) -> dict[str, Aggregate]:
        wanted = set(urls)
        return {
            listing.given.url: listing
            for listing in self._living()
            if listing.given.url is not None and listing.given.url in wanted
        }

    def summary(self) -> Summary:
        kept = self._all()
        living = sum(each.listing is not None for each in kept)
        return Summary(living, len(kept) - living, sum(each.version for each in kept))

    def store(
        self, added: Sequence[Aggregate], revised: Sequence[Aggregate], once: Mapping[str, Once] | None = None
    ) -> Sequence[bool]:
        with self._lock:
            if once and self.created(once.values()):
                return [False] * (len(added) + len(revised))
            written = [self._written(listing) for listing in (*added, *revised)]
            for listing, done in zip(added, written, strict=False):
                if done and once and listing.id in once:
                    self._keys[once[listing.id].key] = once[listing.id].body, {"id": listing.id}, datetime.now(UTC)
            return written

    def kept(self, ids: Collection[str] | None, after: str | None, limit: int) -> Sequence[Kept]:
        return [kept for kept in self._all() if (ids is None or kept.id in ids) and (after is None or kept.id > after)][:limit]

    def restore(self, kept: Sequence[Kept]) -> Sequence[Restored]:
        with self._lock:
            current = {each.id: (each.version, url_of(each)) for each in self._all()}
            outcomes = judged(kept, current)
            for each, outcome in zip(kept, outcomes, strict=True):
                if outcome.outcome == "restored":
                    known = {name: value for name, value in asdict(each.origin).items() if value}
                    self._kept[each.id] = replace(each, origin=replace(_origin(), **known))
                    self._tell(each.event, each.id, each.version)
        return outcomes

    def forget_keys(self, before: datetime) -> int:
        with self._lock:
            old = [key for key, (_, _, at) in self._keys.items() if at < before]
            for key in old:
                del self._keys[key]
        return len(old)

    def _all(self) -> Sequence[Kept]:
        with self._lock:
            return sorted(self._kept.values(), key=lambda kept: kept.id)

    def _living(self) -> Sequence[Aggregate]:
        return [kept.listing for kept in self._all() if kept.listing is not None]

    def _written(self, listing: Aggregate) -> bool:
        try:
            if listing.version > 1:
                self._check_version(listing.id, listing.version - 1)
            self._check_url(listing)
        except (Conflict, NotFound, Stale):
            return False
        self._keep(listing)
        return True

    def _keep(self, listing: Aggregate) -> None:
        self._kept[listing.id] = Kept(id=listing.id, version=listing.version, what=listing, origin=_origin())
        self._tell("Created" if listing.version == 1 else "Updated", listing.id, listing.version)

    def _tell(self, what: str, id: str, version: int) -> None:
        self.events.append((self._kind.event(what), id, version))

    def _check_url(self, listing: Aggregate) -> None:
        if listing.given.url is None:
            return
        for holder in self.by_urls([listing.given.url]).values():
            if holder.id != listing.id:
                raise Conflict("url", holder.id)

    def _check_version(self, id: str, version: int) -> None:
        listing = self.get(id)
        if listing.version != version:
            raise Stale(id, listing.version)


def _origin() -> Origin:
    trace = current()
    return Origin(event_id=str(uuid7()), request_id=trace.request_id, traceparent=trace.traceparent)
