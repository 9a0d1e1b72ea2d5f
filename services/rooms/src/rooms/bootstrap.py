"""The composition root of rooms: the only place that picks adapters."""

from pathlib import Path

from injector import Binder, inject, singleton

from common.listings.config import ListingsConfig
from common.listings.ports import Locator
from common.listings.service import Service
from common.web.app import Module
from rooms.adapters.places import OfflineAreas
from rooms.adapters.tables import TABLES
from rooms.config import Config
from rooms.domain import ROOM
from rooms.entrypoints.http import SPEC, RoomsController
from rooms.ports import Areas
from rooms.use_cases import LocateRooms


def configure(_config: ListingsConfig) -> Module:
    """The bindings that only rooms have."""

    def bindings(binder: Binder) -> None:
        binder.bind(Areas, to=OfflineAreas())
        binder.bind(Locator, to=inject(LocateRooms), scope=singleton)

    return bindings


SERVICE = Service(
    kind=ROOM,
    config=Config,
    spec=SPEC,
    controller=RoomsController,
    tables=TABLES,
    migrations=Path(__file__).parent / "adapters" / "migrations",
    configure=configure,
    warm_up=OfflineAreas().load,
)
