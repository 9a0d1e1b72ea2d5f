"""The command line of a service of listings: `api | relay | images | all | migrate | status | import FILE | export FILE | events tail`."""

import argparse
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from injector import Injector
from sqlalchemy import Engine

from common import failpoints
from common.commands import Command, Group
from common.commands import main as run_command
from common.config import load, without_password
from common.db.doorbell import Doorbell
from common.db.migrations import pending
from common.errors import Unavailable, WrongSetting
from common.events.codec import Codec
from common.events.dead_commands import dead_commands
from common.events.tail import tail_command
from common.listings.backup import Restoration, export_file, is_export
from common.listings.config import ListingsConfig
from common.listings.import_file import PATIENCE, import_file
from common.listings.service import Service
from common.messaging.port import Broker
from common.messaging.topology import check_subscribers
from common.observability import configure_logging, wants_json
from common.process import end_when_told, run
from common.security.client import service_auth
from common.security.principal import ADMIN
from common.status import status_command
from common.supervisor import end_with_parent, passed_on, supervise
from common.web.serve import bound, serve

log = logging.getLogger(__name__)


def command_line(service: Service, description: str, own: Mapping[str, Command] | None = None) -> Callable[..., int]:
    """The `main` of such a service, with commands of its `own`: exit status 2 and one line for a wrong setting."""

    def main(argv: Sequence[str] | None = None) -> int:
        return run_command(service.name, description, {**listing_commands(service), **(own or {})}, argv)

    return main


def listing_commands(service: Service) -> dict[str, Command | Group]:
    """The commands that all such services have, and one for each of its own workers."""
    line = _CommandLine(service)
    name = service.name
    dead = {} if service.queue is None else {"dead": dead_commands([service.queue], line.broker)}
    return {
        "api": Command("serve the REST API", lambda arguments: line.api(arguments.fd), passed_on),
        "relay": Command("publish the outbox", line.worker("relay")),
        "images": Command(f"fetch the images that {name} name", line.worker("images")),
        **{each: Command(service.help.get(each, f"run the {each}"), line.worker(each)) for each in service.workers},
        "all": Command(
            "serve the API and publish the outbox, with all other workers, in one process",
            lambda _: line.run(api=True, workers=list(service.all_workers)),
        ),
        "migrate": Command("bring the database to the newest schema", lambda _: line.migrate()),
        "status": status_command(
            name, f"show how many {name} there are, what waits, and what died", lambda: service.status(line.config())
        ),
        "events": Group(f"what happens to {name}, as it happens", {"tail": tail_command(name, line.broker)}),
        "import": Command(
            f"send a file of {name} (NDJSON) to the API, or restore an export", line.import_, _import_arguments(service)
        ),
        "export": Command("fetch all that is kept from the API, as an Avro file", line.export, _export_arguments(service)),
        **dead,
    }


