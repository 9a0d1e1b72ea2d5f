"""Listings at every maximum at once: what is accepted can be stored, told and read back, on both databases."""

import json
from typing import Any

import pytest

WIDE = "😀"  # four bytes in UTF-8, two code units in UTF-16


@pytest.fixture(params=[1, -1], ids=["north-east", "south-west"])
def largest(request, listing) -> dict[str, Any]:
    def url(number: int) -> str:
        return f"{listing()['url']}/{number}/".ljust(2048, "\U00020bb7")

    return {
        "name": WIDE * 200,
        "description": WIDE * 20_000,
        "price": 10**12,
        "recurrency": "daily",
        "provider": f"{listing()['url'][-4:]}".ljust(100, WIDE),
        "url": url(0),
        "coordinates": {"lat": 90 * request.param, "lon": 180 * request.param},
        "property_size": 10**6,
        "currency": "XXX",
        "area": {
            "id": WIDE * 200,
            "name": WIDE * 200,
            "city": WIDE * 200,
            "country": WIDE * 200,
            "coordinates": {"lat": -90 * request.param, "lon": -180 * request.param},
        },
        "is_visible": False,
        "furnished": False,
        "images": [{"url": url(number)} for number in range(1, 51)],
    }


def shown(api, given: dict[str, Any]) -> dict[str, Any]:
    return given | {"monthly_price": given.get("monthly_price", 30 * 10**12), "images": api.stored(given["images"])}


@pytest.mark.parametrize("changes", [{}, {"monthly_price": 30 * 10**12 - 1}], ids=["derived", "given"])
def test_the_largest_listing_can_be_posted_and_read_and_sent_back(api, largest, changes):
    given = largest | changes
    body = json.dumps(given, ensure_ascii=False).encode()
    created = api.client.post("/v1.0/rooms", content=body, headers={"Content-Type": "application/json"})
    assert created.status_code == 201, created.text[:500]
    room = created.json()
    assert room | shown(api, given) == room
    path = created.headers["Location"]
    assert api.client.get(path).json() == room
    again = api.client.put(path, json=room).json()
    assert again == room | {"version": 2, "updated_at": again["updated_at"]}
    assert api.client.patch(path, json={"name": WIDE * 199}).json()["version"] == 3
    assert [told["url"] for told in api.told()] == [given["url"]] * 3
    assert api.told()[0]["description"] == given["description"]
    assert api.client.post("/v1.0/rooms", json=given).headers["Location"] == path
    assert (
        room in api.client.get("/v1.0/rooms", params={"provider": given["provider"], "limit": 100}).json() or room["version"] < 3
    )
    assert api.client.delete(path).status_code == 204


def test_the_largest_listing_can_be_imported(api, largest):
    lines = b"\n".join(json.dumps(largest | {"price": price}, ensure_ascii=False).encode() for price in (10**12, 10**12, 0))
    answer = api.client.post("/v1.0/rooms/import", content=lines, headers={"Content-Type": "application/x-ndjson"})
    outcomes = [json.loads(line) for line in answer.content.splitlines()]
    assert [each["outcome"] for each in outcomes] == ["created", "unchanged", "updated"]
    room = api.client.get(f"/v1.0/rooms/{outcomes[0]['id']}").json()
    assert room | shown(api, largest) | {"price": 0, "monthly_price": 0} == room
    assert [(told["price"], told["monthly_price"]) for told in api.told()] == [(10**12, 30 * 10**12), (0, 0)]


def test_the_smallest_listing_can_be_posted(api, listing):
    given = {
        "name": "a",
        "description": "b",
        "price": 0,
        "recurrency": "DAILY",
        "provider": "c",
        "url": f"http://a/?{listing()['url'][-9:]}",
        "coordinates": {"lat": 0, "lon": -0.0},
    }
    room = api.create(given)
    assert room | given | {"recurrency": "daily", "monthly_price": 0, "property_size": None, "images": []} == room
    assert api.told()[0]["monthly_price"] == 0


@pytest.mark.parametrize("lat", [-90, -89.999999999999, -1e-300, 5e-324, 0.1 + 0.2, 1 / 3, 89.99999999999999])
def test_coordinates_come_back_to_the_last_bit(api, listing, lat):
    room = api.create(listing(coordinates={"lat": lat, "lon": 2 * lat}))
    assert (
        room["coordinates"] == api.client.get(f"/v1.0/rooms/{room['id']}").json()["coordinates"] == {"lat": lat, "lon": 2 * lat}
    )
    assert api.told()[0]["coordinates"] == {"lat": lat, "lon": 2 * lat}
    again = api.client.post("/v1.0/rooms/import", content=json.dumps(room), headers={"Content-Type": "application/x-ndjson"})
    assert again.json()["outcome"] == "unchanged"
