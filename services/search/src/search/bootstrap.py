"""The composition root of search: the only place that picks adapters."""

import logging
import threading
from collections.abc import Callable, Iterator
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
from common.observability.logs import Trouble
from common.observability.metrics import BulkItems, Consumed, Metrics, Reading
from common.status import Part, Value, queue_part
from common.web.app import Application, Module, create_app
from common.web.health import Check
from common.web.served import Served
from common.web.waiting import Consistency
from common.web.worker import worker_app
from search.adapters.backlog import QueueBacklog
from search.adapters.elasticsearch import ElasticsearchIndex
from search.adapters.elasticsearch_generations import ElasticsearchGenerations
from search.adapters.rooms_api import RoomsApi
from search.adapters.tantivy_generations import TantivyGenerations
from search.adapters.tantivy_live import TantivyIndex
from search.audit import Audit
from search.config import Config
from search.domain import Freshness, Market
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
        metrics, catalogue = Metrics("search", config.metrics_dir), Catalogue.load()
        binder.bind(Metrics, to=metrics)
        binder.bind(Index, to=open_index(config, BulkItems(metrics)))
        binder.bind(Generations, to=open_generations(config))
        rooms = RoomsApi(config.rooms_url, Container(catalogue, "RoomExported"))
        binder.bind(Exports, to=rooms)
        binder.bind(Origin, to=rooms)
        binder.bind(Clock, to=SystemClock())
        binder.bind(Market, to=_market(config))
        binder.bind(Broker, to=connect(config.broker_url, "search"))
        binder.bind(Codec, to=Codec(catalogue))
        verbs = (ApplyChanges, SearchRooms, ReadDocument, PrepareIndex, TraceListing)
        for each in (*verbs, IndexRooms, SearchController, Consumed):
            binder.bind(each, to=inject(each), scope=singleton)

    return bindings


def open_index(config: Config, items: BulkItems) -> Index:
    """The index that INDEX_URL names; it counts what it is given."""
    if config.index_url.startswith("tantivy:"):
        return TantivyIndex(config.index_url, items)
    return ElasticsearchIndex(config.index_url, config.index_api_key, items)


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
        checks=_checks(lambda: app.injector),
        gauges=[lambda: _gauges(app.injector)],
        cors_origins=config.cors_origins,
        consistency=Consistency(
            operations=frozenset({"search", "read"}), versions={"rooms": lambda ids: app.injector.get(Index).versions(ids)}
        ),
    )
    return app


def consumer_pages(injector: Injector) -> Served:
    """What a consumer without an API shows of itself."""
    checks, gauges = _checks(lambda: injector), [lambda: _gauges(injector)]
    return worker_app("search", injector.get(Metrics), checks=checks, gauges=gauges)


def _checks(injector: Callable[[], Injector]) -> list[Check]:
    return [
        Check("index", lambda: injector().get(Index).ping(), required=False),
        Check("broker", lambda: injector().get(Broker).ping(), required=False),
    ]


def _gauges(injector: Injector) -> list[Reading]:
    """Nothing where no heartbeat has come yet: nobody can say how old the index is."""
    as_of = Freshness.at(injector.get(Index).progress(), now := injector.get(Clock).now()).as_of
    help = "How long ago all that had been published is known to be in the index"
    return [] if as_of is None else [Reading("index_lag_seconds", help, (now - as_of).total_seconds())]


@contextmanager
def status(config: Config) -> Iterator[list[Part]]:
    """What `search status` shows: the index, how fresh it is, the queue that feeds it, and what it lacks of the database."""
    injector = Injector([configure(config)])
    index, broker, clock, origin = injector.get(Index), injector.get(Broker), injector.get(Clock), injector.get(Origin)

    def contents() -> tuple[Value, ...]:
        found = index.contents()
        return found.rooms, found.hidden, found.tombstones, found.versions

    def freshness() -> tuple[Value, ...]:
        found = Freshness.at(index.progress(), clock.now())
        return None if found.as_of is None else found.as_of.isoformat(), found.lag_seconds, found.stale

    def behind() -> tuple[Value, ...]:
        has = index.contents().versions  # first: what is written between the two looks is missing, not too much
        return (origin.versions() - has,)

    try:
        yield [
            Part("index", ("rooms", "hidden", "tombstones", "versions"), contents),
            Part("freshness", ("as_of", "lag_seconds", "stale"), freshness),
            queue_part(broker, SEARCH_ROOMS),
            Part("database", ("versions_behind",), behind),
        ]
    finally:
        broker.close()
        index.close()


def live(injector: Injector) -> int:
    """The number of the live generation."""
    return next(each.number for each in injector.get(Generations).all() if each.live)


def audit(injector: Injector, generation: int) -> Audit:
    return Audit(injector.get(Generations).open(generation), injector.get(Exports))


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
        self._consumer = Consumer(
            injector.get(Broker),
            SEARCH_ROOMS,
            injector.get(Codec),
            injector.get(IndexRooms),
            batch=batch,
            metrics=injector.get(Consumed),
        )

    def run(self, stop: threading.Event) -> None:
        """Consumes until `stop` is set; before that it waits until there is an index to write to."""
        trouble = Trouble(log)
        while not stop.is_set():
            try:
                self._index.ensure(writing=True)
            except Unavailable as error:
                trouble.warn(f"waiting: {error}")
                stop.wait(1.0)
            else:
                self._consumer.run(stop)


def _market(config: Config) -> Market:
    code = config.default_currency.upper()
    if not (len(code) == 3 and code.isascii() and code.isalpha()):
        raise WrongSetting("DEFAULT_CURRENCY", f"must be an ISO 4217 code, not {config.default_currency!r}")
    return Market(code)
