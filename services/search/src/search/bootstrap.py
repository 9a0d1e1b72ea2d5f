"""The composition root of search: the only place that picks adapters."""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial

from injector import Binder, Injector, inject, singleton

from common.errors import Unavailable, WrongSetting
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.consumer import Consumer
from common.events.container import Container
from common.listings.audit import Audit
from common.listings.client import ListingsClient
from common.messaging.connect import connect
from common.messaging.port import Broker
from common.messaging.topology import SEARCH_ITEMS, SEARCH_ROOMS, Queue
from common.observability.logs import Trouble
from common.observability.metrics import BulkItems, Consumed, Metrics, Reading
from common.security.client import service_auth
from common.security.principal import ADMIN
from common.status import Part, Value, queue_part
from common.web.app import Application, Module, create_app
from common.web.guard import Guard
from common.web.health import Check
from common.web.served import Served
from common.web.waiting import Consistency
from common.web.worker import worker_app
from search.adapters.backlog import QueueBacklog
from search.adapters.elasticsearch import ElasticsearchIndex
from search.adapters.elasticsearch_generations import ElasticsearchGenerations
from search.adapters.listings_api import ListingsApi
from search.adapters.tantivy_generations import TantivyGenerations
from search.adapters.tantivy_live import TantivyIndex
from search.audit import audit
from search.config import Config
from search.domain import Freshness, Market
from search.entrypoints.consumer import IndexListings
from search.entrypoints.http import SPEC, SearchController
from search.entrypoints.lineage import TraceListing
from search.kinds import KINDS, Kind
from search.ports import Clock, Corpora, Corpus, Generations, Index
from search.rebuild import Rebuild, Tell
from search.use_cases import ApplyChanges, PrepareIndices, ReadDocument, SearchListings

log = logging.getLogger(__name__)

#: What feeds the index of each kind.
_QUEUES = {"rooms": SEARCH_ROOMS, "items": SEARCH_ITEMS}


class SystemClock(Clock):
    def now(self) -> datetime:
        return datetime.now(UTC)


def configure(config: Config) -> Module:
    """The bindings for one configuration. Whatever is opened here connects when it is first used."""

    def bindings(binder: Binder) -> None:
        metrics, catalogue = Metrics("search", config.metrics_dir), Catalogue.load()
        binder.bind(Metrics, to=metrics)
        binder.bind(Corpora, to=Corpora({name: _corpus(config, kind, metrics, catalogue) for name, kind in KINDS.items()}))
        binder.bind(Clock, to=SystemClock())
        binder.bind(Market, to=_market(config))
        binder.bind(Broker, to=connect(config.broker_url, "search"))
        binder.bind(Codec, to=Codec(catalogue))
        for each in (SearchListings, ReadDocument, PrepareIndices, TraceListing, SearchController, Consumed):
            binder.bind(each, to=inject(each), scope=singleton)

    return bindings


def _corpus(config: Config, kind: Kind, metrics: Metrics, catalogue: Catalogue) -> Corpus:
    url: str = getattr(config, f"{kind}_url")
    container = Container(catalogue, f"{kind.singular.capitalize()}Exported")
    api = ListingsApi(kind, ListingsClient(kind.name, url, container, service_auth(config, ADMIN)))
    return Corpus(
        kind=kind,
        index=open_index(config, kind, BulkItems(metrics, kind.name)),
        generations=open_generations(config, kind),
        exports=api,
        origin=api,
        queue=_QUEUES[kind.name],
    )


def open_index(config: Config, kind: Kind, items: BulkItems) -> Index:
    """The index of this kind where INDEX_URL says; it counts what it is given."""
    if config.index_url.startswith("tantivy:"):
        return TantivyIndex(config.index_url, kind, items)
    return ElasticsearchIndex(config.index_url, kind, config.index_api_key, items)


def open_generations(config: Config, kind: Kind) -> Generations:
    """The generations of that index."""
    if config.index_url.startswith("tantivy:"):
        return TantivyGenerations(config.index_url, kind)
    return ElasticsearchGenerations(config.index_url, kind, config.index_api_key)


def http(config: Config, *overrides: Module) -> Application:
    """The API. `overrides` rebind what a test wants to swap."""
    app: Application = create_app(
        name="search",
        spec=SPEC,
        controller=SearchController,
        modules=[configure(config), *overrides],
        checks=_checks(lambda: app.injector),
        gauges=[lambda: _gauges(app.injector)],
        cors_origins=config.cors_origins,
        guard=Guard.of(config),
        consistency=Consistency(
            operations=frozenset({"search_rooms", "read_room", "search_items", "read_item"}),
            versions={name: partial(_versions, lambda: app.injector, name) for name in KINDS},
        ),
    )
    return app


