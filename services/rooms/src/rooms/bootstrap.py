"""The composition root of rooms: the only place that picks adapters."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import flask
from injector import Binder, Injector, inject, singleton
from sqlalchemy import Engine

from common.db import migrations
from common.db.doorbell import Doorbell, doorbell
from common.db.engine import open_engine, ping
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.container import CONTENT_TYPE, Container
from common.events.outbox import Gate
from common.events.relay import Relay
from common.messaging.connect import connect
from common.messaging.port import Broker
from common.messaging.topology import ROOMS, TOPOLOGY
from common.web.app import Application, Module, create_app
from common.web.download import download
from common.web.health import Check
from common.web.streaming import Limits, Stream, ndjson
from common.web.validation import Schema, component_schema
from rooms.adapters.places import OfflineAreas
from rooms.adapters.sql import SqlRooms, outbox
from rooms.config import Config
from rooms.entrypoints.backup import Restoration
from rooms.entrypoints.export import RoomsFile
from rooms.entrypoints.http import SPEC, RoomsController, location
from rooms.entrypoints.lines import RoomLines
from rooms.ports import Areas, Clock, Rooms
from rooms.use_cases import ExportRooms, ImportRooms, ListRooms, PublishRoom, ReadRoom, RestoreRooms, ReviseRoom, WithdrawRoom

MIGRATIONS = Path(__file__).parent / "adapters" / "migrations"


class SystemClock(Clock):
    def now(self) -> datetime:
        return datetime.now(UTC)


def configure(config: Config) -> Module:
    """The bindings for one configuration. Whatever is opened here connects when it is first used."""

    def bindings(binder: Binder) -> None:
        engine = open_engine(config.database_url)
        bell = doorbell(engine)
        catalogue = Catalogue.load()
        codec = Codec(catalogue)
        gate = Gate(engine, outbox, config.outbox_max)
        binder.bind(Engine, to=engine)
        binder.bind(Doorbell, to=bell)
        binder.bind(Codec, to=codec)
        binder.bind(Container, to=container(catalogue))
        binder.bind(Broker, to=connect(config.broker_url, "rooms"))
        binder.bind(Rooms, to=SqlRooms(engine, codec, gate, bell))
        binder.bind(Areas, to=OfflineAreas())
        binder.bind(Clock, to=SystemClock())
        binder.bind(Schema, to=component_schema(SPEC, "Listing"))
        verbs = (PublishRoom, ReviseRoom, WithdrawRoom, ReadRoom, ListRooms, ImportRooms, ExportRooms, RestoreRooms)
        for each in (*verbs, RoomLines, RoomsFile, Restoration, RoomsController):
            binder.bind(each, to=inject(each), scope=singleton)

    return bindings


def http(config: Config, *overrides: Module, views: Callable[[flask.Flask], None] | None = None) -> Application:
    """The API. `overrides` rebind what a test wants to swap."""
    limits = Limits(line=config.body_limit, batch_bytes=4 * config.body_limit)
    app = create_app(
        name="rooms",
        spec=SPEC,
        controller=RoomsController,
        modules=[configure(config), *overrides],
        checks=[
            Check("database", lambda: ping(app.injector.get(Engine))),
            Check("broker", lambda: app.injector.get(Broker).ping(), required=False),
        ],
        streams=[
            Stream("POST", "/rooms/import", lambda injector: ndjson(injector.get(RoomLines), limits=limits)),
            Stream(
                "GET",
                "/rooms/export",
                lambda injector: download(injector.get(RoomsFile), content_type=CONTENT_TYPE, filename="rooms.avro"),
            ),
        ],
        body_limit=config.body_limit,
        cors_origins=config.cors_origins,
        views=views,
        location=location,
    )
    return app


def warm_up() -> None:
    """Does now what the first request would otherwise wait for."""
    OfflineAreas().load()


def container(catalogue: Catalogue) -> Container:
    """How exports are written and read."""
    return Container(catalogue, "RoomExported")


def relay(injector: Injector) -> Relay:
    """What publishes the outbox, made of an application's parts or of parts of its own."""
    return Relay(
        engine=injector.get(Engine),
        outbox=outbox,
        doorbell=injector.get(Doorbell),
        broker=injector.get(Broker),
        topology=TOPOLOGY,
        exchange=ROOMS,
        codec=injector.get(Codec),
    )


def migrate(config: Config) -> tuple[str | None, str | None]:
    """Brings the database to the newest schema; answers the revisions (before, after)."""
    engine = open_engine(config.database_url)
    try:
        return migrations.migrate(engine, MIGRATIONS)
    finally:
        engine.dispose()


def pending(engine: Engine) -> bool:
    """Is the database's schema not the newest?"""
    return migrations.pending(engine, MIGRATIONS)
