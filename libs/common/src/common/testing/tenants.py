"""Items that belong to rooms which others write: put there while things go wrong, and compared with their rooms in the end."""

import random
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx

from common.testing.ledger import Ledger, Room
from common.testing.settling import found, stored
from common.testing.system import System
from common.testing.writers import PATIENCE

#: What an item tells of its room, and how the room itself says it.
_TOLD: dict[str, Callable[[Room], Any]] = {
    "name": lambda room: room["name"],
    "coordinates": lambda room: room["coordinates"],
    "city": lambda room: room["area"]["city"] if room["area"] else None,
    "is_visible": lambda room: room["is_visible"],
}


class Tenants:
    """One client that goes on putting items into rooms of the ledger, from the beginning of the block to its end."""

    def __init__(self, system: System, rooms: Ledger, seed: int = 0, pause: float = 0.05) -> None:
        self._system, self._rooms, self._pause = system, rooms, pause
        self._chance = random.Random(f"{seed}/tenants")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.surprises: list[str] = []
        self.moved_in = 0

    def __enter__(self) -> "Tenants":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(3 * PATIENCE)
        assert not self._thread.is_alive(), "a tenant waits for ever"

    def _run(self) -> None:
        with httpx.Client(base_url=self._system.items.base_url, timeout=PATIENCE) as client:
            while not self._stop.wait(self._pause):
                if rooms := sorted(self._rooms.versions()):
                    self._move_in(client, self._chance.choice(rooms))

    def _move_in(self, client: httpx.Client, room_id: str) -> None:
        try:
            answer = client.post("/v1.0/items", json={"name": "Piano", "provider": "tenant", "room_id": room_id})
        except httpx.TransportError:
            return
        if answer.status_code == 201:
            self.moved_in += 1
        elif answer.status_code != 422 and answer.status_code < 500:  # 422: the room has gone meanwhile
            self.surprises.append(f"POST of an item into {room_id}: {answer.status_code} {answer.text}")


def tenancy(system: System, seconds: float = 60) -> list[str]:
    """What is still wrong after `seconds`: items in rooms that are gone, or that tell something else of their room than it says itself,
    or that search shows otherwise. Empty as soon as nothing is.
    """
    deadline = time.monotonic() + seconds
    while (faults := _faults(system)) and time.monotonic() < deadline:
        time.sleep(0.3)
    return faults


def _faults(system: System) -> list[str]:
    rooms = {room["id"]: room for room in stored(system)}
    items = {item["id"]: item for item in stored(system, "items") if item["room_id"] is not None}
    shown = {item["id"]: item for item in found(system, "items") if item["room_id"] is not None}
    faults = [fault for item in items.values() for fault in _told_wrongly(item, rooms.get(item["room_id"]))]
    visible = {id: item for id, item in items.items() if item["is_visible"] and item["room"]["is_visible"]}
    faults += [f"item {id}: search does not show it as it is" for id, item in visible.items() if shown.get(id) != item]
    return faults + [f"item {id}: search shows it, and must not" for id in shown.keys() - visible.keys()]


def _told_wrongly(item: Room, room: Room | None) -> list[str]:
    if room is None:
        return [f"item {item['id']}: its room {item['room_id']} is gone"]
    wrong = [name for name, says in _TOLD.items() if item["room"][name] != says(room)]
    return [f"item {item['id']}: tells another {name} than its room {item['room_id']}" for name in wrong]
