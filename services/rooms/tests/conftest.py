"""What the tests of rooms share: listings, and the API over real HTTP on a database of its own."""

import hashlib
import itertools
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import flask
import httpx
import pytest
from psycopg import sql
from sqlalchemy import Engine, Row, make_url, select

from common.config import load
from common.db.doorbell import Doorbell
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.container import CONTENT_TYPE
from common.testing.real_servers import administer
from common.web.app import Application, Module
from common.web.serve import running
from rooms.adapters.tables import TABLES
from rooms.bootstrap import SERVICE
from rooms.config import Config

IMAGES = "http://images.example/kept"
MakeListing = Callable[..., dict[str, Any]]


@dataclass(frozen=True)
class Api:
    """A running API, a client of it, and what it has written since this was made."""

    client: httpx.Client
    app: Application
    database_url: str
    since: int = 0  # the last event before
    codec: Codec = field(default_factory=lambda: Codec(Catalogue.load()))

    def create(self, listing: dict[str, Any]) -> dict[str, Any]:
        answer = self.client.post("/v1.0/rooms", json=listing)
        assert answer.status_code == 201, answer.text
        room: dict[str, Any] = answer.json()
        return room

    def events(self) -> list[tuple[str, str, int]]:
        """(type, subject, sequence) of each event that waits, in the order they were written."""
        return [(row.type, row.subject, row.sequence) for row in self._waiting()]

    def told(self) -> list[dict[str, Any]]:
        """What the events say, decoded."""
        return [self.codec.decode(row.body)[1] for row in self._waiting()]

    def exported(self, *ids: str) -> list[dict[str, Any]]:
        """What the export says: all, or of these ids."""
        answer = self.client.get("/v1.0/rooms/export", params={"id": list(ids)})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, CONTENT_TYPE), answer.text
        return list(SERVICE.container().read([answer.content]))

    def stored(self, images: list[dict[str, str]]) -> list[dict[str, str]]:
        """Images as they are answered: with where our copies of them are."""
        names = [hashlib.sha256(image["url"].encode()).hexdigest() for image in images]
        return [
            image | {"stored_url": f"{IMAGES}/{name}.jpg", "thumbnail_url": f"{IMAGES}/{name}.thumb.jpg"}
            for image, name in zip(images, names, strict=True)
        ]

    def from_now_on(self) -> "Api":
        return replace(self, since=max((row.id for row in self._waiting()), default=self.since))

    def _waiting(self) -> list[Row[Any]]:
        outbox = TABLES.outbox
        with self.app.injector.get(Engine).connect() as connection:
            return list(connection.execute(select(outbox).where(outbox.c.id > self.since).order_by(outbox.c.id)))


OpenApi = Callable[..., Api]


@pytest.fixture(scope="session")
def listing() -> MakeListing:
    """Makes listings as clients send them, each with a url of its own; what is given replaces what is usual."""
    numbers = itertools.count(1)

    def make(**changes: Any) -> dict[str, Any]:
        return {
            "name": "Attic room",
            "description": "Quiet and bright.",
            "price": 650,
            "recurrency": "monthly",
            "provider": "nestly",
            "url": f"https://rooms.example/{next(numbers)}",
            "coordinates": {"lat": 52.4986, "lon": 13.4034},
        } | changes

    return make


@pytest.fixture(scope="session")
def open_api() -> Callable[[ExitStack], OpenApi]:
    """Serves the API on a database that it migrates first; `settings` are those of the environment."""

    def within(stack: ExitStack) -> OpenApi:
        def serve(
            database_url: str,
            *modules: Module,
            migrate: bool = True,
            views: Callable[[flask.Flask], None] | None = None,
            **settings: str,
        ) -> Api:
            environment = {
                "DATABASE_URL": database_url,
                "BROKER_URL": "amqp://guest:guest@127.0.0.1:1/",
                "IMAGES_URL": IMAGES,
            } | settings
            config = load(Config, environment)
            if migrate:
                SERVICE.migrate(config)
            app = SERVICE.http(config, *modules, views=views)
            server = stack.enter_context(running(app))
            stack.callback(app.injector.get(Engine).dispose)
            stack.callback(app.injector.get(Doorbell).close)
            client = stack.enter_context(httpx.Client(base_url=server.url, timeout=30))
            return Api(client, app, database_url)

        return serve

    return within


@pytest.fixture
def serve(open_api: Callable[[ExitStack], OpenApi]) -> Iterator[OpenApi]:
    """`serve(database_url, *modules, **settings)`: an API until the end of the test."""
    with ExitStack() as stack:
        yield open_api(stack)


@pytest.fixture(scope="session")
def sqlite_api(open_api: Callable[[ExitStack], OpenApi], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with ExitStack() as stack:
        yield open_api(stack)(f"sqlite:///{tmp_path_factory.mktemp('rooms')}/rooms.db")


@pytest.fixture(scope="session")
def postgresql_api(open_api: Callable[[ExitStack], OpenApi], postgres_server: str) -> Iterator[Api]:
    with ExitStack() as stack:
        database = f"t-{uuid.uuid4().hex[:16]}"
        name = sql.Identifier(database)
        _administered(postgres_server, sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(name))
        stack.callback(_administered, postgres_server, sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        yield open_api(stack)(make_url(postgres_server).set(database=database).render_as_string(hide_password=False))


def _administered(server: str, statement: sql.Composed) -> None:
    with administer(server) as connection:
        connection.execute(statement)


@pytest.fixture(params=["sqlite", "postgresql"])
def api(request: pytest.FixtureRequest) -> Api:
    """An API that other tests use too, once on SQLite and once on PostgreSQL."""
    running: Api = request.getfixturevalue(f"{request.param}_api")
    return running.from_now_on()


@pytest.fixture
def shared(sqlite_api: Api) -> Api:
    """An API on SQLite that other tests use too, for what is decided before any database."""
    return sqlite_api.from_now_on()
