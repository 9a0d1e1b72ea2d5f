"""Events that come twice, in any order, much too late, or broken, change nothing."""

import json
import random
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from injector import Injector

from common.config import load
from common.errors import NotFound, Unavailable
from common.messaging.connect import connect
from common.messaging.port import Broker, Message
from common.messaging.topology import ROOMS, TOPOLOGY, Queue, Topology
from common.testing.ledger import Ledger, State
from common.testing.servers import Stack
from common.testing.system import System, running
from common.testing.waiting import eventually, in_background
from common.testing.writers import Writers
from search import bootstrap
from search.config import Config
from search.domain import Query
from search.ports import Corpora, Index

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]

WITNESS = Topology((ROOMS,), (Queue("witness", ((ROOMS, "#"),)),))


def witnessed(broker: Broker) -> list[Message]:
    """What was published since WITNESS was declared, in order."""
    return [each for each in broker.browse(WITNESS.queues[0].name, 10_000) if each.routing_key != "Heartbeat"]


@contextmanager
def filled(index_url: str, broker: Path, messages: Sequence[Message]) -> Iterator[Index]:
    """A fresh index after a fresh consumer has applied these; the last of them is not applied before the others."""
    injector = Injector([bootstrap.configure(load(Config, {"INDEX_URL": index_url, "BROKER_URL": f"sqlite:///{broker}"}))])
    index = injector.get(Corpora)["rooms"].index
    injector.get(Broker).declare(TOPOLOGY)
    assert all(injector.get(Broker).publisher().publish(ROOMS, messages, 10))
    last = str(messages[-1].headers["cloudEvents_subject"])
    try:
        with in_background(bootstrap.Indexer(injector, "rooms", batch=50).run):
            eventually(lambda: is_there(index, last))
            yield index
    finally:
        injector.get(Broker).close()
        index.close()


def is_there(index: Index, id: str) -> bool:
    """Whether the room can be found; an index that is just being made has no answer yet."""
    try:
        return index.search(Query()).total > 0 and contents(index, [id])[id] is not None
    except Unavailable:
        return False


def contents(index: Index, ids: Sequence[str]) -> dict[str, Any]:
    """The rooms with these ids, None for those that are gone."""
    rooms: dict[str, Any] = {}
    for id in ids:
        try:
            document = index.get(id)
            rooms[id] = document.version, document.visible, document.listing
        except NotFound:
            rooms[id] = None
    return rooms


@pytest.fixture
def recorded(tmp_path: Path) -> list[Message]:
    """The events of many rooms, the last one's being its creation."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    stack = Stack(f"sqlite:///{folder}/rooms.db", f"sqlite:///{folder}/broker.db", f"tantivy:///{folder}/index")
    with running(stack, folder, real=False) as system:
        broker = connect(stack.broker_url, "test")
        broker.declare(WITNESS)
        ledger = Ledger()
        with Writers(system, ledger, pause=0):
            eventually(lambda: ledger.writes > 200)
        listing = {"name": "The last", "description": "-", "price": 1, "recurrency": "daily", "provider": "last"}
        listing |= {"url": "https://last.example/", "coordinates": {"lat": 0, "lon": 0}}
        assert system.rooms.post("/v1.0/rooms", json=listing).status_code == 201
        system.end(signal.SIGTERM)  # a relay that is told to end publishes what waits
        messages = witnessed(broker)
        broker.close()
    assert "The last" in str(messages[-1].body)
    return messages


def test_three_times_each_and_in_any_order_they_end_in_the_same_index(recorded: list[Message], index_url: str, tmp_path: Path):
    ids = sorted({str(message.headers["cloudEvents_subject"]) for message in recorded})

    def fresh(name: str) -> str:
        if index_url.startswith("tantivy"):
            return f"{index_url}-{name}"
        url = httpx.URL(index_url)
        return str(url.copy_set_param("prefix", f"{url.params['prefix']}{name}-"))

    with filled(fresh("ordered"), tmp_path / "ordered.db", recorded) as index:
        expected = contents(index, ids)
    assert None in expected.values(), "some were deleted"
    assert False in {room[1] for room in expected.values() if room}, "and some hidden"
    assert max(room[0] for room in expected.values() if room) > 2
    for seed in range(20 if index_url.startswith("tantivy") else 4):
        shuffled = 3 * recorded[:-1]
        random.Random(seed).shuffle(shuffled)
        with filled(fresh(str(seed)), tmp_path / f"{seed}.db", [*shuffled, recorded[-1]]) as index:
            assert contents(index, ids) == expected, f"seed {seed}"


def test_a_stale_event_after_a_delete_and_a_restart_of_the_index_brings_nothing_back(
    request: pytest.FixtureRequest, system: System, ledger: Ledger, broker: Broker, published, republish, all_is_well
):
    broker.declare(WITNESS)
    rooms = [published(name=f"Room {number}") for number in range(5)]
    for room in rooms:
        assert system.rooms.patch(f"/v1.0/rooms/{room['id']}", json={"price": 2}).status_code == 200
        assert system.rooms.delete(f"/v1.0/rooms/{room['id']}").status_code == 204
        ledger.acknowledged(room["id"], State(3, deleted=True))
    all_is_well()
    stale = [event for event in witnessed(broker) if event.routing_key in ("RoomCreated", "RoomUpdated")]
    assert len(stale) == 2 * len(rooms) + 1  # and the one that settling has added

    if ("search", "all") in system.commands:
        system.end(signal.SIGKILL, ("search", "all"))
        system.start(("search", "all"))
    else:  # Elasticsearch forgets the versions of what was deleted: not of tombstones
        control = request.getfixturevalue("server_control")
        control.stop("elasticsearch")
        control.start("elasticsearch")
    republish(3 * stale)
    all_is_well()


def test_poison_among_a_thousand_holds_up_nobody(
    system: System, ledger: Ledger, broker: Broker, dead: Callable[[], Any], republish
):
    broker.declare(WITNESS)
    imported(system, ledger, range(500))
    event = eventually(lambda: next(iter(witnessed(broker)), None))
    poison = {
        "garbage": replace(event, body=b"\xc3\x01garbage"),
        "truncated": replace(event, body=event.body[:-9]),
        "mislabelled": replace(event, routing_key="RoomImagined", headers=event.headers | {"cloudEvents_type": "RoomImagined"}),
    }
    republish([replace(each, headers=each.headers | {"cloudEvents_subject": subject}) for subject, each in poison.items()])
    imported(system, ledger, range(500, 1000))
    eventually(lambda: system.found(limit=1)["total"]["value"] == 1000, seconds=60)
    letters = eventually(lambda: found if len(found := dead()) == len(poison) else None)
    assert letters.keys() == poison.keys()
    assert all(letter.headers["dead_detail"] for letter in letters.values())
    assert "waiting: " not in system.log(), "nobody had to wait"


def imported(system: System, ledger: Ledger, numbers: Sequence[int]) -> None:
    listing = {"description": "-", "price": 1, "recurrency": "daily", "provider": "test", "coordinates": {"lat": 0, "lon": 0}}
    lines = [json.dumps(listing | {"name": f"Room {each}", "url": f"https://test.example/{each}"}) for each in numbers]
    answer = system.rooms.post(
        "/v1.0/rooms/import", content="\n".join(lines), headers={"Content-Type": "application/x-ndjson"}, timeout=60
    )
    for number, line in zip(numbers, answer.text.splitlines(), strict=True):
        outcome = json.loads(line)
        assert outcome["outcome"] == "created"
        ledger.published(outcome["id"], f"https://test.example/{number}", State(1))
