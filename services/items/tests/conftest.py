"""What the tests of items share: rooms to tell of, a rooms service that says what it is told to, and the service's own parts."""

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from injector import Injector
from sqlalchemy import Engine, Row, select
from uuid_utils import uuid7

from common.config import load
from common.db.doorbell import Doorbell
from common.errors import Unavailable
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.listings.fields import Coordinates
from common.listings.use_cases import Import, Imported, Publish, Restore, Revise, Withdraw
from common.security.principal import LOCAL
from common.web.serve import running
from items.adapters.tables import TABLES
from items.bootstrap import SERVICE
from items.config import Config
from items.domain import Item, KnownRoom, Listing, Place
from items.entrypoints.consumer import Follower, LearnRooms
from items.ports import Items, KnownRooms, RoomsService
from items.use_cases import FollowRooms, LocateItems

#: Nothing connects to it.
NO_BROKER = "amqp://guest:guest@127.0.0.1:1/"
#: What a place is made of, save for the version.
SAID = ("name", "coordinates", "city", "is_visible")


@dataclass
class ToldRooms(RoomsService):
    """Says of rooms what it was told, and notes what it was asked."""

    rooms: dict[str, KnownRoom] = field(default_factory=dict)
    asked: list[set[str]] = field(default_factory=list)
    away: bool = False

    def ask(self, ids: Collection[str]) -> Mapping[str, KnownRoom]:
        self.asked.append(set(ids))
        if self.away:
            raise Unavailable("the rooms service", "the test has it so", retry_after=2)
        return {id: self.rooms[id] for id in ids if id in self.rooms}

    def trouble(self) -> str:
        return ""


@dataclass(frozen=True)
class House:
    """The items service's parts on a database, composed as always; only the rooms service is `rooms`."""

    injector: Injector
    rooms: ToldRooms
    codec: Codec = field(default_factory=lambda: Codec(Catalogue.load()))

    @property
    def engine(self) -> Engine:
        return self.injector.get(Engine)

    @property
    def items(self) -> Items:
        return self.injector.get(Items)

    @property
    def known(self) -> KnownRooms:
        return self.injector.get(KnownRooms)

    @property
    def locate(self) -> LocateItems:
        return self.injector.get(LocateItems)

    @property
    def follow(self) -> FollowRooms:
        return self.injector.get(FollowRooms)

    @property
    def follower(self) -> Follower:
        return self.injector.get(Follower)

    @property
    def learn(self) -> LearnRooms:
        return self.injector.get(LearnRooms)

    def publish(self, **given: Any) -> Item:
        return self._item(self.injector.get(Publish)(Listing.parse({"name": "Piano"} | given), LOCAL))

    def publish_many(self, count: int, **given: Any) -> list[str]:
        """Answers the ids."""
        documents = [{"name": f"Piano {number}"} | given for number in range(count)]
        outcomes: list[Imported] = []
        for start in range(0, count, 500):
            outcomes += self.injector.get(Import)(documents[start : start + 500], LOCAL)
        assert {each.outcome for each in outcomes} == {"created"}
        return [each.id for each in outcomes if each.id is not None]

    def revise(self, id: str, **given: Any) -> Item:
        def revision(current: Any) -> Listing:
            return Listing.parse(current.given.document() | given)

        return self._item(self.injector.get(Revise)(id, revision, LOCAL))

    def withdraw(self, id: str) -> None:
        self.injector.get(Withdraw)(id, LOCAL)

    def restore(self, kept: list[Any]) -> list[str]:
        return [each.outcome for each in self.injector.get(Restore)(kept)]

    def settle(self) -> None:
        """Has items follow their rooms until nothing is left to be done."""
        while self.follow():
            pass

    def living(self) -> list[Item]:
        found: list[Item] = []
        after = None
        while page := self.items.list({}, after, 1000):
            found += map(self._item, page)
            after = page[-1].id
        return found

    def told(self) -> list[tuple[str, dict[str, Any]]]:
        """(type, data) of each event that waits, in the order they were written."""
        return [(row.type, self.codec.decode(row.body)[1]) for row in self._waiting()]

    def events(self) -> list[tuple[str, str, int]]:
        """(type, subject, sequence) of each of them."""
        return [(row.type, row.subject, row.sequence) for row in self._waiting()]

    def faults(self) -> list[str]:
        """What is not as it has to be at rest."""
        known = {row.id: row for row in self._known_rooms()}
        wrong = [f"room {id} is unsettled" for id, row in known.items() if row.unsettled is not None]
        last: dict[str, dict[str, Any]] = {}
        for type, data in sorted(self.told(), key=lambda told: told[1].get("version", 0)):
            last[data["id"]] = data | {"type": type}
        living = self.living()
        for item in living:
            event = last[item.id]
            if (event["type"], event["version"]) != ("ItemCreated" if item.version == 1 else "ItemUpdated", item.version):
                wrong.append(f"item {item.id} was told in version {event['version']}, not {item.version}")
            if event["room"] != (None if item.located is None else item.located.document()):
                wrong.append(f"item {item.id} was told to be elsewhere")
            if item.given.room_id is None:
                continue
            place = known[item.given.room_id].place
            if place is None:
                wrong.append(f"item {item.id} is in a room that is gone")
            elif item.located is None or any(item.located.document()[name] != place[name] for name in SAID):
                wrong.append(f"item {item.id} is not where its room is")
        gone = {id for id, event in last.items() if event["type"] == "ItemDeleted"}
        return wrong + [f"item {id} was told and is gone" for id in last.keys() - gone - {item.id for item in living}]

    def _waiting(self) -> list[Row[Any]]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(TABLES.outbox).order_by(TABLES.outbox.c.id)))

    def _known_rooms(self) -> list[Row[Any]]:
        with self.engine.connect() as connection:
            return list(connection.execute(select(TABLES.metadata.tables["known_rooms"])))

    def _item(self, listing: Any) -> Item:
        assert isinstance(listing, Item)
        return listing


