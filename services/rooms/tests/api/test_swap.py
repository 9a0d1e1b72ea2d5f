"""One module replaces what the API is built on, and a plain Flask view takes part: nothing else needs to know."""

from datetime import UTC, datetime
from typing import Any

import flask
import pytest
from injector import Binder

from common.errors import Unavailable
from common.listings.fields import Coordinates
from common.listings.memory import MemoryListings
from common.listings.ports import Clock, Listings
from common.listings.showing import Showing
from rooms.domain import ROOM, Area
from rooms.ports import Areas

NOWHERE = "postgresql+psycopg://nobody@127.0.0.1:1/none"


class Nineties(Clock):
    def now(self) -> datetime:
        return datetime(1999, 12, 31, tzinfo=UTC)


class Atlantis(Areas):
    def locate(self, at: Coordinates) -> Area | None:
        return Area(name="Acropolis", city="Atlantis", country="Atlantis")


@pytest.fixture
def kept() -> MemoryListings:
    return MemoryListings(ROOM, Showing("http://images.example"))


@pytest.fixture
def api(serve, kept):
    """The API without any database: each binding of `configure` takes the place of one of the service's own."""

    def configure(binder: Binder) -> None:
        binder.bind(Listings, to=kept)
        binder.bind(Clock, to=Nineties())
        binder.bind(Areas, to=Atlantis())

    def views(app: flask.Flask) -> None:
        @app.get("/v1.0/count/<provider>")
        def count(provider: str, rooms: Listings) -> dict[str, Any]:
            found = rooms.list({"provider": provider}, None, 1000)
            return {"provider": provider, "rooms": len(found), "same": rooms is kept}

        @app.get("/down")
        def down(rooms: Listings) -> str:
            raise Unavailable("the view's neighbour")

    return serve(NOWHERE, configure, migrate=False, views=views)


def test_the_api_works_on_another_repository(api, kept, listing):
    room = api.create(listing())
    assert (room["area"]["city"], room["created_at"]) == ("Atlantis", "1999-12-31T00:00:00Z")
    assert kept.get(room["id"]).version == 1
    path = f"/v1.0/rooms/{room['id']}"
    assert api.client.patch(path, json={"price": 5}, headers={"If-Match": '"1"'}).headers["ETag"] == '"2"'
    assert api.client.post("/v1.0/rooms", json=listing(url=room["url"])).headers["Location"] == path
    assert [each["id"] for each in api.client.get("/v1.0/rooms").json()] == [room["id"]]
    line = flask.json.dumps(listing())
    outcome = api.client.post("/v1.0/rooms/import", content=line, headers={"Content-Type": "application/x-ndjson"}).json()
    assert outcome["outcome"] == "created"
    assert api.client.delete(path).status_code == 204
    assert [each["version"] for each in api.exported(room["id"], outcome["id"])] == [3, 1]
    assert [event for event, _, _ in kept.events] == ["RoomCreated", "RoomUpdated", "RoomCreated", "RoomDeleted"]


def test_a_view_gets_the_same_repository_injected(api, listing):
    api.create(listing(provider="nestly"))
    answer = api.client.get("/v1.0/count/nestly")
    assert (answer.status_code, answer.json()) == (200, {"provider": "nestly", "rooms": 1, "same": True})
    assert answer.headers["X-Request-Id"]
    down = api.client.get("/down")
    assert (down.status_code, down.headers["Content-Type"]) == (503, "application/problem+json")
    assert api.client.post("/v1.0/count/nestly").status_code == 405


def test_without_the_module_the_service_has_its_own(serve, sqlite_url, listing):
    api = serve(sqlite_url)
    assert api.create(listing())["area"]["city"] == "Berlin"
    assert api.client.get("/v1.0/count/nestly").status_code == 404
