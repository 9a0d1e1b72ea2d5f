"""Items and their rooms over HTTP: rooms that are there, that are not, and of which nobody can say."""

import json
import socket
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
from uuid_utils import uuid7

from common.testing.waiting import eventually

NDJSON = {"Content-Type": "application/x-ndjson"}


def imported(api, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    answer = api.client.post("/v1.0/items/import", content="\n".join(map(json.dumps, documents)), headers=NDJSON)
    assert answer.status_code == 200, answer.text
    return [json.loads(line) for line in answer.text.splitlines()]


def unprocessable(answer) -> None:
    assert (answer.status_code, answer.headers["Content-Type"]) == (422, "application/problem+json"), answer.text
    assert [(error["in"], error["name"]) for error in answer.json()["errors"]] == [("body", "room_id")]


def unavailable(answer) -> None:
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json"), answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    assert "the rooms service" in answer.json()["detail"]


@pytest.fixture
def there(told_rooms, a_room: Callable[..., Any]) -> Any:
    """A room that the rooms service tells of."""
    room = a_room(version=3)
    told_rooms.rooms[room.id] = room
    return room


def test_the_first_item_of_the_article_is_an_item(items_api):
    item = items_api.create(name="First item")
    assert item | {"id": "", "created_at": "", "updated_at": ""} == {
        "id": "",
        "version": 1,
        "name": "First item",
        "description": None,
        "category": None,
        "price": None,
        "currency": "EUR",
        "quantity": 1,
        "condition": None,
        "provider": None,
        "url": None,
        "room_id": None,
        "room": None,
        "is_visible": True,
        "images": [],
        "created_at": "",
        "updated_at": "",
    }
    assert items_api.create(name="First item")["id"] != item["id"], "no url, no conflict"


def test_an_item_in_a_room_tells_where_it_is(items_api, there):
    item = items_api.create(room_id=there.id)
    place = {"version": 3, "name": "Attic", "coordinates": {"lat": 52.5, "lon": 13.4}, "city": "Berlin", "is_visible": True}
    assert (item["room_id"], item["room"]) == (there.id, place)
    assert items_api.client.get(f"/v1.0/items/{item['id']}").json() == item
    ((type, told),) = items_api.house.told()
    assert (type, told["room_id"], told["room"]) == ("ItemCreated", there.id, place)


def test_what_is_shown_can_be_sent_back(items_api, there):
    item = items_api.create(room_id=there.id)
    answer = items_api.client.put(f"/v1.0/items/{item['id']}", json=item | {"price": 5, "room": {"name": "ignored"}})
    assert answer.status_code == 200, answer.text
    assert answer.json() == item | {"price": 5, "version": 2, "updated_at": answer.json()["updated_at"]}


@pytest.mark.parametrize(
    "spell",
    [str.upper, lambda text: text.replace("-", ""), "urn:uuid:{}".format, "{{{}}}".format],
    ids=["upper", "hex", "urn", "braces"],
)
def test_a_room_may_be_spelled_oddly_or_not_at_all(items_api, there, told_rooms, spell):
    answer = items_api.client.post("/v1.0/items", json={"name": "Piano", "room_id": spell(there.id)})
    if answer.status_code == 400:  # what the document's format does not know is refused by name
        assert [error["name"] for error in answer.json()["errors"]] == ["room_id"]
        assert told_rooms.asked == []
        return
    assert answer.status_code == 201, answer.text
    assert answer.json()["room_id"] == there.id
    listed = items_api.client.get("/v1.0/items", params={"room_id": spell(there.id)})
    assert [item["id"] for item in listed.json()] == [answer.json()["id"]]


@pytest.mark.parametrize(
    "wrong", ["", "x", "7", 7, True, [], {}, "../../etc", "0" * 5000, "01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b1\u0661"]
)
def test_what_is_no_id_of_a_room_is_refused_by_name(items_api, told_rooms, wrong):
    answer = items_api.client.post("/v1.0/items", json={"name": "Piano", "room_id": wrong})
    assert answer.status_code == 400, answer.text
    assert [error["name"] for error in answer.json()["errors"]] == ["room_id"]
    assert told_rooms.asked == []
    if isinstance(wrong, str):
        listed = items_api.client.get("/v1.0/items", params={"room_id": wrong})
        assert (listed.status_code, [error["name"] for error in listed.json()["errors"]]) == (400, ["room_id"])


def test_a_room_that_does_not_exist_or_is_gone_is_named_whatever_the_way(items_api, there, told_rooms, a_room):
    gone = a_room(place=None)
    told_rooms.rooms[gone.id] = gone
    item = items_api.create(room_id=there.id)
    path = f"/v1.0/items/{item['id']}"
    for id in (str(uuid.uuid4()), gone.id):
        unprocessable(items_api.client.post("/v1.0/items", json={"name": "Piano", "room_id": id}))
        unprocessable(items_api.client.put(path, json={"name": "Piano", "room_id": id}))
        unprocessable(items_api.client.patch(path, json={"room_id": id}))
    assert items_api.client.get(path).json() == item
    assert items_api.house.events() == [("ItemCreated", item["id"], 1)]


def test_null_takes_an_item_out_of_its_room(items_api, there, told_rooms, a_room):
    item = items_api.create(room_id=there.id)
    path = f"/v1.0/items/{item['id']}"
    detached = items_api.client.patch(path, json={"room_id": None}).json()
    assert (detached["room_id"], detached["room"], detached["version"]) == (None, None, 2)
    assert items_api.house.told()[-1][1]["room"] is None
    other = a_room(name="Cellar")
    told_rooms.rooms[other.id] = other
    moved = items_api.client.patch(path, json={"room_id": other.id}).json()
    assert (moved["room_id"], moved["room"]["name"]) == (other.id, "Cellar")
    alone = items_api.client.put(path, json={"name": "Piano"}).json()
    assert (alone["room_id"], alone["room"]) == (None, None)


def test_an_item_can_be_taken_out_of_a_room_that_is_gone_before_it_goes_with_it(items_api, there, a_room):
    item, other = items_api.create(room_id=there.id), items_api.create(room_id=there.id)
    items_api.house.known.learn([a_room(of=there, place=None)])
    unprocessable(items_api.client.patch(f"/v1.0/items/{item['id']}", json={"price": 1}))
    assert items_api.client.patch(f"/v1.0/items/{item['id']}", json={"room_id": None}).status_code == 200
    items_api.house.settle()
    assert items_api.client.get(f"/v1.0/items/{item['id']}").status_code == 200
    assert items_api.client.get(f"/v1.0/items/{other['id']}").status_code == 404


def test_the_list_is_filtered_by_room_category_and_provider(items_api, there):
    def listed(**wanted: Any) -> set[str]:
        answer = items_api.client.get("/v1.0/items", params=wanted)
        assert answer.status_code == 200, answer.text
        return {item["name"] for item in answer.json()}

    items_api.create(name="a", room_id=there.id, category="music", provider="p")
    items_api.create(name="b", room_id=there.id, category="tools", provider="p", is_visible=False)
    items_api.create(name="c", category="music & more", provider="q")
    items_api.create(name="d")
    assert listed() == {"a", "b", "c", "d"}
    assert listed(room_id=there.id) == {"a", "b"}
    assert listed(room_id=there.id, category="music") == {"a"}
    assert listed(room_id=there.id, is_visible=False) == {"b"}
    assert listed(category="music") == {"a"}
    assert listed(category=" music &amp; <b>more</b>") == {"c"}, "as it would be stored"
    assert listed(provider="q") == {"c"}
    assert listed(provider="p", category="tools") == {"b"}
    assert listed(room_id=str(uuid7())) == listed(category="<br>") == set()
    first = items_api.client.get("/v1.0/items", params={"room_id": there.id, "limit": 1})
    second = items_api.client.get(first.links["next"]["url"])
    assert [item["name"] for item in (*first.json(), *second.json())] == ["a", "b"]
    assert "next" not in second.links


def test_an_import_asks_once_for_all_its_rooms(items_api, there, told_rooms, a_room):
    other, nowhere = a_room(), str(uuid7())
    told_rooms.rooms[other.id] = other
    rooms = [there.id, other.id.upper(), None, nowhere]
    documents = [
        {"name": f"Thing {number}", "url": f"https://items.example/{number}"}
        | ({} if rooms[number % 4] is None else {"room_id": rooms[number % 4]})
        for number in range(400)
    ]
    outcomes = imported(items_api, documents)
    assert [each["outcome"] for each in outcomes] == ["created", "created", "created", "invalid"] * 100
    problem = outcomes[3]["problem"]
    assert (problem["status"], [error["name"] for error in problem["errors"]]) == (422, ["room_id"])
    assert told_rooms.asked == [{there.id, other.id, nowhere}], "one question, not one per line"

    again = imported(items_api, documents)
    assert [each["outcome"] for each in again] == ["unchanged", "unchanged", "unchanged", "invalid"] * 100
    moved = imported(items_api, [document | {"room_id": other.id} for document in documents[:4]])
    assert [each["outcome"] for each in moved] == ["updated", "unchanged", "updated", "created"]
    assert {item["room"]["name"] for item in items_api.client.get("/v1.0/items", params={"room_id": other.id}).json()} == {
        "Attic"
    }
    assert items_api.house.faults()[2:] == []  # both rooms are unsettled, and that is all


def test_while_nobody_can_say_whether_the_room_exists_writes_are_to_come_again(items_api, there, told_rooms):
    item = items_api.create(room_id=there.id)
    told_rooms.away = True
    path, unknown = f"/v1.0/items/{item['id']}", str(uuid7())
    unavailable(items_api.client.post("/v1.0/items", json={"name": "Piano", "room_id": unknown}))
    unavailable(items_api.client.put(path, json={"name": "Piano", "room_id": unknown}))
    unavailable(items_api.client.patch(path, json={"room_id": unknown}))
    unavailable(
        items_api.client.post("/v1.0/items/import", content=json.dumps({"name": "a", "room_id": unknown}), headers=NDJSON)
    )
    assert items_api.client.patch(path, json={"price": 1}).status_code == 200, "what is known needs no answer"
    assert items_api.client.post("/v1.0/items", json={"name": "Piano", "room_id": there.id}).status_code == 201
    assert items_api.client.post("/v1.0/items", json={"name": "Piano"}).status_code == 201
    told_rooms.away = False
    unprocessable(items_api.client.post("/v1.0/items", json={"name": "Piano", "room_id": unknown}))


def test_a_rooms_service_that_is_away_or_no_rooms_service_is_a_503(sqlite_url, serve_items):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        away = serve_items(sqlite_url, ROOMS_URL=f"http://127.0.0.1:{listener.getsockname()[1]}")
        unavailable(away.client.post("/v1.0/items", json={"name": "Piano", "room_id": str(uuid7())}))
    itself = serve_items(sqlite_url, ROOMS_URL=str(away.client.base_url))
    unavailable(itself.client.post("/v1.0/items", json={"name": "Piano", "room_id": str(uuid7())}))
    assert itself.client.get("/readyz").status_code == 200, "items that stand alone need no rooms"


def test_a_rooms_service_that_hangs_holds_up_nobody_but_a_few_who_ask_for_it(sqlite_url, serve_items, a_room):
    hanging = socket.create_server(("127.0.0.1", 0), backlog=100)  # it is connected to, and never answers
    api = serve_items(sqlite_url, ROOMS_URL=f"http://127.0.0.1:{hanging.getsockname()[1]}", ITEMS_ROOMS_TIMEOUT="30")
    known = a_room()
    api.house.known.learn([known])

    def publish(_: int) -> Any:
        return api.client.post("/v1.0/items", json={"name": "Piano", "room_id": str(uuid7())})

    with ThreadPoolExecutor(40) as pool:
        try:
            asking = [pool.submit(publish, number) for number in range(40)]
            eventually(lambda: sum(each.done() for each in asking) >= 36)
            item = api.create(room_id=known.id)
            assert api.client.patch(f"/v1.0/items/{item['id']}", json={"price": 1}).status_code == 200
            assert api.client.get("/v1.0/items").json()[0]["id"] == item["id"]
            assert imported(api, [{"name": "a"}, {"name": "b", "room_id": known.id}])
            assert sum(not each.done() for each in asking) == 4, "they still wait for it"
        finally:
            hanging.close()
        for each in asking:
            unavailable(each.result())
    checks = api.client.get("/health-check").json()["checks"]
    assert checks["rooms"]["status"] == "degraded" and "the rooms service" in checks["rooms"]["detail"]
    assert api.client.get("/readyz").status_code == 200


def test_an_import_does_not_ask_a_hanging_rooms_service_for_every_line(sqlite_url, serve_items):
    with socket.create_server(("127.0.0.1", 0), backlog=100) as hanging:
        hanging.settimeout(0.5)
        api = serve_items(sqlite_url, ROOMS_URL=f"http://127.0.0.1:{hanging.getsockname()[1]}", ITEMS_ROOMS_TIMEOUT="0.1")
        lines = "\n".join(json.dumps({"name": "a", "room_id": str(uuid7())}) for _ in range(500))
        for _ in range(5):
            unavailable(api.client.post("/v1.0/items/import", content=lines, headers=NDJSON))
        asked = 0
        with suppress(TimeoutError):
            while True:
                hanging.accept()[0].close()
                asked += 1
        assert asked <= 4, "three tries, and perhaps one later whether it is back"


def test_what_is_sent_twice_with_one_key_is_created_once_in_its_room(items_api, there):
    headers = {"Idempotency-Key": "k-1"}
    body = {"name": "Piano", "room_id": there.id}
    first = items_api.client.post("/v1.0/items", json=body, headers=headers)
    second = items_api.client.post("/v1.0/items", json=body, headers=headers)
    assert (first.status_code, second.status_code, second.headers["Idempotency-Replayed"]) == (201, 201, "true")
    assert first.json() == second.json()
    other = items_api.client.post("/v1.0/items", json=body | {"room_id": None}, headers=headers)
    assert (other.status_code, [error["name"] for error in other.json()["errors"]]) == (422, ["Idempotency-Key"])
