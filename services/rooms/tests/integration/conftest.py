"""Rooms to store, and the places to store them: databases that tell what they were told, and memory."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, select
from uuid_utils import uuid7

from common.db.doorbell import Doorbell
from common.db.engine import open_engine
from common.db.migrations import migrate
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.outbox import Gate
from common.listings.fields import Coordinates, Image
from common.listings.memory import MemoryListings
from common.listings.ports import Listings
from common.listings.showing import Showing
from common.listings.sql import SqlListings
from rooms.adapters.tables import TABLES
from rooms.bootstrap import SERVICE
from rooms.domain import ROOM, Area, Listing, Room

SHOWING = Showing("http://127.0.0.1:8001/images")
NOW = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)


class Bell(Doorbell):
    """Counts its rings."""

    def __init__(self) -> None:
        self.rings = 0

    def ring(self) -> None:
        self.rings += 1

    def wait(self, timeout: float) -> None:
        raise NotImplementedError

    def close(self) -> None: ...


@dataclass
class Database:
    engine: Engine
    rooms: SqlListings
    bell: Bell

    def events(self) -> list[tuple[str, str, int]]:
        with self.engine.connect() as connection:
            rows = connection.execute(select(TABLES.outbox).order_by(TABLES.outbox.c.id)).all()
        return [(row.type, row.subject, row.sequence) for row in rows]

    def decoded(self) -> list[dict[str, object]]:
        codec = Codec(Catalogue.load())
        with self.engine.connect() as connection:
            return [
                codec.decode(body)[1] for (body,) in connection.execute(select(TABLES.outbox.c.body).order_by(TABLES.outbox.c.id))
            ]


@pytest.fixture
def opened() -> Iterator[Callable[..., Database]]:
    """`opened(url, outbox_max=…, migrated=…)`: the rooms of a database."""
    with ExitStack() as stack:

        def open(url: str, outbox_max: int = 10_000, migrated: bool = True) -> Database:
            engine = open_engine(url)
            stack.callback(engine.dispose)
            if migrated:
                migrate(engine, SERVICE.migrations)
            bell = Bell()
            gate = Gate(engine, TABLES.outbox, outbox_max)
            codec = Codec(Catalogue.load())
            return Database(engine, SqlListings(ROOM, TABLES, engine, codec, gate, bell, SHOWING), bell)

        yield open


@pytest.fixture
def database(opened: Callable[..., Database], database_url: str) -> Database:
    return opened(database_url)


@dataclass
class Shelf:
    """Some adapter of the port, and what it says it has told."""

    rooms: Listings
    events: Callable[[], list[tuple[str, str, int]]]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def shelf(request: pytest.FixtureRequest, opened: Callable[..., Database]) -> Shelf:
    """Each adapter of the port, empty."""
    if request.param == "memory":
        rooms = MemoryListings(ROOM, SHOWING)
        return Shelf(rooms, lambda: rooms.events)
    database = opened(request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param]))
    return Shelf(database.rooms, database.events)


@pytest.fixture(scope="session")
def a_room() -> Callable[..., Room]:
    """Makes rooms, each with an id and a url of its own; what is given replaces what is usual."""

    def make(**given: object) -> Room:
        listing = Listing(
            **{
                "name": "Römisch-kathol. 房间 😀",
                "description": "d",
                "price": 10**12,
                "recurrency": "daily",
                "provider": "p",
                "url": f"https://a.example/{uuid7()}",
                "coordinates": Coordinates(lat=52.123456789, lon=-13.0),
                "property_size": 12.5,
                "furnished": True,
                "area": Area(id="7", name="X", city="Y", country="Z", coordinates=Coordinates(lat=1.0, lon=2.0)),
                "images": (Image(url="https://a.example/1.jpg"),),
            }
            | given
        )
        located = Area(name="Mitte", city="Berlin", country="Germany")
        return Room(id=str(uuid7()), version=1, given=listing, located=located, created_at=NOW, updated_at=NOW)

    return make
