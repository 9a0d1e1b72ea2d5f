"""What happened to rooms and items, in any order and more than once, ends in the same: what items know of rooms, and both indices."""

import random
import signal
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any, cast

import httpx
import pytest
from injector import Injector
from sqlalchemy import Engine, delete, select

import items.bootstrap
import items.config
import search.bootstrap
import search.config
from common.config import load
from common.db.doorbell import Doorbell
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.consumer import Consumer, Handler
from common.messaging.connect import connect
from common.messaging.port import Broker, Burial, Delivery, Message, Subscription
from common.messaging.topology import ITEMS, ROOMS, TOPOLOGY, Queue, Topology
from common.testing.ledger import Ledger
from common.testing.samples import a_room, an_item
from common.testing.servers import Stack
from common.testing.system import System, running
from common.testing.tenants import Tenants, tenancy
from common.testing.waiting import eventually
from common.testing.writers import Writers
from items.adapters.tables import known_rooms
from items.entrypoints.consumer import LearnRooms
from search.entrypoints.consumer import IndexListings
from search.kinds import KINDS
from search.ports import Clock, Corpora
from search.use_cases import ApplyChanges

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(900)]

WITNESS = Topology((ROOMS, ITEMS), (Queue("witness", ((ROOMS, "#"), (ITEMS, "#"))),))
#: Writes of rooms, and as many of items; times that all of it is told anew, an index in so many tests.
WRITES, SHUFFLES, PARTS = 15, 200, 4

#: What a consumer has made of the events that it was told.
State = Callable[[], Any]


@dataclass
class Told(Subscription):
    """Hands these messages out in portions of any size, until each was acked; then it tells the consumer to stop."""

    messages: Sequence[Message]
    chance: random.Random
    stop: threading.Event = field(default_factory=threading.Event)
    acked: int = 0
    taken: int = 0
    buried: list[str] = field(default_factory=list)

    def take(self, limit: int, linger: float, timeout: float) -> list[Delivery]:
        size = self.chance.randint(1, 120)
        portion = self.messages[self.taken : self.taken + size]
        self.taken += len(portion)
        return [Delivery(message, None, 0) for message in portion]

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        self.acked += len(deliveries)
        if self.acked == len(self.messages):
            self.stop.set()

    def bury(self, burials: Sequence[Burial]) -> None:
        self.buried += [burial.detail for burial in burials]
        self.stop.set()

    def release(self, deliveries: Sequence[Delivery]) -> None:
        raise NotImplementedError

    def close(self) -> None: ...

    def subscribe(self, queue: Queue, prefetch: int) -> Subscription:
        return self


def consumed(handler: Handler, queue: Queue, messages: Sequence[Message], chance: random.Random) -> None:
    """The service's own consumer over this queue has applied all these."""
    told = Told(messages, chance)
    Consumer(cast(Broker, told), queue, codec(), handler).run(told.stop)
    assert (told.acked, told.buried) == (len(messages), [])


@cache
def codec() -> Codec:
    return Codec(Catalogue.load())


def for_queue(name: str, recorded: Sequence[Message]) -> tuple[Queue, list[Message]]:
    """The queue of this name, and what a broker puts into it."""
    queue = next(each for each in TOPOLOGY.queues if each.name == name)
    keys = {(exchange, key) for exchange, key in queue.bindings}
    return queue, [each for each in recorded if {(exchange(each), "#"), (exchange(each), each.routing_key)} & keys]


def exchange(message: Message) -> str:
    return ROOMS if message.routing_key.startswith("Room") else ITEMS


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> list[Message]:
    """The events of rooms and items, of which many are in rooms that move, hide and go, as the broker had them."""
    folder = tmp_path_factory.mktemp("recorded")
    urls = [f"sqlite:///{folder}/{name}.db" for name in ("rooms", "broker", "items")]
    stack = Stack(urls[0], urls[1], f"tantivy:///{folder}/index", urls[2])
    with running(stack, folder, real=False, items=True) as system:
        broker = connect(stack.broker_url, "test")
        broker.declare(WITNESS)
        rooms, things = Ledger(), Ledger()
        with (
            Writers(system, rooms, pause=0.01),
            Writers(system, things, service="items", pause=0.01),
            Tenants(system, rooms, pause=0) as tenants,
        ):
            eventually(lambda: min(rooms.writes, things.writes, tenants.moved_in) >= WRITES, seconds=120)
        hide_one_with_an_item(system)
        assert (tenants.surprises, tenancy(system)) == ([], [])
        system.end(signal.SIGTERM)  # a relay that is told to end publishes what waits
        messages = [each for each in broker.browse("witness", 10_000) if each.routing_key != "Heartbeat"]
        broker.close()
    types = {each.routing_key for each in messages}
    assert types == {f"{what}{happened}" for what in ("Room", "Item") for happened in ("Created", "Updated", "Deleted")}
    return messages


