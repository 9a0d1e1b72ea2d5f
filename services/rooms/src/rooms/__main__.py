"""The command line: `rooms api | relay | all | migrate | status | import FILE | export FILE | events tail`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from injector import Injector
from sqlalchemy import Engine

from common import failpoints
from common.commands import Command, Group
from common.commands import main as run_command
from common.config import load, without_password
from common.db.doorbell import Doorbell
from common.errors import Unavailable, WrongSetting
from common.events.catalogue import Catalogue
from common.events.codec import Codec
from common.events.tail import tail_command
from common.messaging.port import Broker
from common.messaging.topology import ROOMS
from common.observability import configure_logging, wants_json
from common.process import end_when_told, run
from common.status import status_command
from common.supervisor import end_with_parent, passed_on, supervise
from common.web.serve import bound, serve
from rooms import bootstrap
from rooms.config import Config
from rooms.entrypoints.backup import Restoration, export_file, is_export
from rooms.entrypoints.cli import PATIENCE, import_file

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 2 and one line for a wrong setting."""
    commands: dict[str, Command | Group] = {
        "api": Command("serve the REST API", lambda arguments: _api(arguments.fd), passed_on),
        "relay": Command("publish the outbox", lambda _: _run(api=False, relay=True)),
        "all": Command("serve the API and publish the outbox, in one process", lambda _: _run(api=True, relay=True)),
        "migrate": Command("bring the database to the newest schema", lambda _: _migrate()),
        "status": status_command("rooms", lambda: bootstrap.status(load(Config, os.environ))),
        "events": Group("what happens to rooms, as it happens", {"tail": tail_command(ROOMS, _broker)}),
        "import": Command("send a file of listings (NDJSON) to the API, or restore an export", _import, _import_arguments),
        "export": Command("fetch all that is kept from the API, as an Avro file", _export, _export_arguments),
    }
    return run_command("rooms", "Room listings.", commands, argv)


def _api(fd: int | None) -> int | None:
    config = load(Config, os.environ)
    if fd is None and config.workers > 1:
        configure_logging("rooms", config.log_level, json=wants_json(config.log_format))
        end_when_told()
        return supervise(("rooms", "api"), bound(config.host, config.port, "ROOMS_PORT"), config.workers, os.environ)
    _run(api=True, relay=False, fd=fd)
    return None


def _run(*, api: bool, relay: bool, fd: int | None = None) -> None:
    config = load(Config, os.environ)
    configure_logging("rooms", config.log_level, json=wants_json(config.log_format))
    failpoints.arm(config.failpoints)
    end_when_told()
    if fd is not None:
        end_with_parent()
    app = bootstrap.http(config) if api else None
    injector = app.injector if app is not None else Injector([bootstrap.configure(config)])
    _require_migrated(injector.get(Engine))
    if app is not None:
        bootstrap.warm_up()
    workers = {"relay": bootstrap.relay(injector).run} if relay else {}
    server = None
    if app is not None:
        server = serve(app, config.host, config.port, setting="ROOMS_PORT", fd=fd)
    elif config.metrics_port:
        pages = bootstrap.relay_pages(config, injector)
        server = serve(pages, config.host, config.metrics_port, setting="ROOMS_METRICS_PORT")
    broker = without_password(config.broker_url)
    if server is not None:
        log.info("listening on %s; database %s, broker %s", server.url, without_password(config.database_url), broker)
    if relay:
        log.info("relaying from %s to %s", without_password(config.database_url), broker)
    run(workers, server)


def _require_migrated(engine: Engine) -> None:
    try:
        behind = bootstrap.pending(engine)
    except Unavailable:
        return  # it will come; until then the health check says so
    if behind:
        raise WrongSetting("DATABASE_URL", "the database has an older schema, or none; run `rooms migrate`")


def _migrate() -> None:
    before, after = bootstrap.migrate(load(Config, os.environ))
    print(f"rooms: the database is at {after}" + ("" if before == after else f", was at {before or 'nothing'}"))


def _broker() -> tuple[Broker, Codec]:
    config = load(Config, os.environ)
    configure_logging("rooms", "WARNING", json=False)
    injector = Injector([bootstrap.configure(config)])
    return injector.get(Broker), injector.get(Codec)


def _import_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "file",
        help="one JSON listing per line, or an export, which is restored in DATABASE_URL itself; - reads standard input",
    )
    parser.add_argument("--url", help="the API's address; by default ROOMS_HOST and ROOMS_PORT")
    parser.add_argument(
        "--patience",
        type=float,
        default=PATIENCE,
        metavar="SECONDS",
        help="how long an API that is away is tried again; %(default)s",
    )


def _import(arguments: argparse.Namespace) -> int:
    config = load(Config, os.environ)
    if not is_export(arguments.file):
        if arguments.file.endswith(".avro"):
            raise WrongSetting(arguments.file, "is no whole export: it does not start like an Avro container file")
        return import_file(arguments.file, arguments.url or _url(config), arguments.patience)
    if arguments.url:
        raise WrongSetting("--url", "an export is restored in the database itself, which DATABASE_URL names")
    injector = Injector([bootstrap.configure(config)])
    try:
        _require_migrated(injector.get(Engine))
        return injector.get(Restoration)(arguments.file, arguments.patience)
    finally:
        injector.get(Doorbell).close()
        injector.get(Engine).dispose()


def _export_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", nargs="?", default="-", help="where it is written; standard output by default")
    parser.add_argument("--url", help="the API's address; by default ROOMS_HOST and ROOMS_PORT")


def _export(arguments: argparse.Namespace) -> None:
    export_file(arguments.file, arguments.url or _url(load(Config, os.environ)), bootstrap.container(Catalogue.load()))


def _url(config: Config) -> str:
    host = f"[{config.host}]" if ":" in config.host else config.host
    return f"http://{host}:{config.port}"


if __name__ == "__main__":
    sys.exit(main())
