"""A neighbour is away for a minute: writes go on, and once it is back all are found, none as a dead letter."""

import threading
import time
from typing import Any
from uuid import uuid4

import httpx
import pytest

from common.messaging.connect import connect
from common.messaging.topology import SEARCH_ROOMS
from common.testing.real_servers import ServerControl
from common.testing.system import System
from common.testing.waiting import eventually

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(400)]

OUTAGE = 60.0  # seconds


class Writer:
    """Publishes rooms, and revises and deletes some, until told to stop; remembers what was acknowledged."""

    def __init__(self, system: System) -> None:
        self.versions: dict[str, int] = {}
        self.refused: list[int] = []
        self._client = httpx.Client(base_url=system.rooms.base_url, timeout=30)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)
        self._client.close()

    def _run(self) -> None:
        number = 0
        while not self._stop.wait(0.02):
            number += 1
            room = self._sent("POST", "/v1.0/rooms", json=_listing(number))
            if room and number % 3 == 0:
                self._sent("PATCH", f"/v1.0/rooms/{room['id']}", json={"price": number})
            if room and number % 5 == 0:
                answer = self._client.delete(f"/v1.0/rooms/{room['id']}")
                if answer.status_code == 204:
                    del self.versions[room["id"]]
                else:
                    self.refused.append(answer.status_code)

    def _sent(self, method: str, path: str, **content: Any) -> dict[str, Any] | None:
        answer = self._client.request(method, path, **content)
        if answer.status_code not in (200, 201):
            self.refused.append(answer.status_code)
            return None
        room: dict[str, Any] = answer.json()
        self.versions[room["id"]] = room["version"]
        return room


def _listing(number: int) -> dict[str, Any]:
    return {
        "name": f"Room number {number}",
        "description": "Written during an outage",
        "price": 100,
        "recurrency": "daily",
        "provider": "writer",
        "url": f"https://writer.example/{uuid4()}",
        "coordinates": {"lat": 52.5, "lon": 13.4},
    }


def walk(system: System) -> dict[str, int]:
    """id → version of all that search finds, over all pages; nothing twice."""
    found: dict[str, int] = {}
    query: dict[str, Any] = {"limit": 100, "sort": "newest"}
    while True:
        answer = system.search.get("/v1.0/search/rooms", params=query)
        if answer.status_code == 503:  # the index is still on its way up
            return {}
        page = answer.json()
        for hit in page["hits"]:
            assert hit["id"] not in found, "one room on two pages"
            found[hit["id"]] = hit["version"]
        if page["next"] is None:
            return found
        query["cursor"] = page["next"]


@pytest.mark.parametrize("stack", ["real"], indirect=True)
@pytest.mark.parametrize(
    ("server", "how"), [("rabbitmq", "stop"), ("elasticsearch", "stop"), ("rabbitmq", "kill"), ("elasticsearch", "kill")]
)
def test_writes_go_on_and_all_are_found_afterwards(system: System, server_control: ServerControl, server: str, how: str) -> None:
    broker = connect(system.environ["BROKER_URL"], "test")
    with Writer(system) as writer:
        eventually(lambda: len(writer.versions) > 20)
        getattr(server_control, how)(server)
        before = len(writer.versions)
        time.sleep(OUTAGE if how == "stop" else OUTAGE / 6)
        assert len(writer.versions) > before + 20
        assert system.rooms.get("/readyz").status_code == 200
        assert system.search.get("/readyz").status_code == 200
        neighbours = system.rooms.get("/health-check").json()["checks"] | system.search.get("/health-check").json()["checks"]
        assert neighbours["broker" if server == "rabbitmq" else "index"]["status"] != "ok"
        server_control.start(server)
        after = len(writer.versions)
        eventually(lambda: len(writer.versions) > after + 20)
    assert writer.refused == [], "every write was acknowledged"
    eventually(lambda: walk(system) == writer.versions, seconds=60)
    assert broker.depth(SEARCH_ROOMS.dead) == 0
    broker.close()