def consumer_pages(injector: Injector) -> Served:
    """What a consumer without an API shows of itself."""
    checks, gauges = _checks(lambda: injector), [lambda: _gauges(injector)]
    return worker_app("search", injector.get(Metrics), checks=checks, gauges=gauges)


def _checks(injector: Callable[[], Injector]) -> list[Check]:
    return [
        Check("index", lambda: _ping(injector().get(Corpora)), required=False),
        Check("broker", lambda: injector().get(Broker).ping(), required=False),
    ]


def _versions(injector: Callable[[], Injector], kind: str, ids: Sequence[str]) -> Mapping[str, int]:
    return injector().get(Corpora)[kind].index.versions(ids)


def _ping(corpora: Corpora) -> None:
    for corpus in corpora.values():
        corpus.index.ping()


def _gauges(injector: Injector) -> list[Reading]:
    """None of an index for which no heartbeat has come yet: nobody can say how old it is."""
    help, now = "How long ago all that had been published is known to be in the index", injector.get(Clock).now()
    ages = {name: Freshness.at(each.index.progress(), now).as_of for name, each in injector.get(Corpora).items()}
    return [
        Reading("index_lag_seconds", help, (now - as_of).total_seconds(), {"index": name})
        for name, as_of in ages.items()
        if as_of is not None
    ]


@contextmanager
def status(config: Config) -> Iterator[list[Part]]:
    """What `search status` shows of each kind: the index, how fresh it is, the queue that feeds it, and what it lacks of the database."""
    injector = Injector([configure(config)])
    broker, clock, corpora = injector.get(Broker), injector.get(Clock), injector.get(Corpora)
    try:
        yield [part for corpus in corpora.values() for part in _parts(corpus, broker, clock)]
    finally:
        broker.close()
        corpora.close()


def _parts(corpus: Corpus, broker: Broker, clock: Clock) -> list[Part]:
    def contents() -> tuple[Value, ...]:
        found = corpus.index.contents()
        return found.living, found.hidden, found.tombstones, found.versions

    def freshness() -> tuple[Value, ...]:
        found = Freshness.at(corpus.index.progress(), clock.now())
        return None if found.as_of is None else found.as_of.isoformat(), found.lag_seconds, found.stale

    def behind() -> tuple[Value, ...]:
        has = corpus.index.contents().versions  # first: what is written between the two looks is missing, not too much
        return (corpus.origin.versions() - has,)

    kind = corpus.kind.name
    return [
        Part(f"{kind} index", (kind, "hidden", "tombstones", "versions"), contents),
        Part(f"{kind} freshness", ("as_of", "lag_seconds", "stale"), freshness),
        queue_part(broker, corpus.queue),
        Part(f"{kind} database", ("versions_behind",), behind),
    ]


def live(corpus: Corpus) -> int:
    """The number of the live generation."""
    return next(each.number for each in corpus.generations.all() if each.live)


def auditing(corpus: Corpus, generation: int) -> Audit:
    return audit(corpus.generations.open(generation), corpus.exports)


@contextmanager
def rebuilding(injector: Injector, kind: Kind, batch: int, tell: Tell) -> Iterator[Rebuild]:
    """What rebuilds the index of this kind, one rebuild at a time among all processes. Raises Held, Unavailable."""
    broker, codec, clock = injector.get(Broker), injector.get(Codec), injector.get(Clock)
    corpus = injector.get(Corpora)[kind.name]

    def consumer(queue: Queue, index: Index) -> Consumer:
        return Consumer(broker, queue, codec, IndexListings(kind, ApplyChanges(index), clock), batch=batch)

    hold = broker.hold("search.rebuild")
    try:
        backlog = QueueBacklog(broker, corpus.queue, consumer)
        yield Rebuild(kind, corpus.generations, corpus.exports, backlog, tell, hold.check)
    finally:
        hold.free()


class Indexer:
    """What brings events into the index of a kind, made of an application's parts or of parts of its own."""

    def __init__(self, injector: Injector, kind: str, batch: int) -> None:
        corpus = injector.get(Corpora)[kind]
        self._index = corpus.index
        self._consumer = Consumer(
            injector.get(Broker),
            corpus.queue,
            injector.get(Codec),
            IndexListings(corpus.kind, ApplyChanges(corpus.index), injector.get(Clock)),
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
