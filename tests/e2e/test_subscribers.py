"""What is published waits for each service that listens, unless it is said not to be there. On both stacks."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

from common.messaging.connect import connect
from common.messaging.topology import ITEMS_ROOMS, TOPOLOGY
from common.testing.servers import Stack
from common.testing.system import System, running
from common.testing.waiting import eventually

pytestmark = pytest.mark.e2e


def found_room(system: System) -> None:
    listing = {"name": "Attic", "description": "-", "price": 1, "recurrency": "daily", "provider": "test"}
    listing |= {"url": f"https://test.example/{uuid4()}", "coordinates": {"lat": 52.4986, "lon": 13.4034}}
    room = system.rooms.post("/v1.0/rooms", json=listing)
    assert room.status_code == 201, room.text
    eventually(lambda: system.indexed(room.json()["id"]))


def status(system: System, **settings: str) -> str:
    environ = {**system.environ, **settings}
    return subprocess.run(
        [sys.executable, "-m", "rooms", "status"], env=environ, capture_output=True, text=True, check=False
    ).stdout


def test_a_service_that_was_not_there_yet_finds_all_that_it_has_missed(system: System) -> None:
    found_room(system)
    with closing(connect(system.environ["BROKER_URL"], "test")) as broker:
        eventually(lambda: broker.depth(ITEMS_ROOMS.name) == 1)
    assert ITEMS_ROOMS.name in status(system)


def test_nothing_waits_for_a_service_that_is_said_not_to_be_there(stack: Stack, tmp_path: Path) -> None:
    real = stack.database_url.startswith("postgresql")
    with closing(connect(stack.broker_url, "test")) as broker:
        broker.declare(TOPOLOGY)  # as before somebody said so
        with running(stack, tmp_path, real=real, SUBSCRIBERS="search") as system:
            found_room(system)
            assert broker.depth(ITEMS_ROOMS.name) == 0
            assert ITEMS_ROOMS.name not in status(system)


@pytest.mark.parametrize("service", ["items", "search"])
def test_a_consumer_for_which_nothing_is_kept_does_not_start(service: str, tmp_path: Path) -> None:
    others = "search" if service == "items" else "items"
    environ = {"DATA_DIR": str(tmp_path), "SUBSCRIBERS": others}
    for command in "consumer", "all":
        done = subprocess.run(
            [sys.executable, "-m", service, command], env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        reason = f"SUBSCRIBERS: must name {service}, whose consumer this is: relays keep nothing for others"
        assert (done.returncode, done.stderr) == (2, f"{service}: {reason}\n")
