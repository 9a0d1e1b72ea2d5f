"""One module replaces what the API is built on, and a plain Flask view takes part: nothing else needs to know."""

from datetime import UTC, datetime
from typing import Any

import flask
import pytest
from injector import Binder

from common.errors import Unavailable
from common.listings.memory import MemoryListings
from common.listings.ports import Clock, Listings
from common.testing.listings.api import NOWHERE, Api, Serve
from common.testing.listings.tested import Make, Tested


class Nineties(Clock):
    def now(self) -> datetime:
        return datetime(1999, 12, 31, tzinfo=UTC)


class TestSwapping:
    @pytest.fixture
    def in_memory(self, tested: Tested) -> MemoryListings:
        return tested.in_memory()

    @pytest.fixture
    def swapped(self, serve: Serve, in_memory: MemoryListings) -> Api:
        """The API without any database: each binding of `configure` takes the place of one of the service's own."""

        def configure(binder: Binder) -> None:
            binder.bind(Listings, to=in_memory)
            binder.bind(Clock, to=Nineties())

        def views(app: flask.Flask) -> None:
            @app.get("/v1.0/count/<visible>")
            def count(visible: str, listings: Listings) -> dict[str, Any]:
                found = listings.list({"is_visible": visible == "visible"}, None, 1000)
                return {"found": len(found), "same": listings is in_memory}

            @app.get("/down")
            def down(listings: Listings) -> str:
                raise Unavailable("the view's neighbour")

        return serve(NOWHERE, configure, migrate=False, views=views)

    def test_the_api_works_on_another_repository(
        self, swapped: Api, tested: Tested, in_memory: MemoryListings, listing: Make
    ) -> None:
        made = swapped.create(listing())
        assert made["created_at"] == "1999-12-31T00:00:00Z"
        assert in_memory.get(made["id"]).version == 1
        path = swapped.at(made)
        assert swapped.client.patch(path, json={"name": "5"}, headers={"If-Match": '"1"'}).headers["ETag"] == '"2"'
        assert swapped.client.post(swapped.path, json=listing(url=made["url"])).headers["Location"] == path
        assert [each["id"] for each in swapped.client.get(swapped.path).json()] == [made["id"]]
        (outcome,) = swapped.imported([listing()])
        assert outcome["outcome"] == "created"
        assert swapped.client.delete(path).status_code == 204
        assert [each["version"] for each in swapped.exported(made["id"], outcome["id"])] == [3, 1]
        told = [tested.event(what) for what in ("Created", "Updated", "Created", "Deleted")]
        assert [event for event, _, _ in in_memory.events] == told

    def test_a_view_gets_the_same_repository_injected(self, swapped: Api, listing: Make) -> None:
        swapped.create(listing())
        answer = swapped.client.get("/v1.0/count/visible")
        assert (answer.status_code, answer.json()) == (200, {"found": 1, "same": True})
        assert answer.headers["X-Request-Id"]
        down = swapped.client.get("/down")
        assert (down.status_code, down.headers["Content-Type"]) == (503, "application/problem+json")
        assert swapped.client.post("/v1.0/count/visible").status_code == 405

    def test_without_the_module_the_service_has_its_own(self, serve: Serve, sqlite_url: str, listing: Make) -> None:
        api = serve(sqlite_url)
        assert api.create(listing())["created_at"] > "2000"
        assert api.client.get("/v1.0/count/visible").status_code == 404
