"""Listings in a relational database, each change one statement or transaction with its event."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import Connection, Engine, Insert, Update, delete, func, insert, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError

from common.db.doorbell import Doorbell
from common.db.engine import transaction
from common.db.versioned import Beside, NotHeld, retried, write, write_all
from common.errors import Conflict, NotFound, Stale, Unavailable
from common.events.codec import Codec
from common.events.outbox import Gate, outbox_row
from common.images.table import wanted
from common.listings.domain import Aggregate, Kind
from common.listings.ports import Filter, Kept, KeyReused, Listings, Once, Overtaken, Repeated, Restored, Summary
from common.listings.restore import restored
from common.listings.rows import ORIGIN, Tables, columns, origin, to_kept, to_listing, url_hash
from common.listings.showing import Showing

#: Idempotency keys that one transaction forgets.
FORGOTTEN = 5000


class SqlListings(Listings):
    """Listings of one kind on SQLAlchemy Core: SQLite or PostgreSQL."""

    def __init__(
        self, kind: Kind, tables: Tables, engine: Engine, codec: Codec, gate: Gate, doorbell: Doorbell, shown: Showing
    ) -> None:
        self._kind, self._tables, self._rows = kind, tables, tables.listings
        self._engine, self._codec, self._gate, self._doorbell, self._shown = engine, codec, gate, doorbell, shown
        self._alive = self._rows.c.deleted_at.is_(None)

    def held(self, connection: Connection, listings: Sequence[Aggregate]) -> Sequence[bool]:
        """Whether each is still where it was located; what says so is locked until the transaction ends. For kinds that can move."""
        raise NotImplementedError

    def movable(self, listing: Aggregate) -> bool:
        """Whether `held` has anything to say of it."""
        return False

    def came_back(self, connection: Connection, listings: Sequence[Aggregate]) -> None:
        """What is to be done in the transaction that has restored these."""

    def add(self, listing: Aggregate, once: Once | None = None) -> None:
        event = self._event("Created", listing)
        addition = insert(self._rows).values(id=listing.id, **columns(self._tables, listing), **origin(event))
        self._write(addition, event, listing, once)

    def put(self, listing: Aggregate) -> None:
        event = self._event("Updated", listing)
        if not self._write(self._revision(listing, event), event, listing):
            self._refuse(listing.id)

    def remove(self, listing: Aggregate, at: datetime) -> None:
        version = listing.version + 1
        event = self._deletion(listing.id, version, listing.given.url, at)
        blank = self._tables.blank
        tombstone = self._current(listing.id, listing.version).values(**blank, version=version, deleted_at=at, **origin(event))
        self._gate.admit()
        if not write(self._engine, tombstone, self._tables.outbox, event):
            self._refuse(listing.id)
        self._doorbell.ring()

    def recall(self, once: Once) -> None:
        keys = self._tables.keys
        with self._engine.connect() as connection:
            known = connection.execute(select(keys.c.body, keys.c.answer).where(keys.c.key == once.key)).one_or_none()
        if known is not None:
            raise Repeated(orjson.loads(known.answer)) if known.body == once.body else KeyReused

    def created(self, by: Collection[Once]) -> Mapping[bytes, tuple[bytes, str]]:
        keys = self._tables.keys
        wanted = select(keys.c.key, keys.c.body, keys.c.answer).where(keys.c.key.in_([each.key for each in by]))
        with self._engine.connect() as connection:
            return {row.key: (row.body, orjson.loads(row.answer)["id"]) for row in connection.execute(wanted)}

    def get(self, id: str) -> Aggregate:
        with self._engine.connect() as connection:
            row = connection.execute(select(self._rows).where(self._rows.c.id == id, self._alive)).one_or_none()
        if row is None:
            raise NotFound(id)
        return to_listing(self._kind, row)

    def list(self, filter: Filter, after: str | None, limit: int, viewer: str | None = None) -> Sequence[Aggregate]:
        rows = self._rows
        wanted = select(rows).where(self._alive, *(rows.c[name] == value for name, value in filter.items()))
        if after is not None:
            wanted = wanted.where(rows.c.id > after)
        if viewer is not None:
            wanted = wanted.where(or_(rows.c.is_visible, rows.c.owner == viewer) if viewer else rows.c.is_visible)
        with self._engine.connect() as connection:
            return [to_listing(self._kind, row) for row in connection.execute(wanted.order_by(rows.c.id).limit(limit))]

    def by_urls(self, urls: Sequence[str]) -> dict[str, Aggregate]:
        if not urls:
            return {}
        wanted = select(self._rows).where(self._rows.c.url_hash.in_([url_hash(url) for url in urls]))
        with self._engine.connect() as connection:
            found = [to_listing(self._kind, row) for row in connection.execute(wanted)]
        return {each.given.url: each for each in found if each.given.url is not None}

    def summary(self) -> Summary:
        versions = func.coalesce(func.sum(self._rows.c.version), 0)
        everything = select(func.count().filter(self._alive), func.count().filter(~self._alive), versions).select_from(self._rows)
        with self._engine.connect() as connection:
            return Summary(*map(int, connection.execute(everything).one()))

    def store(
        self, added: Sequence[Aggregate], revised: Sequence[Aggregate], once: Mapping[str, Once] | None = None
    ) -> Sequence[bool]:
        # Everyone takes the rows' locks in one order: two who store the same listings would else wait for each other.
        new = sorted(added, key=lambda listing: (listing.given.url or "", listing.id))
        changed = sorted(revised, key=lambda listing: (listing.id, listing.version))
        creations, updates = (
            [self._event(type, listing) for listing in of] for type, of in (("Created", new), ("Updated", changed))
        )
        rows = [
            {"id": listing.id, **columns(self._tables, listing), **origin(event)}
            for listing, event in zip(new, creations, strict=True)
        ]
        revisions = [self._revision(listing, event) for listing, event in zip(changed, updates, strict=True)]
        events, listings = [*creations, *updates], [*new, *changed]
        self._gate.admit(len(events))
        beside = [self._beside(listing) for listing in listings]
        once = once or {}
        for position, listing in enumerate(new):
            if listing.id in once:
                beside[position] = [*beside[position], self._key(once[listing.id], {"id": listing.id})]
        try:
            written = write_all(
                self._engine,
                self._addition(),
                rows,
                revisions,
                self._tables.outbox,
                events,
                beside,
                (lambda connection: self._all_held(connection, listings)) if any(map(self.movable, listings)) else None,
            )
        except IntegrityError:
            if not self.created(once.values()):
                raise
            return [False] * len(listings)
        self._doorbell.ring()
        done = {(listing.id, listing.version): ok for listing, ok in zip(listings, written, strict=True)}
        return [done[listing.id, listing.version] for listing in (*added, *revised)]

    def kept(self, ids: Collection[str] | None, after: str | None, limit: int) -> Sequence[Kept]:
        wanted = select(self._rows).order_by(self._rows.c.id).limit(limit)
        if ids is not None:
            wanted = wanted.where(self._rows.c.id.in_(ids))
        if after is not None:
            wanted = wanted.where(self._rows.c.id > after)
        with self._engine.connect() as connection:
            return [to_kept(self._kind, row) for row in connection.execute(wanted)]

    def restore(self, kept: Sequence[Kept]) -> Sequence[Restored]:
        self._gate.admit(len(kept))
        events = [self._told(each) for each in kept]
        beside = [() if each.listing is None else self._beside(each.listing) for each in kept]

        def step() -> Sequence[Restored]:
            with transaction(self._engine) as connection:
                outcomes = restored(connection, self._tables, kept, events, beside)
                back = [each.listing for each, made in zip(kept, outcomes, strict=True) if made.outcome == "restored"]
                self.came_back(connection, [each for each in back if each is not None])
                return outcomes

        try:
            outcomes = retried(step, IntegrityError)  # where someone took a url after it was seen to be free
        except IntegrityError:
            raise Unavailable("the database", f"others keep taking the urls of these {self._kind.plural}") from None
        self._doorbell.ring()
        return outcomes

    def forget_keys(self, before: datetime) -> int:
        keys = self._tables.keys
        old = select(keys.c.key).where(keys.c.created_at < before).limit(FORGOTTEN)
        forgotten = 0
        while True:
            with transaction(self._engine) as connection:
                now = connection.execute(delete(keys).where(keys.c.key.in_(old))).rowcount
            forgotten += now
            if now < FORGOTTEN:
                return forgotten

    def _addition(self) -> Insert:
        insert_or_leave: Any = (postgresql if self._engine.dialect.name == "postgresql" else sqlite).insert
        addition: Insert = insert_or_leave(self._rows).on_conflict_do_nothing(index_elements=["url_hash"])
        return addition.returning(self._rows.c.id)

    def _event(self, what: str, listing: Aggregate) -> dict[str, Any]:
        return outbox_row(
            self._codec,
            type=self._kind.event(what),
            subject=listing.id,
            sequence=listing.version,
            time=listing.updated_at,
            data=self._shown(listing),
        )

    def _deletion(self, id: str, version: int, url: str | None, at: datetime) -> dict[str, Any]:
        data = {"id": id, "version": version, "url": url, "deleted_at": at}
        return outbox_row(self._codec, type=self._kind.event("Deleted"), subject=id, sequence=version, time=at, data=data)

    def _told(self, kept: Kept) -> dict[str, Any]:
        """The event that told this version, once more; a tombstone does not know its url any more."""
        what = kept.what
        event = self._event(kept.event, what) if isinstance(what, Aggregate) else self._deletion(kept.id, kept.version, "", what)
        return event | {name: getattr(kept.origin, name) or event[name] for name in ORIGIN}

    def _beside(self, listing: Aggregate) -> Sequence[Beside]:
        """What is written with a listing beside its event: its images are to be fetched, once whoever names them."""
        images = wanted(image.url for image in listing.given.images)
        return [Beside(self._tables.images, images, spare=True)] if images else ()

    def _write(self, change: Insert | Update, event: Mapping[str, Any], listing: Aggregate, once: Once | None = None) -> bool:
        self._gate.admit()
        beside = [*self._beside(listing)]
        if once is not None:
            beside.append(self._key(once, self._shown(listing)))
        held: Callable[[Connection], bool] | None = None
        if self.movable(listing):
            held = lambda connection: all(self.held(connection, [listing]))  # noqa: E731
        try:
            written = write(self._engine, change, self._tables.outbox, event, beside, held)
        except NotHeld:
            raise Overtaken from None
        except IntegrityError as error:
            if once is not None:
                self.recall(once)
            with self._engine.connect() as connection:
                url = None if listing.given.url is None else url_hash(listing.given.url)
                holder = connection.scalar(select(self._rows.c.id).where(self._rows.c.url_hash == url))
            # Gone again since then: who asks once more may well succeed.
            raise Conflict("url", holder or "") from error
        if written:
            self._doorbell.ring()
        return written

    def _key(self, once: Once, answer: Mapping[str, Any]) -> Beside:
        """Written with what was created; that it is there already is an IntegrityError."""
        kept = orjson.dumps(answer, option=orjson.OPT_UTC_Z)
        return Beside(self._tables.keys, [{"key": once.key, "body": once.body, "answer": kept, "created_at": datetime.now(UTC)}])

    def _all_held(self, connection: Connection, listings: Sequence[Aggregate]) -> Sequence[bool]:
        movable = [listing for listing in listings if self.movable(listing)]
        holds = dict(zip(((each.id, each.version) for each in movable), self.held(connection, movable), strict=True))
        return [holds.get((each.id, each.version), True) for each in listings]

    def _refuse(self, id: str) -> None:
        """Says why no row was changed."""
        raise Stale(id, self.get(id).version)

    def _current(self, id: str, version: int) -> Update:
        return update(self._rows).where(self._rows.c.id == id, self._rows.c.version == version, self._alive)

    def _revision(self, listing: Aggregate, event: Mapping[str, Any]) -> Update:
        current = self._current(listing.id, listing.version - 1)
        return current.values(**columns(self._tables, listing), **origin(event))
