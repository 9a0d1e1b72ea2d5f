"""Several processes of one API: they share its port and its numbers, replace one another, and end together."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from prometheus_client.multiprocess import MultiProcessCollector

from common.testing.metrics import sample
from common.testing.system import free_port
from common.testing.waiting import eventually

pytestmark = pytest.mark.e2e

COUNT = 3


class Api:
    """`rooms api` with several processes."""

    def __init__(self, database_url: str, folder: Path) -> None:
        self.folder, self.log = folder, folder / "log"
        self.url = f"http://127.0.0.1:{free_port()}"
        environ = {
            "DATABASE_URL": database_url,
            "DATA_DIR": str(folder),
            "BROKER_URL": "amqp://nobody:secret@127.0.0.1:1/",
            "ROOMS_PORT": self.url.rpartition(":")[2],
            "ROOMS_WORKERS": str(COUNT),
            "TMPDIR": str(folder),
            "LOG_FORMAT": "json",
        }
        subprocess.run([sys.executable, "-m", "rooms", "migrate"], env=environ, check=True, timeout=60)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen([sys.executable, "-m", "rooms", "api"], env=environ, stderr=log)

    def processes(self) -> set[int]:
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return {int(pid) for pid in children.read_text().split()}

    def begun(self) -> int:
        """How many have ever begun to serve: each says so."""
        return self.log.read_text().count("listening on")

    def requests(self, pid: int) -> float:
        """How many this one has answered, by its own file."""
        return sum(
            each.value
            for family in MultiProcessCollector.merge(self._files(pid))
            for each in family.samples
            if each.name == "atrium_http_requests_total"
        )

    def _files(self, pid: int) -> list[str]:
        return [str(path) for path in self.folder.glob(f"atrium-metrics-*/counter_{pid}.db")]

    def get(self, path: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", timeout=30)


@pytest.fixture
def api(database_url: str, tmp_path: Path) -> Iterator[Api]:
    api = Api(database_url, tmp_path)
    try:
        eventually(lambda: api.begun() == COUNT, seconds=90)
        yield api
    finally:
        api.process.kill()
        api.process.wait()


def test_requests_spread_totals_are_exact_and_one_that_dies_is_replaced(api: Api) -> None:
    def some(_: int) -> None:
        for _ in range(10):
            assert api.get("/v1.0/rooms").status_code == 200

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(some, range(12)))
    first = api.processes()
    total = eventually(lambda: sample(api.get("/metrics").text, "http_requests_total", operation="index", status="200") == 120)
    assert total
    assert len([pid for pid in first if api.requests(pid) > 0]) > 1, "one alone answered"
    assert sample(api.get("/metrics").text, "outbox_pending") == 0
    httpx.post(f"{api.url}/v1.0/rooms", json={}, timeout=30)

    victim = max(first, key=api.requests)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: api.begun() == COUNT + 1, seconds=90)
    assert len(api.processes()) == COUNT
    assert len(api.processes() & first) == COUNT - 1
    page = api.get("/metrics").text
    assert sample(page, "http_requests_total", operation="index", status="200") == 120, "the dead one is not forgotten"
    assert sample(page, "http_requests_total", operation="create", status="400") == 1
    assert sample(page, "http_request_seconds_count", operation="index") == 120
    warnings = [line for line in map(json.loads, api.log.read_text().splitlines()) if line["logger"] == "common.supervisor"]
    assert any(f"process {victim} ended with status -9" in line["message"] for line in warnings)


def test_a_gauge_is_what_it_is_however_many_answer(api: Api) -> None:
    listing = {
        "name": "Attic",
        "description": "Quiet.",
        "price": 1,
        "recurrency": "daily",
        "provider": "p",
        "url": "https://a.example/1",
        "coordinates": {"lat": 1, "lon": 2},
    }
    assert httpx.post(f"{api.url}/v1.0/rooms", json=listing, timeout=30).status_code == 201
    assert {sample(api.get("/metrics").text, "outbox_pending") for _ in range(10)} == {1}


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_told_to_end_all_end_in_order_under_load(api: Api, number: signal.Signals) -> None:
    stop, strange = threading.Event(), []

    def load() -> None:
        with httpx.Client(base_url=api.url, timeout=30) as client:
            while not stop.is_set():
                try:
                    status = client.get("/v1.0/rooms").status_code
                except httpx.ConnectError:
                    return  # nobody listens any more
                except httpx.TransportError:
                    continue  # between two answers
                if status != 200:
                    strange.append(status)

    threads = [threading.Thread(target=load) for _ in range(6)]
    for thread in threads:
        thread.start()
    children = api.processes()
    api.process.send_signal(number)
    assert api.process.wait(15) == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert not list(api.folder.glob("atrium-metrics-*")), "the folder of numbers goes with them"
    assert "Traceback" not in api.log.read_text()
    assert "is killed" not in api.log.read_text()
    assert set(strange) <= {503}


def test_none_outlives_a_parent_that_was_killed(api: Api) -> None:
    children = api.processes()
    api.process.kill()
    api.process.wait()
    eventually(lambda: not [pid for pid in children if Path(f"/proc/{pid}").exists()])
