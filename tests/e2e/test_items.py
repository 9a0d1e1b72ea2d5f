"""An item written is an item found, where its room is: over HTTP, from the rooms and items APIs to the search API, on both stacks."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.messaging.connect import connect
from common.messaging.port import Broker
from common.messaging.topology import ITEMS, ITEMS_ROOMS, Queue, Topology
from common.testing.ledger import Ledger
from common.testing.samples import published_room
from common.testing.system import Command, System
from common.testing.tenants import Tenants, tenancy
from common.testing.waiting import eventually
from common.testing.writers import Writers

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

Item = dict[str, Any]


@pytest.fixture
def broker(whole: System) -> Iterator[Broker]:
    """The system's broker, which keeps every event of items for us."""
    broker = connect(whole.environ["BROKER_URL"], "test")
    broker.declare(
        Topology((ITEMS,), (Queue("witness", tuple((ITEMS, f"Item{what}") for what in ("Created", "Updated", "Deleted"))),))
    )
    yield broker
    broker.close()


def told(broker: Broker, id: str) -> list[tuple[str, Item]]:
    """(type, data) of each event of this item that was published, by version. One may have been published twice, by a relay that died."""
    codec = Codec(Catalogue.load())
    events = [codec.decode(message.body) for message in broker.browse("witness", 10_000)]
    of_item = {int(data["version"]): (type, data) for type, data in events if data["id"] == id}
    return [of_item[version] for version in sorted(of_item)]


def published(system: System, **given: Any) -> Item:
    answer = system.items.post("/v1.0/items", json={"name": "Upright piano"} | given)
    assert answer.status_code == 201, answer.text
    item: Item = answer.json()
    return item


def change(system: System, room: Item, **given: Any) -> None:
    answer = system.rooms.patch(f"/v1.0/rooms/{room['id']}", json=given)
    assert answer.status_code == 200, answer.text


def shown(system: System, item: Item) -> Item | None:
    """The item as its API shows it, None once it is gone."""
    answer = system.items.get(f"/v1.0/items/{item['id']}")
    assert answer.status_code in (200, 404), answer.text
    return answer.json() if answer.status_code == 200 else None


def place(system: System, item: Item) -> Any:
    """Where it is by now, as it tells itself."""
    now = shown(system, item)
    return None if now is None or now["room"] is None else {name: now["room"][name] for name in ("name", "city", "is_visible")}


def found_rooms(system: System, **query: Any) -> list[str]:
    return [hit["id"] for hit in system.found(**query)["hits"]]


def found_items(system: System, **query: Any) -> dict[str, Item]:
    answer = system.search.get("/v1.0/search/items", params=query)
    assert answer.status_code == 200, answer.text
    return {hit["id"]: hit["item"] for hit in answer.json()["hits"]}


def test_an_item_moves_hides_and_goes_with_its_room(whole: System, broker: Broker):
    room = published_room(whole)
    item, alone = published(whole, room_id=room["id"]), published(whole, name="Upright bass")
    assert place(whole, item) == {"name": "Attic", "city": "Berlin", "is_visible": True}
    assert alone["room"] is None

    change(whole, room, price=2)  # of which items know nothing
    change(whole, room, name="Atelier", coordinates={"lat": 45.7578, "lon": 4.832})
    eventually(lambda: place(whole, item) == {"name": "Atelier", "city": "Lyon", "is_visible": True})
    change(whole, room, is_visible=False)
    eventually(lambda: place(whole, item) == {"name": "Atelier", "city": "Lyon", "is_visible": False})
    change(whole, room, is_visible=True)
    eventually(lambda: place(whole, item) == {"name": "Atelier", "city": "Lyon", "is_visible": True})
    assert whole.rooms.delete(f"/v1.0/rooms/{room['id']}").status_code == 204
    eventually(lambda: shown(whole, item) is None)
    assert shown(whole, alone) == alone

    events = eventually(lambda: found if len(found := told(broker, item["id"])) == 5 else None)
    assert [(type, data["version"]) for type, data in events] == [
        ("ItemCreated", 1),
        ("ItemUpdated", 2),
        ("ItemUpdated", 3),
        ("ItemUpdated", 4),
        ("ItemDeleted", 5),
    ]
    assert [(data["room"]["city"], data["room"]["is_visible"]) for _, data in events[:-1]] == [
        ("Berlin", True),
        ("Lyon", True),
        ("Lyon", False),
        ("Lyon", True),
    ]
    refused = whole.items.post("/v1.0/items", json={"name": "Late", "room_id": room["id"]})
    assert (refused.status_code, refused.json()["errors"][0]["name"]) == (422, "room_id")


