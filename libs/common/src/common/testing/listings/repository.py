"""Places to keep listings: databases that tell what they were told, and memory."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from sqlalchemy import Engine, select

from common.db.doorbell import Doorbell
from common.db.engine import open_engine
from common.db.migrations import migrate
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.outbox import Gate
from common.listings.ports import Listings
from common.listings.sql import SqlListings
from common.testing.listings.api import what
from common.testing.listings.tested import SHOWING, Tested

Event = tuple[str, str, int]  # what, subject, sequence


class Bell(Doorbell):
    """Counts its rings."""

    def __init__(self) -> None:
        self.rings = 0

    def ring(self) -> None:
        self.rings += 1

    def wait(self, timeout: float) -> None:
        raise NotImplementedError

    def close(self) -> None: ...


@dataclass(frozen=True)
class Database:
    tested: Tested
    engine: Engine
    listings: SqlListings
    bell: Bell

    def events(self) -> list[Event]:
        outbox = self.tested.service.tables.outbox
        with self.engine.connect() as connection:
            rows = connection.execute(select(outbox).order_by(outbox.c.id)).all()
        return [(what(self.tested, row.type), row.subject, row.sequence) for row in rows]

    def decoded(self) -> list[dict[str, object]]:
        codec, outbox = Codec(Catalogue.load()), self.tested.service.tables.outbox
        with self.engine.connect() as connection:
            return [codec.decode(body)[1] for (body,) in connection.execute(select(outbox.c.body).order_by(outbox.c.id))]


#: `opened(url, outbox_max=…, migrated=…)`: the listings of a database.
Opened = Callable[..., Database]


def opening(tested: Tested, stack: ExitStack) -> Opened:
    """What opens databases until the stack unwinds."""
    service = tested.service

    def opened(url: str, outbox_max: int = 10_000, migrated: bool = True) -> Database:
        engine = open_engine(url)
        stack.callback(engine.dispose)
        if migrated:
            migrate(engine, service.migrations)
        codec, gate, bell = Codec(Catalogue.load()), Gate(engine, service.tables.outbox, outbox_max), Bell()
        listings = service.listings(service.kind, service.tables, engine, codec, gate, bell, SHOWING)
        return Database(tested, engine, listings, bell)

    return opened


@dataclass(frozen=True)
class Shelf:
    """Some adapter of the port, and what it says it has told."""

    tested: Tested
    listings: Listings
    events: Callable[[], list[Event]]


def in_memory(tested: Tested) -> Shelf:
    listings = tested.in_memory()
    return Shelf(
        tested, listings, lambda: [(what(tested, type), subject, sequence) for type, subject, sequence in listings.events]
    )
