"""What a service of listings is composed of, whatever their kind: its bootstrap names the parts, and adds its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import flask
from injector import Binder, Injector, inject, singleton
from sqlalchemy import Engine

from common.db import migrations
from common.db.doorbell import Doorbell, doorbell
from common.db.engine import open_engine, ping
from common.errors import FieldError
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.container import CONTENT_TYPE, Container
from common.events.outbox import Gate, backlog, full, gauges
from common.events.relay import Relay
from common.images.addresses import Allowed
from common.images.connect import open_store
from common.images.fetch import Fetcher
from common.images.serving import PATH, images_page
from common.images.store import Store
from common.images.table import Images, images_gauges, images_part
from common.images.worker import ImageWorker
from common.listings.backup import Restoration
from common.listings.config import ListingsConfig
from common.listings.controller import Controller
from common.listings.domain import IDEMPOTENCY_KEY, Kind
from common.listings.export import ExportFile
from common.listings.housekeeping import Housekeeping
from common.listings.lines import ImportLines
from common.listings.named_images import NamedImages
from common.listings.ports import Clock, KeyReused, Listings, Locator, NoLocator, SystemClock
from common.listings.rows import Tables
from common.listings.showing import Showing
from common.listings.sql import SqlListings
from common.listings.use_cases import Browse, Export, Import, Publish, Read, Restore, Revise, Summarise, Withdraw
from common.messaging.connect import connect
from common.messaging.port import Broker
from common.messaging.topology import TOPOLOGY, Queue, Topology
from common.observability.metrics import FetchedImages, Gauges, ImportedLines, Metrics, Relayed
from common.process import Worker
from common.status import Part, Value, queue_part
from common.web.app import Application, Module, create_app
from common.web.download import download
from common.web.guard import Guard
from common.web.health import Check, Report
from common.web.problems import Problem, errors_as_json
from common.web.served import Served
from common.web.streaming import Limits, Stream, ndjson
from common.web.validation import Schema, component_schema
from common.web.worker import worker_app

#: Makes the workers that a command runs, by their names.
Made = Callable[[Injector], Mapping[str, Worker]]
#: Whatever of these a controller, a stream or a command asks for is made once.
_MADE = (
    *(Publish, Revise, Withdraw, Read, Browse, Summarise, Export, Import, Restore),
    *(ImportLines, ExportFile, Restoration, ImportedLines, Relayed, Housekeeping, NamedImages),
)


def _key_reused(error: KeyReused) -> Problem:
    return Problem("failed", str(error), {"errors": errors_as_json([FieldError("header", IDEMPOTENCY_KEY, str(error))])})


def _nothing() -> None:
    return None


def _no_bindings(_config: ListingsConfig) -> Module:
    return lambda _binder: None


@dataclass(frozen=True, kw_only=True)
class Service:
    """A service of listings. `configure` gives the bindings that are its own; they override the shared ones."""

    kind: Kind
    config: type[ListingsConfig]
    spec: Path
    controller: type[Controller]
    tables: Tables
    migrations: Path
    configure: Callable[[ListingsConfig], Module] = _no_bindings
    listings: type[SqlListings] = SqlListings
    warm_up: Callable[[], None] = _nothing  # what the first request would otherwise wait for
    workers: Mapping[str, Made] = field(default_factory=dict)  # by their command
    help: Mapping[str, str] = field(default_factory=dict)  # what these commands do, likewise
    queue: Queue | None = None  # what it listens to, if it does
    parts: Callable[[Injector], Sequence[Part]] = lambda _: ()  # of its status, beside the shared ones
    checks: Callable[[Callable[[], Injector]], Sequence[Check]] = lambda _: ()  # of its health, likewise

    @property
    def name(self) -> str:
        return self.kind.plural

    def modules(self, config: ListingsConfig, *overrides: Module) -> list[Module]:
        """All bindings for one configuration. Whatever is opened here connects when it is first used."""
        return [lambda binder: _bind(self, config, binder), self.configure(config), *overrides]

    def container(self) -> Container:
        """How exports are written and read."""
        return Container(Catalogue.load(), self.kind.event("Exported"))

    def http(self, config: ListingsConfig, *overrides: Module, views: Callable[[flask.Flask], None] | None = None) -> Application:
        """The API. `overrides` rebind what a test wants to swap."""
        limits = Limits(line=config.body_limit, batch_bytes=4 * config.body_limit)
        path, name = f"/{self.kind.plural}", f"{self.kind.plural}.avro"
        app = create_app(
            name=self.name,
            spec=self.spec,
            controller=self.controller,
            modules=self.modules(config, *overrides),
            checks=self._checks(config, lambda: app.injector),
            gauges=self._gauges(lambda: app.injector),
            streams=[
                Stream("POST", f"{path}/import", lambda injector: ndjson(injector.get(ImportLines), limits=limits)),
                Stream(
                    "GET",
                    f"{path}/export",
                    lambda injector: download(injector.get(ExportFile), content_type=CONTENT_TYPE, filename=name),
                ),
            ],
            body_limit=config.body_limit,
            cors_origins=config.cors_origins,
            guard=Guard.of(config),
            views=views,
            pages={PATH: lambda injector: images_page(injector.get(Images), injector.get(Store))},
            location=self.kind.location,
            problems={KeyReused: _key_reused},
        )
        return app

    def worker_pages(self, config: ListingsConfig, injector: Injector) -> Served:
        """What a process without an API shows of itself."""
        checks = self._checks(config, lambda: injector)
        return worker_app(self.name, injector.get(Metrics), checks=checks, gauges=self._gauges(lambda: injector))

    def _gauges(self, injector: Callable[[], Injector]) -> list[Gauges]:
        return [
            lambda: gauges(injector().get(Engine), self.tables.outbox),
            lambda: images_gauges(injector().get(Images)),
        ]

    def _checks(self, config: ListingsConfig, injector: Callable[[], Injector]) -> list[Check]:
        def waiting() -> Report:
            found = backlog(injector().get(Engine), self.tables.outbox)
            problem = str(full(found.pending, config.outbox_max)) if found.pending >= config.outbox_max else ""
            return Report({"pending": found.pending, "oldest_seconds": found.age}, problem)

        return [
            Check("database", lambda: ping(injector().get(Engine))),
            Check("broker", lambda: injector().get(Broker).ping(), required=False),
            Check("outbox", waiting, required=False),
            Check("images", lambda: injector().get(Store).ping(), required=False),
            *self.checks(injector),
        ]

    def running(self, injector: Injector, *commands: str) -> dict[str, Worker]:
        """The workers that these commands run; without any, all of them."""
        made = self.all_workers
        return dict(chain.from_iterable(made[command](injector).items() for command in commands or made))

    @property
    def all_workers(self) -> Mapping[str, Made]:
        """By the command that runs them, the service's own last."""
        return {
            "relay": lambda injector: {"relay": self.relay(injector).run, "housekeeping": injector.get(Housekeeping).run},
            "images": lambda injector: {"images": injector.get(ImageWorker).run, "named images": injector.get(NamedImages).run},
            **self.workers,
        }

    def relay(self, injector: Injector) -> Relay:
        """What publishes the outbox, made of an application's parts or of parts of its own."""
        return Relay(
            engine=injector.get(Engine),
            outbox=self.tables.outbox,
            doorbell=injector.get(Doorbell),
            broker=injector.get(Broker),
            topology=injector.get(Topology).publishing(self.name),
            absent=[queue for queue in TOPOLOGY.queues if queue not in injector.get(Topology).queues],
            exchange=self.name,
            codec=injector.get(Codec),
            metrics=injector.get(Relayed),
        )

    @contextmanager
    def status(self, config: ListingsConfig) -> Iterator[list[Part]]:
        """What the command `status` shows: the outbox, the listings, and the queue of everyone who subscribes to them."""
        injector = Injector(self.modules(config))
        engine, broker = injector.get(Engine), injector.get(Broker)

        def waiting() -> tuple[Value, ...]:
            found = backlog(engine, self.tables.outbox)
            return found.pending, found.age

        def whole() -> tuple[Value, ...]:
            found = injector.get(Summarise)()
            return found.living, found.tombstones, found.versions

        subscribers = [
            queue for queue in injector.get(Topology).queues if any(exchange == self.name for exchange, _ in queue.bindings)
        ]
        try:
            yield [
                Part("outbox", ("rows", "oldest_seconds"), waiting),
                Part(self.name, ("living", "tombstones", "versions"), whole),
                *(queue_part(broker, queue) for queue in subscribers),
                images_part(injector.get(Images)),
                *self.parts(injector),
            ]
        finally:
            broker.close()
            engine.dispose()

    def migrate(self, config: ListingsConfig) -> tuple[str | None, str | None]:
        """Brings the database to the newest schema; answers the revisions (before, after)."""
        engine = open_engine(config.database_url)
        try:
            return migrations.migrate(engine, self.migrations)
        finally:
            engine.dispose()