def test_a_room_is_found_by_what_is_in_it(whole: System):
    room, other = published_room(whole), published_room(whole, name="Cellar")
    item = published(whole, room_id=room["id"], category="music")
    eventually(lambda: found_rooms(whole, q="piano") == [room["id"]])
    hit = whole.found(q="piano")["hits"][0]
    assert [each["id"] for each in hit["items"]] == [item["id"]]
    assert found_items(whole, q="piano", near="52.5,13.4", radius=5000) == {item["id"]: item}

    change(whole, room, coordinates={"lat": 45.7578, "lon": 4.832})
    eventually(lambda: found_items(whole, q="piano", near="45.76,4.83", radius=5000).keys() == {item["id"]})
    assert found_items(whole, q="piano", near="52.5,13.4", radius=5000) == {}
    eventually(lambda: found_rooms(whole, q="piano", city="lyon") == [room["id"]])

    change(whole, room, is_visible=False)
    eventually(lambda: not found_items(whole, q="piano"))
    assert found_rooms(whole, q="piano") == []
    change(whole, room, is_visible=True)
    eventually(lambda: found_items(whole, q="piano"))
    eventually(lambda: found_rooms(whole, q="piano") == [room["id"]])

    here = f"/v1.0/items/{item['id']}"
    assert whole.items.patch(here, json={"room_id": other["id"]}).status_code == 200
    eventually(lambda: found_rooms(whole, q="piano") == [other["id"]])
    assert whole.items.patch(here, json={"room_id": None}).status_code == 200
    eventually(lambda: found_rooms(whole, q="piano") == [])
    assert found_items(whole, q="piano").keys() == {item["id"]}
    assert whole.items.patch(here, json={"room_id": room["id"]}).status_code == 200
    eventually(lambda: found_rooms(whole, q="piano") == [room["id"]])

    assert whole.rooms.delete(f"/v1.0/rooms/{room['id']}").status_code == 204
    eventually(lambda: not found_items(whole, q="piano"))
    eventually(lambda: found_rooms(whole, q="piano") == [])


def of_items(system: System, *tasks: str) -> list[Command]:
    return [command for command in system.commands if command[0] == "items" and command[1] in (*tasks, "all")]


def test_what_happens_to_rooms_while_the_items_service_is_dead_is_made_up_for(whole: System, broker: Broker):
    room, other = published_room(whole), published_room(whole)
    stays, goes = published(whole, room_id=room["id"]), published(whole, room_id=other["id"])
    everything = of_items(whole, "api", "relay", "consumer", "images")
    whole.end(signal.SIGKILL, *everything)
    change(whole, room, name="Atelier")
    change(whole, room, is_visible=False)
    assert whole.rooms.delete(f"/v1.0/rooms/{other['id']}").status_code == 204
    eventually(lambda: broker.depth(ITEMS_ROOMS.name) >= 3)
    whole.start(*everything)
    eventually(lambda: place(whole, stays) == {"name": "Atelier", "city": "Berlin", "is_visible": False})
    eventually(lambda: shown(whole, goes) is None)
    eventually(lambda: [type for type, _ in told(broker, goes["id"])] == ["ItemCreated", "ItemDeleted"])
    assert tenancy(whole) == []


@pytest.mark.slow
def test_killed_again_and_again_while_rooms_change_under_items_it_leaves_none_astray(whole: System):
    rooms, things = Ledger(), Ledger()
    victims = of_items(whole, "api", "consumer", "relay")
    with (
        Writers(whole, rooms, pause=0.05),
        Writers(whole, things, service="items", pause=0.05),
        Tenants(whole, rooms, pause=0.02) as tenants,
    ):
        for number in range(4):
            seen = rooms.writes, things.writes, tenants.moved_in
            eventually(lambda seen=seen: rooms.writes > seen[0] + 10 and tenants.moved_in > seen[2] + 10, seconds=60)  # type: ignore[misc]
            victim = victims[number % len(victims)]
            whole.end(signal.SIGKILL, victim)
            whole.start(victim)
    assert (rooms.surprises, things.surprises, tenants.surprises) == ([], [], [])
    assert tenancy(whole) == []


@pytest.mark.faults
@pytest.mark.slow
@pytest.mark.parametrize("stack", ["real"], indirect=True)
def test_while_the_broker_is_down_items_are_written_and_afterwards_follow(whole: System, server_control: Any):
    room = published_room(whole)
    item = published(whole, room_id=room["id"])
    server_control.kill("rabbitmq")
    change(whole, room, name="Atelier")
    later = published(whole, room_id=room["id"])  # what is known is enough
    unheard = published_room(whole)
    asked = published(whole, room_id=unheard["id"])  # and what is not is asked for
    assert asked["room"]["version"] == 1
    change(whole, unheard, is_visible=False)
    server_control.start("rabbitmq")
    eventually(lambda: place(whole, item)["name"] == "Atelier", seconds=60)
    eventually(lambda: place(whole, later)["name"] == "Atelier", seconds=60)
    eventually(lambda: place(whole, asked)["is_visible"] is False, seconds=60)
    assert tenancy(whole) == []
