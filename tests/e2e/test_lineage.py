"""`search lineage` on both stacks: from the request into the index, and what is not there yet."""

import json
import signal
import subprocess
import sys
from typing import Any
from uuid import uuid4

import pytest

from common.testing.system import System
from common.testing.waiting import eventually

pytestmark = pytest.mark.e2e

TRACE = "0af7651916cd43dd8448eb211c80319c"


def published(system: System) -> dict[str, Any]:
    headers = {"X-Request-Id": "request-of-mine", "traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    listing = {
        "name": "Followed",
        "description": "From here to there.",
        "price": 650,
        "recurrency": "monthly",
        "provider": "nestly",
        "url": f"https://nestly.example/{uuid4()}",
        "coordinates": {"lat": 52.4986, "lon": 13.4034},
    }
    room: dict[str, Any] = system.rooms.post("/v1.0/rooms", json=listing, headers=headers).json()
    return room


def asked(system: System, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "search", "lineage", *arguments]
    return subprocess.run(command, env=dict(system.environ), capture_output=True, text=True, timeout=60, check=False)


def lineage(system: System, id: str) -> dict[str, Any]:
    done = asked(system, id, "--json", "--logs", *map(str, system.logs.glob("*.log")))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def steps(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {step["step"]: step for step in found["steps"]}


def test_a_listing_is_followed_from_its_request_into_the_index(system: System) -> None:
    room = published(system)
    document = eventually(lambda: system.indexed(room["id"]))
    assert (document["attempts"], document["deliveries"]) == (1, 1)
    eventually(lambda: "acknowledged" in steps(lineage(system, room["id"])))
    found = lineage(system, room["id"])
    assert found["verdict"] == "database and index are both at version 1"
    seen = steps(found)
    order = ["request", "transaction", "published", "indexed", "acknowledged"]
    assert all(seen[name]["state"] == "done" and seen[name]["at"] for name in order)
    assert sorted(seen, key=lambda name: order.index(name)) == order
    assert seen["request"]["detail"].startswith("POST /v1.0/rooms answered 201 in ")
    assert seen["request"]["detail"].endswith("request request-of-mine")
    assert seen["transaction"]["detail"] == f"version 1, event {document['event_id']}, trace {TRACE}"
    text = asked(system, room["id"], "--logs", *map(str, system.logs.glob("*.log")))
    assert text.stdout.splitlines()[0] == f"room {room['id']}: database and index are both at version 1"


def test_what_is_under_way_is_said_and_counted(system: System) -> None:
    room = published(system)
    eventually(lambda: system.indexed(room["id"]))
    system.end(
        signal.SIGTERM, next(command for command in system.commands if command in (("search", "all"), ("search", "consumer")))
    )
    for price in (1, 2):
        assert system.rooms.patch(f"/v1.0/rooms/{room['id']}", json={"price": price}).status_code == 200
    eventually(lambda: "wait in its queue" in str(lineage(system, room["id"])))
    found = lineage(system, room["id"])
    assert found["verdict"] == "database at version 3, index at version 1: 2 events under way"
    assert steps(found)["indexed"]["state"] == "not yet"


def test_what_nobody_knows_and_what_cannot_be_asked_is_said(system: System, tmp_path: Any) -> None:
    nobody = str(uuid4())
    done = asked(system, nobody)
    # There are no items here, so that they cannot be asked.
    assert done.stdout.startswith(f"listing {nobody}: database unknown, nothing of it is in the index\n")
    done = asked(system, "seven")
    assert (done.returncode, done.stderr) == (2, "search: ID: must be a UUID, not 'seven'\n")
    room = published(system)
    done = asked(system, room["id"], "--logs", str(tmp_path / "none.log"))
    assert (done.returncode, done.stderr) == (2, f"search: {tmp_path}/none.log: cannot be read: No such file or directory\n")
    eventually(lambda: system.indexed(room["id"]))
    system.end(signal.SIGTERM, next(command for command in system.commands if command in (("rooms", "all"), ("rooms", "api"))))
    found = lineage(system, room["id"])
    assert found["verdict"] == "database unknown, index at version 1"
    assert found["missing"]["database"].startswith("the rooms API at ")
