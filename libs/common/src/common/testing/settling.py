"""The end of every test of faults: all is well again, so what was acknowledged must be found, and nothing else."""

import time
from typing import Any
from uuid import uuid4

import httpx

from common.testing.ledger import Ledger, Room, State, Verdict
from common.testing.system import System
from common.testing.waiting import eventually


def settle(system: System, ledger: Ledger, seconds: float = 60) -> Verdict:
    """The verdict when it is sound and all that was on its way has arrived, else the last one after `seconds`. Writers have ended."""
    system.wait_until_ready()
    _overtake(system, ledger, seconds)
    deadline = time.monotonic() + seconds
    while True:
        verdict = ledger.compare(stored(system), found(system))
        if verdict.sound or time.monotonic() > deadline:
            return verdict
        time.sleep(0.2)


def stored(system: System) -> list[Room]:
    """All living rooms, hidden ones included, as the API of rooms lists them."""
    rooms: list[Room] = []
    page: str | None = "/v1.0/rooms?limit=100"
    while page is not None:
        answer = _answer(system.rooms, page)
        rooms += answer.json()
        page = answer.links.get("next", {}).get("url")
    return rooms


def found(system: System) -> list[Room]:
    """All rooms that search finds, page after page."""
    rooms: list[Room] = []
    query: dict[str, Any] = {"limit": 100, "sort": "newest"}
    while True:
        page = _answer(system.search, "/v1.0/search/rooms", query).json()
        rooms += [hit["room"] for hit in page["hits"]]
        if page["next"] is None:
            return rooms
        query["cursor"] = page["next"]


def _overtake(system: System, ledger: Ledger, seconds: float) -> None:
    """Publishes one more room and waits until it is found: what was published before it has then been handed out, too."""
    url = f"https://last.example/{uuid4()}"
    listing = {"name": "The last", "description": "-", "price": 1, "recurrency": "daily", "provider": "last", "url": url}
    ledger.maybe_published(url)  # until it is answered
    answer = eventually(lambda: _created(system, listing), seconds)
    ledger.published(answer["id"], url, State(1, room=answer))
    eventually(lambda: system.search.get(f"/v1.0/search/rooms/{answer['id']}").status_code == 200, seconds)


def _created(system: System, listing: dict[str, Any]) -> Room | None:
    answer = system.rooms.post("/v1.0/rooms", json=listing | {"coordinates": {"lat": 0, "lon": 0}})
    room: Room | None = answer.json() if answer.status_code == 201 else None
    return room


def _answer(client: httpx.Client, path: str, query: dict[str, Any] | None = None) -> httpx.Response:
    """A server that has just come back may need a moment."""
    return eventually(lambda: answer if (answer := client.get(path, params=query)).status_code == 200 else None)
