"""What an operator does with the indices of both kinds: compared, rebuilt and followed, together and one by one. On both stacks."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from common.testing.system import System
from common.testing.waiting import eventually

pytestmark = pytest.mark.e2e

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(whole: System) -> Run:
    """`search …` beside the running system."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "search", *arguments]
        return subprocess.run(command, env=dict(whole.environ), capture_output=True, text=True, timeout=120, check=False)

    return run


@pytest.fixture
def published(whole: System) -> tuple[dict[str, Any], dict[str, Any]]:
    """A room and an item in it, both found."""
    room = whole.rooms.post(
        "/v1.0/rooms",
        json={
            "name": "Attic",
            "description": "Quiet.",
            "price": 650,
            "recurrency": "monthly",
            "provider": "nestly",
            "url": f"https://nestly.example/{uuid4()}",
            "coordinates": {"lat": 52.4986, "lon": 13.4034},
        },
    )
    assert room.status_code == 201, room.text
    item = whole.items.post("/v1.0/items", json={"name": "Piano", "room_id": room.json()["id"]})
    assert item.status_code == 201, item.text
    tokens = ", ".join(answer.headers["Atrium-Consistency"] for answer in (room, item))
    eventually(
        lambda: whole.search.get("/v1.0/search/rooms", headers={"Atrium-Consistency": tokens}).json()["index"]["pending"] == []
    )
    return room.json(), item.json()


def test_a_room_is_found_by_its_item_and_both_indices_are_kept_alike(
    whole: System, run: Run, published: tuple[dict[str, Any], dict[str, Any]]
) -> None:
    room, item = published
    (hit,) = whole.found(q="piano")["hits"]
    assert (hit["id"], hit["items"]) == (room["id"], [{"id": item["id"], "name": "Piano"}])

    audited = run("audit")
    assert audited.returncode == 0, audited.stdout + audited.stderr
    told = [line for line in audited.stderr.splitlines() if "agrees" in line]
    assert told == [f"{kind}: 1 compared: the index agrees with what is kept" for kind in ("rooms", "items")]
    assert "items" not in run("audit", "rooms").stderr

    rebuilt = run("rebuild")
    assert rebuilt.returncode == 0, rebuilt.stdout + rebuilt.stderr
    for kind in ("rooms", "items"):
        assert f"{kind}-g2 is live, after {kind}-g1, 1 loaded" in rebuilt.stderr
    assert run("rebuild", "items").stderr.count("is live") == 1
    assert run("audit", "--json").returncode == 0
    assert [each["id"] for each in whole.found(q="piano")["hits"][0]["items"]] == [item["id"]]
    undecided = run("rebuild", "--rollback")
    assert (undecided.returncode, undecided.stderr) == (2, "search: --rollback: must say of what: rooms or items\n")


def test_a_listing_is_followed_whatever_its_kind(run: Run, published: tuple[dict[str, Any], dict[str, Any]]) -> None:
    for kind, listing in zip(("room", "item"), published, strict=True):
        found = eventually(lambda one=listing["id"]: done if (done := run("lineage", one, "--json")).returncode == 0 else None)
        assert json.loads(found.stdout)["kind"] == kind
        assert run("lineage", listing["id"]).stdout.startswith(
            f"{kind} {listing['id']}: database and index are both at version 1"
        )
    nobody = str(uuid4())
    assert run("lineage", nobody).stdout == f"{nobody}: nobody has heard of it\n"
