"""What can be done with listings of any kind, one class per verb."""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

from uuid_utils import uuid7

from common.backoff import Backoff
from common.errors import Conflict, Forbidden, Invalid, NotFound, Stale, Unavailable
from common.listings.domain import IDEMPOTENCY_KEY, Aggregate, Given, Kind, Located
from common.listings.fields import web_url
from common.listings.ports import Clock, Filter, Kept, Listings, Locator, Once, Overtaken, Restored, Summary
from common.security.principal import Principal

T = TypeVar("T")

#: How often a change is tried again that another one overtook, after pauses which grow to LONGEST seconds.
RETRIES, LONGEST = 30, 0.2
#: Rows that an export reads at a time.
PAGE = 500


@dataclass(frozen=True)
class Publish:
    """Raises Conflict if a living listing has the same url, Invalid where it cannot be where it says, Repeated and KeyReused."""

    kind: Kind
    listings: Listings
    locator: Locator
    clock: Clock

    def __call__(self, given: Given, by: Principal, once: Once | None = None) -> Aggregate:
        def published() -> Aggregate:
            located, now = _located(self.locator, given), self.clock.now()
            listing = self.kind.listing(
                id=str(uuid7()), version=1, owner=by.owner, given=given, located=located, created_at=now, updated_at=now
            )
            self.listings.add(listing, once)
            return listing

        try:
            return _overtaking(published, None)
        except Conflict as conflict:
            raise _disclosed(conflict, self.listings, by) from conflict
        except (Invalid, Unavailable):
            if once is not None:  # it may have been possible when it came first
                self.listings.recall(once)
            raise


@dataclass(frozen=True)
class Revise:
    """Raises NotFound, Forbidden, Conflict, Stale where the current version is not among `expected`, Invalid as Publish, Unavailable
    where others never let it through.
    """

    listings: Listings
    locator: Locator
    clock: Clock

    def __call__(
        self, id: str, revision: Callable[[Aggregate], Given], by: Principal, expected: Collection[int] | None = None
    ) -> Aggregate:
        """`revision` makes what is given from the current listing; it may be asked again if another change comes between."""

        def revised() -> Aggregate:
            current = _for_change(self.listings, id, by, expected)
            given = revision(current)
            located = current.located if self.locator.stays(current.given, given) else _located(self.locator, given)
            listing = current.revised(given, located, self.clock.now())
            self.listings.put(listing)
            return listing

        try:
            return _overtaking(revised, expected)
        except Conflict as conflict:
            raise _disclosed(conflict, self.listings, by) from conflict


@dataclass(frozen=True)
class Withdraw:
    """Raises NotFound, Forbidden, Stale where the current version is not among `expected`, Unavailable where others never let it
    through.
    """

    listings: Listings
    clock: Clock

    def __call__(self, id: str, by: Principal, expected: Collection[int] | None = None) -> int:
        """Answers the tombstone's version."""

        def withdrawn() -> int:
            current = _for_change(self.listings, id, by, expected)
            self.listings.remove(current, self.clock.now())
            return current.version + 1

        return _overtaking(withdrawn, expected)


@dataclass(frozen=True)
class Read:
    """Raises NotFound, also for a hidden listing that is another's."""

    listings: Listings

    def __call__(self, id: str, by: Principal) -> Aggregate:
        listing = self.listings.get(id)
        if not may_see(listing, by):
            raise NotFound(id)
        return listing


@dataclass(frozen=True)
class Browse:
    """The listings that somebody may see, oldest first."""

    listings: Listings

    def __call__(self, filter: Filter, after: str | None, limit: int, by: Principal) -> Sequence[Aggregate]:
        return self.listings.list(filter, after, limit, None if by.is_admin else by.owner)


@dataclass(frozen=True)
class Export:
    """All that is kept, hidden listings and tombstones too, ordered by id.

    No snapshot: each is as it was when its page was read. What has changed since has its event, which is newer.
    """

    listings: Listings

    def __call__(self, ids: Collection[str] | None = None) -> Iterator[Kept]:
        """Reads a page when its first is asked for, and holds nothing of the database between pages. Raises Unavailable."""
        after = None
        while page := self.listings.kept(ids, after, PAGE):
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].id


