"""Anyone can see where every change is: each column of `status` and each number of /metrics moves with what causes it."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

import rooms.bootstrap
import rooms.config
import search.bootstrap
import search.config
from common.config import load
from common.messaging.connect import connect
from common.messaging.port import Message
from common.messaging.topology import ROOMS
from common.status import Survey
from common.testing.metrics import sample, shows
from common.testing.samples import a_room
from common.testing.servers import Stack
from common.testing.system import REAL, System, free_port, running
from common.testing.waiting import eventually

pytestmark = pytest.mark.e2e


@pytest.fixture
def system(stack: Stack, tmp_path: Path) -> Iterator[System]:
    ports = {"ROOMS_METRICS_PORT": str(free_port()), "SEARCH_METRICS_PORT": str(free_port())}
    with running(stack, tmp_path, real=stack.database_url.startswith("postgresql"), **ports) as system:
        yield system


@pytest.fixture
def seen(system: System) -> Iterator[dict[str, Survey]]:
    with (
        rooms.bootstrap.SERVICE.status(load(rooms.config.Config, system.environ)) as of_rooms,
        search.bootstrap.status(load(search.config.Config, system.environ)) as of_search,
    ):
        yield {"rooms": Survey("rooms", of_rooms), "search": Survey("search", of_search)}


def published(system: System, **given: Any) -> str:
    answer = system.rooms.post("/v1.0/rooms", json=a_room(**given))
    assert answer.status_code == 201, answer.text
    room_id: str = answer.json()["id"]
    return room_id


def poison(system: System) -> None:
    broker = connect(system.environ["BROKER_URL"], "test")
    noise = Message(id="noise", routing_key="RoomCreated", body=b"garbage", headers={}, timestamp=0)
    assert broker.publisher().publish(ROOMS, [noise], 10) == [True]
    broker.close()


def relaying(system: System) -> tuple[str, str]:
    return ("rooms", "relay") if system.commands == REAL else ("rooms", "all")


def indexing(system: System) -> tuple[str, str]:
    return ("search", "consumer") if system.commands == REAL else ("search", "all")


def worker_page(system: System, service: str) -> str:
    """/metrics of who relays or consumes: on real servers a process with a port of its own."""
    if system.commands == REAL:
        return httpx.get(f"http://127.0.0.1:{system.environ[f'{service.upper()}_METRICS_PORT']}/metrics", timeout=10).text
    return getattr(system, service).get("/metrics").text  # type: ignore[no-any-return]


def test_each_column_of_status_moves(system: System, seen: dict[str, Survey]) -> None:
    def now(service: str) -> dict[str, Any]:
        survey = seen[service]()
        assert survey["unknown"].keys() <= {"items database"}  # nobody serves items here
        parts: dict[str, Any] = survey["parts"]
        return parts

    gone, hidden = published(system), published(system, is_visible=False)
    published(system)
    system.rooms.patch(f"/v1.0/rooms/{hidden}", json={"price": 1})
    system.rooms.delete(f"/v1.0/rooms/{gone}")
    assert now("rooms")["rooms"] == {"living": 2, "tombstones": 1, "versions": 5}
    everything = {"rooms": 2, "hidden": 1, "tombstones": 1, "versions": 5}
    eventually(lambda: now("search")["rooms index"] == everything)
    assert now("search")["rooms database"] == {"versions_behind": 0}
    eventually(lambda: now("rooms")["outbox"] == {"rows": 0, "oldest_seconds": 0})
    fresh = eventually(lambda: (part := now("search")["rooms freshness"])["stale"] is False and part)
    assert fresh["as_of"] and 0 <= fresh["lag_seconds"] < 15

    # Nobody relays: the outbox fills, and the index falls behind.
    system.end(signal.SIGTERM, relaying(system))
    if system.commands != REAL:
        system.start(("rooms", "api"))
    for _ in range(3):
        published(system)
    outbox = now("rooms")["outbox"]
    assert outbox["rows"] == 3
    assert 0 < outbox["oldest_seconds"] < now("rooms")["outbox"]["oldest_seconds"]
    assert now("search")["rooms database"] == {"versions_behind": 3}

    # Nobody consumes: the queue fills.
    if system.commands != REAL:
        system.end(signal.SIGTERM, ("rooms", "api"))
    system.end(signal.SIGTERM, indexing(system))
    system.processes[relaying(system)] = subprocess.Popen(
        [sys.executable, "-m", *relaying(system)], env=dict(system.environ), stderr=subprocess.DEVNULL
    )
    for service in ("rooms", "search"):
        eventually(lambda service=service: seen[service]()["parts"]["search.rooms"]["waiting"] >= 3, seconds=60)  # type: ignore[misc]
    assert now("search")["rooms index"] == everything

    # A poison event becomes a dead letter, what is behind it is applied.
    poison(system)
    system.start(indexing(system))
    for service in ("rooms", "search"):
        eventually(lambda service=service: now(service)["search.rooms"] == {"waiting": 0, "dead_letters": 1})  # type: ignore[misc]
    eventually(lambda: now("search")["rooms database"] == {"versions_behind": 0})
    assert now("search")["rooms index"]["rooms"] == 5


def test_each_number_of_the_way_of_the_data_moves(system: System) -> None:
    for _ in range(3):
        published(system)
    poison(system)

    def arrived() -> bool:
        page = worker_page(system, "search")
        applied, dead = sample(page, "index_items_total", status="applied"), sample(page, "consumer_dead_letters_total")
        return applied >= 3 and dead >= 1 and shows(page, "index_lag_seconds")

    eventually(arrived, seconds=30)
    page = worker_page(system, "search")
    assert sample(page, "consumer_events_total", service="search", type="RoomCreated") == 3
    assert sample(page, "consumer_batch_events_sum") >= 3
    assert sample(page, "freshness_seconds_count", type="RoomCreated") == 3
    assert 0 < sample(page, "freshness_seconds_sum", type="RoomCreated") < 3 * 60
    assert 0 <= sample(page, "index_lag_seconds") < 60
    page = worker_page(system, "rooms")
    assert sample(page, "relay_published_total", service="rooms") >= 3
    assert sample(page, "relay_confirmed_total") >= 3
    assert shows(page, "outbox_pending")
    page = system.rooms.get("/metrics").text
    assert sample(page, "http_requests_total", service="rooms", operation="create", status="201") == 3
    system.found(q="attic")
    assert sample(system.search.get("/metrics").text, "http_requests_total", operation="search_rooms", status="200") == 1
    if system.commands == REAL:
        for port in (system.environ["ROOMS_METRICS_PORT"], system.environ["SEARCH_METRICS_PORT"]):
            assert [httpx.get(f"http://127.0.0.1:{port}/{page}").status_code for page in ("livez", "readyz")] == [200, 200]


def run(service: str, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", service, "status", *arguments]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("service", ["rooms", "search"])
def test_what_is_down_is_unknown_with_the_reason_and_without_its_password(service: str, tmp_path: Path) -> None:
    nowhere = {
        "DATA_DIR": str(tmp_path),
        "DATABASE_URL": "postgresql+psycopg://nobody:secret@127.0.0.1:1/none",
        "BROKER_URL": "amqp://nobody:secret@127.0.0.1:1/",
        "INDEX_URL": "http://nobody:secret@127.0.0.1:1/",
        "ROOMS_URL": "http://127.0.0.1:1",
        "ITEMS_URL": "http://127.0.0.1:1",
    }
    done = run(service, "--json", **nowhere)
    assert (done.returncode, done.stderr) == (1, "")
    survey = json.loads(done.stdout)
    assert survey["unknown"].keys() == survey["parts"].keys()
    assert {value for part in survey["parts"].values() for value in part.values()} == {None}
    assert "127.0.0.1:1: " in survey["unknown"]["search.rooms"], "it says what cannot be reached"
    shown = run(service, **nowhere)
    assert shown.returncode == 1
    assert "unknown" in shown.stdout and "refused" in shown.stdout
    assert "secret" not in done.stdout + shown.stdout + shown.stderr
    assert "Traceback" not in shown.stdout + shown.stderr


def test_watching_says_it_again_and_again_until_interrupted(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "search", "status", "--json", "--watch", "0.1"]
    with subprocess.Popen(command, env={"DATA_DIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert {json.loads(process.stdout.readline())["service"] for _ in range(3)} == {"search"}
        process.send_signal(signal.SIGINT)
        process.stdout.read()
        assert process.wait(20) == 130
