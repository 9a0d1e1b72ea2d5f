"""The composition root of items: the only place that picks adapters."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import cast

from injector import Binder, Injector, inject, singleton

from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.consumer import Consumer
from common.events.container import Container
from common.listings.client import ListingsClient
from common.listings.config import ListingsConfig
from common.listings.ports import Listings, Locator
from common.listings.service import Service
from common.messaging.port import Broker
from common.messaging.topology import ITEMS_ROOMS
from common.observability.metrics import Consumed
from common.process import Worker
from common.security.client import service_auth
from common.security.principal import ADMIN
from common.status import Part, Value
from common.web.app import Module
from common.web.health import Check, Report
from items.adapters.known_rooms import SqlKnownRooms
from items.adapters.rooms_api import HttpRoomsService, RoomsExport
from items.adapters.sql import SqlItems
from items.adapters.tables import TABLES
from items.audit import AuditRooms
from items.config import Config
from items.domain import ITEM
from items.entrypoints.consumer import Follower, LearnRooms
from items.entrypoints.http import SPEC, ItemsController
from items.ports import Items, KeptRooms, KnownRooms, RoomsService
from items.use_cases import FollowRooms, LocateItems


def configure(config: ListingsConfig) -> Module:
    """The bindings that only items have."""
    own = cast(Config, config)

    def bindings(binder: Binder) -> None:
        container = Container(Catalogue.load(), "RoomExported")
        auth = service_auth(own, ADMIN)
        binder.bind(KeptRooms, to=RoomsExport(ListingsClient("rooms", own.rooms_url, container, auth)))
        rooms = HttpRoomsService(own.rooms_url, container, timeout=own.rooms_timeout, calls=own.rooms_calls, auth=auth)
        binder.bind(RoomsService, to=rooms)
        binder.bind(KnownRooms, to=inject(SqlKnownRooms), scope=singleton)
        binder.bind(Items, to=_items, scope=singleton)
        binder.bind(Locator, to=inject(LocateItems), scope=singleton)
        for each in (FollowRooms, LearnRooms, Follower, Consumed, AuditRooms):
            binder.bind(each, to=inject(each), scope=singleton)

    return bindings


@inject
def _items(listings: Listings) -> Items:
    return cast(Items, listings)


def following(injector: Injector) -> Mapping[str, Worker]:
    """What learns of rooms, and has items follow them."""
    consumer = Consumer(
        injector.get(Broker), ITEMS_ROOMS, injector.get(Codec), injector.get(LearnRooms), metrics=injector.get(Consumed)
    )
    return {"consumer": consumer.run, "follower": injector.get(Follower).run}


def parts(injector: Injector) -> Sequence[Part]:
    """What `items status` shows beside what all such services do."""

    def known() -> tuple[Value, ...]:
        return injector.get(KnownRooms).count()

    return [Part("known rooms", ("living", "tombstones", "unsettled"), known)]


def checks(injector: Callable[[], Injector]) -> Sequence[Check]:
    """What its health shows beside the shared parts: how the last question about rooms went. None is asked for it."""
    return [Check("rooms", lambda: Report(problem=injector().get(RoomsService).trouble()), required=False)]


SERVICE = Service(
    kind=ITEM,
    config=Config,
    spec=SPEC,
    controller=ItemsController,
    tables=TABLES,
    migrations=Path(__file__).parent / "adapters" / "migrations",
    configure=configure,
    listings=SqlItems,
    workers={"consumer": following},
    help={"consumer": "learn of rooms by their events, and have items follow them"},
    queue=ITEMS_ROOMS,
    parts=parts,
    checks=checks,
)
