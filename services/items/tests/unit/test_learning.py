"""What items learn of rooms, and what they refuse to."""

from datetime import UTC, datetime
from typing import Any

import pytest

from common.events.envelope import Event
from items.adapters.memory import MemoryKnownRooms
from items.entrypoints.consumer import LearnRooms


def told(**given: Any) -> Event:
    room = {"id": "r", "version": 1, "name": "Loft", "area": None, "is_visible": True, "coordinates": {"lat": 52.5, "lon": 13.4}}
    return Event(
        id="e", type="RoomCreated", source="rooms", subject="r", time=datetime.now(UTC), sequence=1, data={**room, **given}
    )


@pytest.mark.parametrize(
    "given", [{"coordinates": {"lat": 900.0, "lon": 0.0}}, {"coordinates": {"lat": 0.0, "lon": float("nan")}}, {"version": 0}]
)
def test_what_no_room_can_be_is_no_news(given):
    known = MemoryKnownRooms()
    refused, taken = LearnRooms(known).apply([told(**given), told(id="other")])
    assert refused is not None
    assert refused.reason == "invalid"
    assert taken is None
    assert set(known.of(["r", "other"])) == {"other"}
