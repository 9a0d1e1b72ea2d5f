"""What items know of rooms is compared with what rooms keep, and set right, beside the running system. On both stacks."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from common.db.engine import open_engine, transaction
from common.testing.samples import published_room
from common.testing.system import System
from common.testing.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

Document = dict[str, Any]


def run(system: System, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """A command beside the running system."""
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, env={**system.environ, **settings}, capture_output=True, text=True, timeout=120, check=False)


def item_in(system: System, room: Document) -> str:
    answer = system.items.post("/v1.0/items", json={"name": "Piano", "room_id": room["id"]})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def room_name(system: System, item: str) -> str:
    name: str = system.items.get(f"/v1.0/items/{item}").json()["room"]["name"]
    return name


def renamed(system: System, room: Document, name: str) -> None:
    answer = system.rooms.patch(
        f"/v1.0/rooms/{room['id']}", json={"name": name}, headers={"Content-Type": "application/merge-patch+json"}
    )
    assert answer.status_code == 200, answer.text


def test_rooms_that_come_back_from_an_older_backup_are_known_and_followed_again(whole: System, tmp_path: Path) -> None:
    room = published_room(whole)
    item = item_in(whole, room)
    assert run(whole, "items", "audit").returncode == 0
    backup = str(tmp_path / "rooms.avro")
    exported = run(whole, "rooms", "export", backup)
    assert exported.returncode == 0, exported.stderr
    for name in ("Cellar", "Loft"):
        renamed(whole, room, name)
    eventually(lambda: room_name(whole, item) == "Loft")
    later = published_room(whole)
    lost = item_in(whole, later)
    agreed = run(whole, "items", "audit")
    assert (agreed.returncode, agreed.stdout) == (0, "")
    assert "rooms: 2 compared: the projection agrees with what is kept" in agreed.stderr

    engine = open_engine(whole.environ["ROOMS_DATABASE_URL"])
    with transaction(engine) as connection:
        connection.execute(text("DELETE FROM rooms"))
    engine.dispose()
    refused = run(whole, "items", "audit", "--repair")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "keeps no room at all" in refused.stderr
    restored = run(whole, "rooms", "import", backup)
    assert restored.returncode == 0, restored.stderr

    told = run(whole, "items", "audit", "--json")
    assert told.returncode == 1
    rows = [json.loads(line) for line in told.stdout.splitlines()]
    assert {(row["id"], row["kind"], row["kept"], row["known"]) for row in rows} == {
        (room["id"], "ahead", 1, 3),
        (later["id"], "phantom", None, 1),
    }
    assert "--repair sets it right" in told.stderr
    repaired = run(whole, "items", "audit", "--repair")
    assert repaired.returncode == 0, repaired.stdout + repaired.stderr
    assert repaired.stdout.splitlines()[0].split() == ["id", "difference", "kept", "known", "outcome"]
    assert "2 differ" not in repaired.stderr
    assert "2 mended" in repaired.stderr
    assert run(whole, "items", "audit").returncode == 0
    eventually(lambda: room_name(whole, item) == "Attic")
    eventually(lambda: whole.items.get(f"/v1.0/items/{lost}").status_code == 404)
    renamed(whole, room, "Den")  # version 2: older than what was known before the repair
    eventually(lambda: room_name(whole, item) == "Den")
    eventually(lambda: whole.search.get(f"/v1.0/search/items/{item}").json()["item"]["room"]["name"] == "Den")


def test_without_the_rooms_api_the_audit_ends_in_one_line_and_changes_nothing(whole: System) -> None:
    item = item_in(whole, published_room(whole))
    told = run(whole, "items", "audit", "--repair", ROOMS_URL="http://127.0.0.1:1")
    assert (told.returncode, told.stdout) == (2, "")
    assert told.stderr.splitlines()[-1].startswith("items: the rooms API at http://127.0.0.1:1")
    assert whole.items.get(f"/v1.0/items/{item}").status_code == 200