def _bind(service: Service, config: ListingsConfig, binder: Binder) -> None:
    engine = open_engine(config.database_url)
    bell, codec, shown = doorbell(engine), Codec(Catalogue.load()), Showing(config.images_url)
    gate = Gate(engine, service.tables.outbox, config.outbox_max)
    binder.bind(Kind, to=service.kind)
    binder.bind(Metrics, to=Metrics(service.name, config.metrics_dir))
    binder.bind(Engine, to=engine)
    binder.bind(Doorbell, to=bell)
    binder.bind(Codec, to=codec)
    binder.bind(Container, to=service.container())
    binder.bind(Topology, to=TOPOLOGY.heard_by(config.subscribers))
    binder.bind(Broker, to=connect(config.broker_url, service.name))
    binder.bind(Showing, to=shown)
    binder.bind(Listings, to=service.listings(service.kind, service.tables, engine, codec, gate, bell, shown))
    binder.bind(Locator, to=NoLocator())
    binder.bind(Clock, to=SystemClock())
    images = Images(engine, service.tables.images, config.images_lease)
    store = open_store(config.images_store, config.images_access_key, config.images_secret_key)
    binder.bind(Images, to=images)
    binder.bind(Store, to=store)

    def image_worker() -> ImageWorker:
        fetcher = Fetcher(Allowed(config.images_allow))
        counted = FetchedImages(binder.injector.get(Metrics))
        return ImageWorker(images, store, doorbell(engine), fetcher, config.images_workers, metrics=counted)

    binder.bind(ImageWorker, to=image_worker, scope=singleton)
    binder.bind(Schema, to=component_schema(service.spec, "Listing"))
    for each in (*_MADE, service.controller):
        binder.bind(each, to=inject(each), scope=singleton)
