"""The end of every test of faults: all is well again, so what was acknowledged must be found, and nothing else."""

import time
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from common.testing.ledger import Ledger, Room, State, Verdict
from common.testing.system import System
from common.testing.waiting import eventually

_LAST: dict[str, Any] = {"name": "The last", "description": "-", "price": 1, "provider": "last"}
_MORE: dict[str, dict[str, Any]] = {"rooms": {"recurrency": "daily", "coordinates": {"lat": 0, "lon": 0}}, "items": {}}


def settle(
    system: System, ledger: Ledger, seconds: float = 60, service: str = "rooms", counts: Callable[[Room], bool] = lambda _: True
) -> Verdict:
    """The verdict when it is sound and all that was on its way has arrived, else the last one after `seconds`. Writers have ended.

    Of the listings of `service` only those are compared that `counts` picks: others may write beside the ledger's writers.
    """
    system.wait_until_ready()
    _overtake(system, service, ledger, seconds)
    deadline = time.monotonic() + seconds
    while True:
        verdict = ledger.compare(filter(counts, stored(system, service)), filter(counts, found(system, service)))
        if verdict.sound or time.monotonic() > deadline:
            return verdict
        time.sleep(0.2)


def stored(system: System, service: str = "rooms") -> list[Room]:
    """All living listings, hidden ones included, as the API of their service lists them."""
    listings: list[Room] = []
    page: str | None = f"/v1.0/{service}?limit=100"
    while page is not None:
        answer = _answer(system.client(service), page)
        listings += answer.json()
        page = answer.links.get("next", {}).get("url")
    return listings


def not_pictured(system: System, service: str, seconds: float = 60) -> list[str]:
    """The images of living listings whose copies are still not served after `seconds`."""
    client, missing = system.client(service), {_copy(image) for each in stored(system, service) for image in each["images"]}
    deadline = time.monotonic() + seconds
    while (missing := {path for path in missing if not client.get(path).is_success}) and time.monotonic() < deadline:
        time.sleep(0.3)
    return sorted(missing)


def _copy(image: Mapping[str, str]) -> str:
    return urlsplit(image["stored_url"]).path


def found(system: System, service: str = "rooms") -> list[Room]:
    """All listings that search finds, page after page."""
    listings: list[Room] = []
    query: dict[str, Any] = {"limit": 100, "sort": "newest"}
    while True:
        page = _answer(system.search, f"/v1.0/search/{service}", query).json()
        listings += [hit[service.removesuffix("s")] for hit in page["hits"]]
        if page["next"] is None:
            return listings
        query["cursor"] = page["next"]


def _overtake(system: System, service: str, ledger: Ledger, seconds: float) -> None:
    """Publishes one more listing and waits until it is found: what was published before it has then been handed out, too."""
    url = f"https://last.example/{uuid4()}"
    ledger.maybe_published(url)  # until it is answered
    answer = eventually(lambda: _created(system, service, _LAST | _MORE[service] | {"url": url}), seconds)
    ledger.published(answer["id"], url, State(1, room=answer))
    eventually(lambda: system.search.get(f"/v1.0/search/{service}/{answer['id']}").status_code == 200, seconds)


def _created(system: System, service: str, listing: dict[str, Any]) -> Room | None:
    answer = system.client(service).post(f"/v1.0/{service}", json=listing)
    room: Room | None = answer.json() if answer.status_code == 201 else None
    return room


def _answer(client: httpx.Client, path: str, query: dict[str, Any] | None = None) -> httpx.Response:
    """A server that has just come back may need a moment."""
    return eventually(lambda: answer if (answer := client.get(path, params=query)).status_code == 200 else None)