def hide_one_with_an_item(system: System) -> None:
    """What writers do by chance is done for certain."""
    room = system.rooms.post("/v1.0/rooms", json=a_room()).json()
    item = system.items.post("/v1.0/items", json=an_item(room_id=room["id"])).json()
    system.rooms.patch(f"/v1.0/rooms/{room['id']}", json={"is_visible": False}).raise_for_status()
    eventually(lambda: not system.items.get(f"/v1.0/items/{item['id']}").json()["room"]["is_visible"])


@contextmanager
def knowing(database_url: str) -> Iterator[tuple[Handler, State, Callable[[], None]]]:
    """What items know of rooms: the consumer's handler, what it has made, and what makes it forget all."""
    config = load(items.config.Config, {"DATABASE_URL": database_url, "BROKER_URL": "amqp://guest:guest@127.0.0.1:1/"})
    items.bootstrap.SERVICE.migrate(config)
    injector = Injector(items.bootstrap.SERVICE.modules(config))
    engine = injector.get(Engine)

    def state() -> Any:
        wanted = select(known_rooms.c.id, known_rooms.c.version, known_rooms.c.place, known_rooms.c.place_hash)
        with engine.connect() as connection:
            return [tuple(row) for row in connection.execute(wanted.order_by(known_rooms.c.id))]

    def forget() -> None:
        with engine.connect() as connection:
            connection.execute(delete(known_rooms))

    yield injector.get(LearnRooms), state, forget
    injector.get(Doorbell).close()
    engine.dispose()


@contextmanager
def indexing(index_url: str, kind: str, ids: Collection[str]) -> Iterator[tuple[Handler, State]]:
    """A fresh index: the consumer's handler, and what it has made of the listings with these ids."""
    config = load(search.config.Config, {"INDEX_URL": index_url, "BROKER_URL": "amqp://guest:guest@127.0.0.1:1/"})
    injector = Injector([search.bootstrap.configure(config)])
    index = injector.get(Corpora)[kind].index
    index.ensure(writing=True)

    def state() -> Any:
        entries = {id: index.entry(id) for id in ids}  # not what a search would find: that is of a second ago
        return {id: (entry.version, entry.listing, entry.event_id) for id, entry in entries.items()}

    yield IndexListings(KINDS[kind], ApplyChanges(index), injector.get(Clock)), state
    injector.get(Corpora).close()


def shuffled(messages: Sequence[Message], seed: int) -> list[Message]:
    """Each at least once, some more often, in any order."""
    chance = random.Random(seed)
    told = [*messages, *chance.choices(messages, k=chance.randint(0, 2 * len(messages)))]
    chance.shuffle(told)
    return told


def test_what_items_know_of_rooms_is_the_same_each_time(recorded: list[Message], database_url: str):
    queue, messages = for_queue("items.rooms", recorded)
    with knowing(database_url) as (handler, state, forget):
        consumed(handler, queue, messages, random.Random(0))
        expected = state()
        assert {place is None for _, _, place, _ in expected} == {True, False}, "some are gone"
        assert max(version for _, version, _, _ in expected) > 2
        for seed in range(SHUFFLES):
            forget()
            consumed(handler, queue, shuffled(messages, seed), random.Random(seed))
            assert state() == expected, f"seed {seed}"


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("kind", ["rooms", "items"])
def test_an_index_is_the_same_each_time(recorded: list[Message], index_url: str, kind: str, part: int):
    queue, messages = for_queue(f"search.{kind}", recorded)
    ids = sorted({str(message.headers["cloudEvents_subject"]) for message in messages})

    def fresh(name: str) -> str:
        if index_url.startswith("tantivy"):
            return f"{index_url}-{name}"
        url = httpx.URL(index_url)
        return str(url.copy_set_param("prefix", f"{url.params['prefix']}{name}-"))

    with indexing(fresh("ordered"), kind, ids) as (handler, state):
        consumed(handler, queue, messages, random.Random(0))
        expected = state()
    assert {listing is None for _, listing, _ in expected.values()} == {True, False}, "some are gone"
    if kind == "items":
        visible = [listing["room"]["is_visible"] for _, listing, _ in expected.values() if listing and listing["room"]]
        assert set(visible) == {True, False}, "and some in rooms that are hidden"
    for seed in range(part, SHUFFLES, PARTS):
        with ExitStack() as stack:
            handler, state = stack.enter_context(indexing(fresh(str(seed)), kind, ids))
            consumed(handler, queue, shuffled(messages, seed), random.Random(seed))
            assert state() == expected, f"seed {seed}"
