"""A room and an item as clients send them, each new one with a url of its own; what is given replaces what is usual."""

from typing import Any
from uuid import uuid4

from common.testing.system import System


def a_room(**given: Any) -> dict[str, Any]:
    return {
        "name": "Bright attic in Kreuzberg",
        "description": "Quiet, five minutes from the canal.",
        "price": 650,
        "recurrency": "monthly",
        "provider": "nestly",
        "url": f"https://nestly.example/{uuid4()}",
        "coordinates": {"lat": 52.4986, "lon": 13.4034},
    } | given


def an_item(**given: Any) -> dict[str, Any]:
    return {"name": "Upright piano", "category": "music", "price": 900, "provider": "nestly"} | given


def published_room(system: System, **given: Any) -> dict[str, Any]:
    """A room that this system has just published, as it was answered."""
    answer = system.rooms.post("/v1.0/rooms", json=a_room(**{"name": "Attic"} | given))
    assert answer.status_code == 201, answer.text
    room: dict[str, Any] = answer.json()
    return room
