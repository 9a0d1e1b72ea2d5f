"""The API of a service of listings over real HTTP, and what it has written."""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

import flask
import httpx
import orjson
from sqlalchemy import Engine, Row, select

from common.config import load
from common.db.doorbell import Doorbell
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.container import CONTENT_TYPE
from common.listings.domain import IDEMPOTENCY_KEY
from common.testing.listings.tested import IMAGES, Body, Tested
from common.web.app import Application, Module
from common.web.pagination import encode_cursor
from common.web.serve import running

NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}
NOBODY = "01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"
NOWHERE = "postgresql+psycopg://nobody:secret@127.0.0.1:1/none"


@dataclass(frozen=True)
class Api:
    """A running API, a client of it, and what it has written since this was made."""

    tested: Tested
    client: httpx.Client
    app: Application
    database_url: str
    since: int = 0  # the last event before
    after: str | None = None  # the last listing before
    codec: Codec = field(default_factory=lambda: Codec(Catalogue.load()))

    @property
    def path(self) -> str:
        return self.tested.path

    @property
    def url(self) -> str:
        return f"{str(self.client.base_url).rstrip('/')}{self.path}"

    @property
    def nobody(self) -> str:
        """The path of a listing that has never been."""
        return f"{self.path}/{NOBODY}"

    def at(self, listing: Body) -> str:
        """Its path."""
        return f"{self.path}/{listing['id']}"

    def create(self, listing: Body, **headers: str) -> Body:
        answer = self.client.post(self.path, json=listing, headers=headers)
        assert answer.status_code == 201, answer.text
        made: Body = answer.json()
        return made

    def patched(self, listing: Body, **changes: Any) -> Body:
        answer = self.client.patch(self.at(listing), json=changes)
        assert answer.status_code == 200, answer.text
        made: Body = answer.json()
        return made

    def imported(self, content: Any, key: str | None = None) -> list[dict[str, Any]]:
        """The outcomes of these lines: bodies, or bytes as they are."""
        body = lines(content) if isinstance(content, list) else content
        headers = NDJSON if key is None else {**NDJSON, IDEMPOTENCY_KEY: key}
        answer = self.client.post(f"{self.path}/import", content=body, headers=headers)
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, NDJSON["Content-Type"]), answer.text
        return [orjson.loads(line) for line in answer.content.splitlines()]

    def listed(self, **query: Any) -> list[Body]:
        """All living listings since this was made, page after page."""
        found: list[Body] = []
        asked = {"limit": 100} | query | ({} if self.after is None else {"cursor": encode_cursor((self.after,))})
        page = self.client.get(self.path, params=asked)
        while True:
            assert page.status_code == 200, page.text
            found += page.json()
            if "next" not in page.links:
                return found
            page = self.client.get(page.links["next"]["url"])

    def events(self) -> list[tuple[str, str, int]]:
        """(what, subject, sequence) of each event that waits, in the order they were written; `Created` for `RoomCreated`."""
        return [(what(self.tested, row.type), row.subject, row.sequence) for row in self._waiting()]

    def told(self) -> list[dict[str, Any]]:
        """What the events say, decoded."""
        return [self.codec.decode(row.body)[1] for row in self._waiting()]

    def exported(self, *ids: str) -> list[dict[str, Any]]:
        """What the export says: all, or of these ids."""
        answer = self.client.get(f"{self.path}/export", params={"id": list(ids)})
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, CONTENT_TYPE), answer.text
        return list(self.tested.service.container().read([answer.content]))

    def from_now_on(self) -> "Api":
        listings = self.tested.service.tables.listings
        with self.app.injector.get(Engine).connect() as connection:
            newest = connection.scalar(select(listings.c.id).order_by(listings.c.id.desc()).limit(1))
        return replace(self, since=max((row.id for row in self._waiting()), default=self.since), after=newest)

    def _waiting(self) -> list[Row[Any]]:
        outbox = self.tested.service.tables.outbox
        with self.app.injector.get(Engine).connect() as connection:
            return list(connection.execute(select(outbox).where(outbox.c.id > self.since).order_by(outbox.c.id)))


#: `serve(database_url, *modules, migrate=…, views=…, **settings)`: an API; settings are those of the environment.
Serve = Callable[..., Api]


def serving(tested: Tested, stack: ExitStack) -> Serve:
    """What serves the API on a database that it migrates first, until the stack unwinds."""

    def serve(
        database_url: str,
        *modules: Module,
        migrate: bool = True,
        views: Callable[[flask.Flask], None] | None = None,
        **settings: str,
    ) -> Api:
        environment = {"DATABASE_URL": database_url, "BROKER_URL": "amqp://guest:guest@127.0.0.1:1/", "IMAGES_URL": IMAGES}
        config = load(tested.service.config, environment | settings)
        if migrate:
            tested.service.migrate(config)
        app = tested.service.http(config, *modules, views=views)
        server = stack.enter_context(running(app))
        stack.callback(app.injector.get(Engine).dispose)
        stack.callback(app.injector.get(Doorbell).close)
        client = stack.enter_context(httpx.Client(base_url=server.url, timeout=30))
        return Api(tested, client, app, database_url)

    return serve


def what(tested: Tested, type: str) -> str:
    """What happened, from the type of an event."""
    return type.removeprefix(tested.event(""))


def lines(bodies: Iterable[Body | bytes]) -> bytes:
    return b"".join((each if isinstance(each, bytes) else orjson.dumps(each)) + b"\n" for each in bodies)


def stored(images: Iterable[Body]) -> list[Body]:
    """Images as they are answered: with where our copies of them are."""
    named = ((image, hashlib.sha256(image["url"].encode()).hexdigest()) for image in images)
    return [
        image | {"stored_url": f"{IMAGES}/{name}.jpg", "thumbnail_url": f"{IMAGES}/{name}.thumb.jpg"} for image, name in named
    ]
