"""Who has written finds it with the next search, on both stacks: no test here waits on anything but the answer itself."""

from typing import Any

import httpx
import pytest

from common.testing.samples import a_room
from common.testing.system import System

pytestmark = pytest.mark.e2e


def after(system: System, *writes: httpx.Response, path: str = "", **query: Any) -> dict[str, Any]:
    """The answer to a search that waits for these writes."""
    headers = {"Atrium-Consistency": ", ".join(each.headers["Atrium-Consistency"] for each in writes), "Prefer": "wait=10"}
    answer = system.search.get(f"/v1.0/search/rooms{path}", params=query, headers=headers)
    assert answer.headers["Preference-Applied"] == "wait=10"
    document: dict[str, Any] = answer.json()
    assert answer.status_code == 404 or document["index"]["pending"] == []
    return document


def names(answer: dict[str, Any]) -> list[str]:
    return [hit["room"]["name"] for hit in answer["hits"]]


def test_each_write_is_seen_by_the_search_that_names_it(system: System) -> None:
    created = system.rooms.post("/v1.0/rooms", json=a_room(name="Room of mine"))
    here, id = created.headers["Location"], created.json()["id"]
    assert names(after(system, created)) == ["Room of mine"]
    assert after(system, system.rooms.patch(here, json={"name": "Renamed"}), path=f"/{id}")["room"]["name"] == "Renamed"
    assert names(after(system, system.rooms.patch(here, json={"is_visible": False}))) == []
    assert names(after(system, system.rooms.put(here, json=a_room(name="Replaced")))) == ["Replaced"]
    others = [system.rooms.post("/v1.0/rooms", json=a_room(name=f"Other {number}")) for number in range(5)]
    gone = system.rooms.delete(here)
    assert sorted(names(after(system, *others, gone))) == [f"Other {number}" for number in range(5)]
    assert after(system, gone, path=f"/{id}")["status"] == 404