@dataclass(frozen=True)
class Restore:
    """Puts back what an export holds: ids, versions, owners and times as they were, and an event for each. What is newer here stays."""

    listings: Listings
    locator: Locator

    def __call__(self, kept: Sequence[Kept]) -> Sequence[Restored]:
        """One answer each, in order. Raises Unavailable; to restore the same once more is harmless."""
        return self.listings.restore([self._located(each) for each in kept])

    def _located(self, kept: Kept) -> Kept:
        """An export does not tell where a listing would be whose place was given: that is found anew."""
        listing = kept.listing
        if listing is None or listing.located is not None:
            return kept
        (located,) = self.locator.locate([listing.given])
        return kept if isinstance(located, Invalid) else replace(kept, what=replace(listing, located=located))


@dataclass(frozen=True)
class Summarise:
    listings: Listings

    def __call__(self) -> Summary:
        return self.listings.summary()


Outcome = Literal["created", "updated", "unchanged", "invalid", "forbidden"]


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of one imported listing."""

    outcome: Outcome
    id: str | None = None
    problem: Invalid | Forbidden | None = None


@dataclass(frozen=True)
class Import:
    """Publishes or revises many listings, found again by their url. A listing that changes nothing writes nothing."""

    kind: Kind
    listings: Listings
    locator: Locator
    clock: Clock

    def __call__(
        self, documents: Sequence[dict[str, Any]], by: Principal, once: Mapping[int, Once] | None = None
    ) -> list[Imported]:
        """One answer per document, in order; each has been accepted by the API's schema. Raises Unavailable.

        Documents with the same url come one after the other, as if each had been sent alone; without a url each is a new listing, or
        the one that was created when it came before: `once` says so, by its position.
        """
        once = once or {}
        outcomes: dict[int, Imported] = {}
        waiting: dict[int, str | None] = {}
        for line, document in enumerate(documents):
            try:
                waiting[line] = None if document.get("url") is None else web_url(document["url"], "url")
            except Invalid as error:
                outcomes[line] = Imported("invalid", problem=error)
        fruitless, backoff = 0, _backoff()
        while waiting:
            settled = self._repeated(waiting, once) or self._round(documents, waiting, by, once)
            outcomes |= settled
            waiting = {line: url for line, url in waiting.items() if line not in settled}
            fruitless = 0 if settled else fruitless + 1
            if settled:
                backoff.reset()
            elif fruitless == RETRIES:
                raise Unavailable("a place among those who change the same listings")
            else:
                time.sleep(backoff.pause())
        return [outcomes[line] for line in range(len(documents))]

    def _repeated(self, waiting: Mapping[int, str | None], once: Mapping[int, Once]) -> dict[int, Imported]:
        """Those that came before."""
        asked = {line: once[line] for line in waiting if line in once}
        known = self.listings.created(asked.values()) if asked else {}
        return {line: _again(*known[each.key], each) for line, each in asked.items() if each.key in known}

    def _round(
        self, documents: Sequence[dict[str, Any]], waiting: dict[int, str | None], by: Principal, once: Mapping[int, Once]
    ) -> dict[int, Imported]:
        """Those of `waiting` (line → url) that could be settled: not the ones that another writer overtook, nor lines behind a
        write of the same listing, which depend on how that ends.
        """
        settled: dict[int, Imported] = {}
        known = self.listings.by_urls(list({url for url in waiting.values() if url is not None}))
        changes: dict[int, tuple[Aggregate | None, Given]] = {}
        being_written: set[str] = set()
        for line, url in waiting.items():
            if url in being_written:
                continue
            current = known.get(url) if url is not None else None
            outcome = self._judged(documents[line], current, by)
            if isinstance(outcome, Imported):
                settled[line] = outcome
                continue
            changes[line] = current, outcome
            if url is not None:
                being_written.add(url)
        return settled | self._written(changes, by, once)

    def _judged(self, document: dict[str, Any], current: Aggregate | None, by: Principal) -> Given | Imported:
        """What is to be written, or what becomes of this line as it is."""
        id = None if current is None else current.id
        try:
            if current is not None:
                require_owner(current, by)
            given = self.kind.given.parse(document if current is None else current.unechoed(document))
        except Invalid as error:
            return Imported("invalid", id, error)
        except Forbidden as error:
            return Imported("forbidden", id if current is not None and may_see(current, by) else None, error)
        return given if current is None or current.given != given else Imported("unchanged", id)

    def _written(
        self, changes: dict[int, tuple[Aggregate | None, Given]], by: Principal, once: Mapping[int, Once]
    ) -> dict[int, Imported]:
        settled: dict[int, Imported] = {}
        added: dict[int, Aggregate] = {}
        revised: dict[int, Aggregate] = {}
        now = self.clock.now()
        stays = {line for line, (current, given) in changes.items() if current and self.locator.stays(current.given, given)}
        places = iter(self.locator.locate([given for line, (_, given) in changes.items() if line not in stays]))
        for line, (current, given) in changes.items():
            located = current.located if current is not None and line in stays else next(places)
            if isinstance(located, Invalid):
                settled[line] = Imported("invalid", None if current is None else current.id, located)
            elif current is None:
                added[line] = self.kind.listing(
                    id=str(uuid7()), version=1, owner=by.owner, given=given, located=located, created_at=now, updated_at=now
                )
            else:
                revised[line] = current.revised(given, located, now)
        if added or revised:
            keys = {listing.id: once[line] for line, listing in added.items() if line in once}
            written = iter(self.listings.store(list(added.values()), list(revised.values()), keys))
            settled |= {line: Imported("created", listing.id) for line, listing in added.items() if next(written)}
            settled |= {line: Imported("updated", listing.id) for line, listing in revised.items() if next(written)}
        return settled


def _again(body: bytes, id: str, once: Once) -> Imported:
    if body == once.body:
        return Imported("created", id)
    return Imported("invalid", problem=Invalid.field(IDEMPOTENCY_KEY, "came with another line in this place before", "header"))


def may_see(listing: Aggregate, by: Principal) -> bool:
    """Hidden listings are for their owner, and for who may see all."""
    return listing.is_visible or by.is_admin or bool(listing.owner and listing.owner == by.owner)


def require_owner(listing: Aggregate, by: Principal) -> None:
    """Raises Forbidden. What was written by nobody in particular, as before there was an issuer, is for admins to change."""
    if not by.is_admin and (not listing.owner or listing.owner != by.owner):
        raise Forbidden("this listing belongs to somebody else")


def _disclosed(conflict: Conflict, listings: Listings, by: Principal) -> Conflict:
    """What may be said of it: which listing is in the way only to who may see that one."""
    try:
        seen = bool(conflict.existing_id) and may_see(listings.get(conflict.existing_id), by)
    except NotFound:  # gone since
        seen = False
    return conflict if seen else Conflict(conflict.field, "")


def _for_change(listings: Listings, id: str, by: Principal, expected: Collection[int] | None) -> Aggregate:
    current = listings.get(id)
    if not may_see(current, by):
        raise NotFound(id)
    require_owner(current, by)
    if expected is not None and current.version not in expected:
        raise Stale(current.id, current.version)
    return current


def _located(locator: Locator, given: Given) -> Located | None:
    (located,) = locator.locate([given])
    if isinstance(located, Invalid):
        raise located
    return located


def _overtaking(change: Callable[[], T], expected: Collection[int] | None) -> T:
    """Does what may raise Stale until it does not; at once where a version is expected."""
    backoff = _backoff()
    for _ in range(RETRIES):
        try:
            return change()
        except Stale:
            if expected is not None:
                raise
        except Overtaken:
            pass
        time.sleep(backoff.pause())
    raise Unavailable("a place among those who change this listing")


def _backoff() -> Backoff:
    return Backoff(shortest=0.002, longest=LONGEST)
