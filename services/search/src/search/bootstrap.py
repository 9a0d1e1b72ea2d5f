"""The composition root of search: the only place that picks adapters."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from injector import Binder, Injector, inject, singleton

from common.errors import Unavailable, WrongSetting
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.consumer import Consumer
from common.events.container import Container
from common.messaging.connect import connect
from common.messaging.port import Broker
from common.messaging.topology import SEARCH_ROOMS, Queue
from common.web.app import Application, Module, create_app
from common.web.health import Check
from common.web.waiting import Consistency
from search.adapters.backlog import QueueBacklog
from search.adapters.elasticsearch import ElasticsearchIndex
from search.adapters.elasticsearch_generations import ElasticsearchGenerations
from search.adapters.rooms_api import RoomsApi
from search.adapters.rooms_export import RoomsExport
from search.adapters.tantivy_generations import TantivyGenerations
from search.adapters.tantivy_live import TantivyIndex
from search.audit import Audit
from search.config import Config
from search.domain import Market
from search.entrypoints.consumer import IndexRooms
from search.entrypoints.http import SPEC, SearchController
from search.entrypoints.lineage import TraceListing
from search.ports import Clock, Exports, Generations, Index, Origin
from search.rebuild import Rebuild, Tell
from search.use_cases import ApplyChanges, PrepareIndex, ReadDocument, SearchRooms

log = logging.getLogger(__name__)


class SystemClock(Clock):
    def now(self) -> datetime:
        return datetime.now(UTC)


def configure(config: Config) -> Module:
    """The bindings for one configuration. Whatever is opened here connects when it is first used."""

    def bindings(binder: Binder) -> None:
        binder.bind(Index, to=open_index(config))
        binder.bind(Generations, to=open_generations(config))
        binder.bind(Exports, to=RoomsExport(config.rooms_url, Container(Catalogue.load(), "RoomExported")))
        binder.bind(Origin, to=RoomsApi(config.rooms_url))
        binder.bind(Clock, to=SystemClock())
        binder.bind(Market, to=_market(config))
        binder.bind(Broker, to=connect(config.broker_url, "search"))
        binder.bind(Codec, to=Codec(Catalogue.load()))
        for each in (ApplyChanges, SearchRooms, ReadDocument, PrepareIndex, IndexRooms, SearchController, TraceListing):
            binder.bind(each, to=inject(each), scope=singleton)

    return bindings


def open_index(config: Config) -> Index:
    """The index that INDEX_URL names."""
    if config.index_url.startswith("tantivy:"):
        return TantivyIndex(config.index_url)
    return ElasticsearchIndex(config.index_url, config.index_api_key)


def open_generations(config: Config) -> Generations:
    """The generations of the index that INDEX_URL names."""
    if config.index_url.startswith("tantivy:"):
        return TantivyGenerations(config.index_url)
    return ElasticsearchGenerations(config.index_url, config.index_api_key)


def http(config: Config, *overrides: Module) -> Application:
    """The API. `overrides` rebind what a test wants to swap."""
    app = create_app(
        name="search",
        spec=SPEC,
        controller=SearchController,
        modules=[configure(config), *overrides],
        checks=[
            Check("index", lambda: app.injector.get(Index).ping(), required=False),
            Check("broker", lambda: app.injector.get(Broker).ping(), required=False),
        ],
        cors_origins=config.cors_origins,
        consistency=Consistency(
            operations=frozenset({"search", "read"}), versions={"rooms": lambda ids: app.injector.get(Index).versions(ids)}
        ),
    )
    return app


def audit(injector: Injector) -> Audit:
    """Of the live generation."""
    generations = injector.get(Generations)
    live = next(each.number for each in generations.all() if each.live)
    return Audit(generations.open(live), injector.get(Exports))


@contextmanager
def rebuilding(injector: Injector, batch: int, tell: Tell) -> Iterator[Rebuild]:
    """What rebuilds, one at a time among all processes. Raises Held, Unavailable."""
    broker, codec, clock = injector.get(Broker), injector.get(Codec), injector.get(Clock)

    def consumer(queue: Queue, index: Index) -> Consumer:
        return Consumer(broker, queue, codec, IndexRooms(ApplyChanges(index), clock), batch=batch)

    hold = broker.hold("search.rebuild")
    try:
        backlog = QueueBacklog(broker, consumer)
        yield Rebuild(injector.get(Generations), injector.get(Exports), backlog, tell, hold.check)
    finally:
        hold.free()


class Indexer:
    """What brings events into the index, made of an application's parts or of parts of its own."""

    def __init__(self, injector: Injector, batch: int) -> None:
        self._index = injector.get(Index)
        self._consumer = Consumer(injector.get(Broker), SEARCH_ROOMS, injector.get(Codec), injector.get(IndexRooms), batch=batch)

    def run(self, stop: threading.Event) -> None:
        """Consumes until `stop` is set; before that it waits until there is an index to write to."""
        while not stop.is_set():
            try:
                self._index.ensure(writing=True)
            except Unavailable as error:
                log.warning("waiting: %s", error)
                stop.wait(1.0)
            else:
                self._consumer.run(stop)


def _market(config: Config) -> Market:
    code = config.default_currency.upper()
    if not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise WrongSetting("DEFAULT_CURRENCY", f"must be an ISO 4217 code, not {config.default_currency!r}")
    return Market(code)