@contextmanager
def opened(database_url: str) -> Iterator[House]:
    """A migrated house; what it holds is let go with the block."""
    config = load(Config, {"DATABASE_URL": database_url, "BROKER_URL": NO_BROKER})
    SERVICE.migrate(config)
    rooms = ToldRooms()
    injector = Injector(SERVICE.modules(config, lambda binder: binder.bind(RoomsService, to=rooms)))
    try:
        yield House(injector, rooms)
    finally:
        injector.get(Doorbell).close()
        injector.get(Engine).dispose()


@pytest.fixture
def open_house() -> Iterator[Callable[[str], House]]:
    """`open_house(database_url)`, until the end of the test. Two on one database are as two processes."""
    with ExitStack() as stack:
        yield lambda url: stack.enter_context(opened(url))


@pytest.fixture
def house(database_url: str, open_house: Callable[[str], House]) -> House:
    """Once on SQLite, once on PostgreSQL."""
    return open_house(database_url)


@pytest.fixture(scope="session")
def a_room() -> Callable[..., KnownRoom]:
    """Makes rooms, each with an id of its own; `a_room(of=room, version=2, name=…)` is another version, `place=None` a deleted one."""

    def make(of: KnownRoom | None = None, **said: Any) -> KnownRoom:
        id = said.pop("id", str(uuid7()) if of is None else of.id)
        version = said.pop("version", 1 if of is None else of.version + 1)
        if "place" in said:
            return KnownRoom(id=id, version=version, place=None)
        usual: dict[str, Any] = {
            "name": "Attic",
            "coordinates": Coordinates(lat=52.5, lon=13.4),
            "city": "Berlin",
            "is_visible": True,
        }
        if of is not None and of.place is not None:
            usual = {name: getattr(of.place, name) for name in SAID}
        return KnownRoom(id=id, version=version, place=Place(version=version, **usual | said))

    return make


@dataclass(frozen=True)
class Api:
    """A running items API, and a client of it."""

    client: httpx.Client
    house: House

    def create(self, **given: Any) -> dict[str, Any]:
        answer = self.client.post("/v1.0/items", json={"name": "Piano"} | given)
        assert answer.status_code == 201, answer.text
        item: dict[str, Any] = answer.json()
        return item


@pytest.fixture
def serve_items() -> Iterator[Callable[..., Api]]:
    """`serve_items(database_url, rooms=None, **settings)`: an items API until the end of the test, which asks `rooms` for rooms; where
    that is None it asks over HTTP, as the settings say."""
    with ExitStack() as stack:

        def serve(database_url: str, rooms: RoomsService | None = None, **settings: str) -> Api:
            config = load(Config, {"DATABASE_URL": database_url, "BROKER_URL": NO_BROKER} | settings)
            SERVICE.migrate(config)
            app = SERVICE.http(config, *([] if rooms is None else [lambda binder: binder.bind(RoomsService, to=rooms)]))
            server = stack.enter_context(running(app))
            stack.callback(app.injector.get(Engine).dispose)
            stack.callback(app.injector.get(Doorbell).close)
            client = stack.enter_context(httpx.Client(base_url=server.url, timeout=60))
            return Api(client, House(app.injector, rooms if isinstance(rooms, ToldRooms) else ToldRooms()))

        yield serve


@pytest.fixture
def told_rooms() -> ToldRooms:
    return ToldRooms()


@pytest.fixture
def items_api(database_url: str, serve_items: Callable[..., Api], told_rooms: ToldRooms) -> Api:
    """An items API on a database of its own, once on SQLite and once on PostgreSQL; its rooms service says what `told_rooms` was told."""
    return serve_items(database_url, told_rooms)


@pytest.fixture
def threads() -> Callable[..., list[Any]]:
    """`threads(act, arguments)`: acts with each argument in a thread of its own, all at once; answers what they did, or raises."""

    def run(act: Callable[[Any], Any], arguments: Iterable[Any]) -> list[Any]:
        waiting = list(arguments)
        together = threading.Barrier(len(waiting))

        def begin(argument: Any) -> Any:
            together.wait(20)
            return act(argument)

        with ThreadPoolExecutor(len(waiting)) as pool:
            return list(pool.map(begin, waiting))

    return run
