"""A room written is a room found: over HTTP, from the rooms API to the search API, on both stacks."""

import json
import signal
from typing import Any

import pytest

from common.testing.samples import a_room
from common.testing.system import System
from common.testing.waiting import eventually

pytestmark = pytest.mark.e2e


def published(system: System, **given: Any) -> dict[str, Any]:
    answer = system.rooms.post("/v1.0/rooms", json=a_room(**given))
    assert answer.status_code == 201, answer.text
    room: dict[str, Any] = answer.json()
    return room


def ids(answer: dict[str, Any]) -> list[str]:
    return [hit["id"] for hit in answer["hits"]]


def test_each_change_of_a_room_is_seen_in_search(system):
    room = published(system)
    here = f"/v1.0/rooms/{room['id']}"

    document = eventually(lambda: system.indexed(room["id"]))
    assert document["room"] == room, "search shows what the API showed"
    eventually(lambda: ids(system.found(q="atic kreuzbrg")) == [room["id"]])
    assert ids(system.found(city="berlin", monthly_price_max=700)) == [room["id"]]

    patched = system.rooms.patch(here, json={"name": "Dark cellar in Kreuzberg", "price": 700}).json()
    eventually(lambda: ids(system.found(q="cellar")))
    assert system.indexed(room["id"])["room"] == patched
    assert ids(system.found(q="attic")) == []  # one refresh shows both

    system.rooms.patch(here, json={"is_visible": False})
    eventually(lambda: system.indexed(room["id"]) is None)
    eventually(lambda: not ids(system.found(q="cellar")))

    system.rooms.patch(here, json={"is_visible": True})
    eventually(lambda: ids(system.found(q="cellar")))

    assert system.rooms.delete(here).status_code == 204
    eventually(lambda: not ids(system.found(q="cellar")))
    assert system.indexed(room["id"]) is None

    again = published(system, url=room["url"])
    assert again["id"] != room["id"]
    eventually(lambda: ids(system.found(q="attic")) == [again["id"]])
    eventually(lambda: ids(system.found()) == [again["id"]])


def test_the_request_of_a_write_can_be_followed_into_the_index(system):
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Request-Id": "request-of-mine", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    room = system.rooms.post("/v1.0/rooms", json=a_room(), headers=headers).json()
    document = eventually(lambda: system.indexed(room["id"]))
    assert (document["request_id"], document["trace_id"]) == ("request-of-mine", trace)
    lines = [json.loads(line) for line in system.log().splitlines() if trace in line]
    assert {line["service"] for line in lines} >= {"rooms"}
    assert all(line["request_id"] == "request-of-mine" for line in lines)


def test_the_answer_says_how_fresh_the_index_is(system):
    room = published(system)
    eventually(lambda: system.indexed(room["id"]))
    fresh = eventually(lambda: (index := system.found()["index"])["as_of"] and index)
    assert fresh["stale"] is False
    assert 0 <= fresh["lag_seconds"] < 60


def boundary(**given: Any) -> dict[str, Any]:
    """Every maximum at once."""
    wide = "\U0001f600"
    return (
        a_room(
            name="😀" * 190 + " wide room",
            description=(wide * 9_999 + " ") + "w" * 10_000,
            price=10**12,
            recurrency="daily",
            provider="p" * 100,
            url="https://wide.example/" + "ü" * (2048 - len("https://wide.example/")),
            coordinates={"lat": 90, "lon": 180},
            monthly_price=10**12,
            property_size=1_000_000,
            area={
                "id": "i" * 200,
                "name": wide * 200,
                "city": "c" * 200,
                "country": "字" * 200,
                "coordinates": {"lat": -90, "lon": -180},
            },
            images=[{"url": f"https://wide.example/{i:02}/" + "ü" * (2048 - len("https://wide.example/00/"))} for i in range(50)],
        )
        | given
    )


def test_every_maximum_can_be_indexed(system):
    room = published(system, **boundary())
    line = json.dumps(boundary(url="https://wide.example/imported", coordinates={"lat": -90, "lon": -180})) + "\n"
    answer = system.rooms.post("/v1.0/rooms/import", content=line, headers={"Content-Type": "application/x-ndjson"})
    imported = answer.json()
    assert imported["outcome"] == "created", imported
    assert eventually(lambda: system.indexed(room["id"]))["room"] == room
    eventually(lambda: system.indexed(imported["id"]))
    eventually(lambda: set(ids(system.found(q="wide room"))) == {room["id"], imported["id"]})
    eventually(lambda: ids(system.found(near="90,0", radius=1000)) == [room["id"]])


def test_what_was_acknowledged_survives_the_sudden_death_of_everything(system):
    acknowledged = []
    for number in range(40):
        acknowledged.append(published(system, name=f"Room number {number}")["id"])
        if number == 20:  # in the midst of it
            system.end(signal.SIGKILL)
            system.start()
    system.end(signal.SIGKILL)
    system.start()
    eventually(lambda: system.found(limit=1)["total"]["value"] == 40)
    found = ids(system.found(limit=100))
    assert sorted(found) == sorted(acknowledged)


def test_told_to_end_each_process_ends_in_order(system):
    for number in range(30):
        published(system, name=f"Room number {number}")
    statuses = system.end(signal.SIGTERM, seconds=10)
    assert set(statuses.values()) == {0}, statuses
    system.start()
    eventually(lambda: system.found(limit=1)["total"]["value"] == 30)
    assert "Traceback" not in system.log()