@dataclass(frozen=True)
class _CommandLine:
    """The commands' bodies; each answers its exit status."""

    service: Service

    def config(self) -> ListingsConfig:
        return load(self.service.config, os.environ)

    def api(self, fd: int | None) -> int | None:
        config, name = self.config(), self.service.name
        if fd is None and config.workers > 1:
            configure_logging(name, config.log_level, json=wants_json(config.log_format))
            end_when_told()
            listener = bound(config.host, config.port, f"{name.upper()}_PORT")
            return supervise((name, "api"), listener, config.workers, os.environ)
        self.run(api=True, workers=[], fd=fd)
        return None

    def worker(self, name: str) -> Callable[[argparse.Namespace], None]:
        return lambda _: self.run(api=False, workers=[name])

    def run(self, *, api: bool, workers: list[str], fd: int | None = None) -> None:
        config, service, setting = self.config(), self.service, self.service.name.upper()
        configure_logging(service.name, config.log_level, json=wants_json(config.log_format))
        failpoints.arm(config.failpoints)
        end_when_told()
        if fd is not None:
            end_with_parent()
        if service.queue is not None and not service.workers.keys().isdisjoint(workers):
            check_subscribers(config.subscribers, running=service.name)
        app = service.http(config) if api else None
        injector = app.injector if app is not None else Injector(service.modules(config))
        _require_migrated(self.service, injector.get(Engine))
        if app is not None:
            service.warm_up()
        running = service.running(injector, *workers) if workers else {}  # without names it would be all
        server = None
        if app is not None:
            server = serve(app, config.host, config.port, setting=f"{setting}_PORT", fd=fd)
        elif config.metrics_port:
            pages = service.worker_pages(config, injector)
            server = serve(pages, config.host, config.metrics_port, setting=f"{setting}_METRICS_PORT")
        database, broker = without_password(config.database_url), without_password(config.broker_url)
        if server is not None:
            log.info("listening on %s; database %s, broker %s", server.url, database, broker)
        if workers:
            log.info("%s between %s and %s", ", ".join(workers), database, broker)
        run(running, server)

    def migrate(self) -> None:
        before, after = self.service.migrate(self.config())
        since = "" if before == after else f", was at {before or 'nothing'}"
        print(f"{self.service.name}: the database is at {after}{since}")  # noqa: T201 (a command line speaks)

    def broker(self) -> tuple[Broker, Codec]:
        configure_logging(self.service.name, "WARNING", json=False)
        injector = Injector(self.service.modules(self.config()))
        return injector.get(Broker), injector.get(Codec)

    def import_(self, arguments: argparse.Namespace) -> int:
        config = self.config()
        if not is_export(arguments.file):
            if arguments.file.endswith(".avro"):
                raise WrongSetting(arguments.file, "is no whole export: it does not start like an Avro container file")
            url = arguments.url or _url(config)
            auth = service_auth(config, f"{self.service.name}:write")
            return import_file(arguments.file, self.service.kind, url, auth, arguments.patience)
        if arguments.url:
            raise WrongSetting("--url", "an export is restored in the database itself, which DATABASE_URL names")
        with opened(self.service, config) as injector:
            return injector.get(Restoration)(arguments.file, arguments.patience)

    def export(self, arguments: argparse.Namespace) -> None:
        config, service = self.config(), self.service
        auth = service_auth(config, ADMIN)
        export_file(arguments.file, service.kind, arguments.url or _url(config), service.container(), auth)


@contextmanager
def opened(service: Service, config: ListingsConfig) -> Iterator[Injector]:
    """The parts of a service, for a command that works on its database. Raises WrongSetting where that is not migrated."""
    injector = Injector(service.modules(config))
    try:
        _require_migrated(service, injector.get(Engine))
        yield injector
    finally:
        injector.get(Doorbell).close()
        injector.get(Engine).dispose()


def _require_migrated(service: Service, engine: Engine) -> None:
    try:
        behind = pending(engine, service.migrations)
    except Unavailable:
        return  # it will come; until then the health check says so
    if behind:
        raise WrongSetting("DATABASE_URL", f"the database has an older schema, or none; run `{service.name} migrate`")


def _import_arguments(service: Service) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "file",
            help="one JSON listing per line, or an export, which is restored in DATABASE_URL itself; - reads standard input",
        )
        _url_argument(parser, service)
        parser.add_argument(
            "--patience",
            type=float,
            default=PATIENCE,
            metavar="SECONDS",
            help="how long an API that is away is tried again; by default %(default)g",
        )

    return add


def _export_arguments(service: Service) -> Callable[[argparse.ArgumentParser], None]:
    def add(parser: argparse.ArgumentParser) -> None:
        parser.add_argument("file", nargs="?", default="-", help="where it is written; standard output by default")
        _url_argument(parser, service)

    return add


def _url_argument(parser: argparse.ArgumentParser, service: Service) -> None:
    name = service.name.upper()
    parser.add_argument("--url", help=f"the API's address; by default {name}_HOST and {name}_PORT")


def _url(config: ListingsConfig) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{config.port}"
