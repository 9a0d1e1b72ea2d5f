"""The command line: `search api | consumer | all | status | migrate`."""

import logging
import os
import sys
from collections.abc import Sequence

from injector import Injector

from common.commands import Command
from common.commands import main as run_command
from common.config import load, without_password
from common.errors import Unavailable
from common.observability import configure_logging, wants_json
from common.process import end_when_told, run
from common.status import status_command
from common.supervisor import end_with_parent, passed_on, supervise
from common.web.serve import bound, serve
from search import bootstrap
from search.config import Config
from search.ports import Index
from search.use_cases import PrepareIndex

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 2 and one line for a wrong setting."""
    commands = {
        "api": Command("serve the search API", lambda arguments: _api(arguments.fd), passed_on),
        "consumer": Command("bring events into the index", lambda _: _run(api=False, consumer=True)),
        "all": Command("serve the API and bring events into the index, in one process", lambda _: _run(api=True, consumer=True)),
        "status": status_command("search", lambda: bootstrap.status(load(Config, os.environ))),
        "migrate": Command("make the index exist, with the fields of this release", lambda _: _migrate()),
    }
    return run_command("search", "Find room listings.", commands, argv)


def _api(fd: int | None) -> int | None:
    config = load(Config, os.environ)
    if fd is None and config.workers > 1:
        configure_logging("search", config.log_level, json=wants_json(config.log_format))
        end_when_told()
        return supervise(("search", "api"), bound(config.host, config.port, "SEARCH_PORT"), config.workers, os.environ)
    _run(api=True, consumer=False, fd=fd)
    return None


def _run(*, api: bool, consumer: bool, fd: int | None = None) -> None:
    config = load(Config, os.environ)
    configure_logging("search", config.log_level, json=wants_json(config.log_format))
    end_when_told()
    if fd is not None:
        end_with_parent()
    app = bootstrap.http(config) if api else None
    injector = app.injector if app is not None else Injector([bootstrap.configure(config)])
    index = injector.get(Index)
    try:
        index.ensure(writing=consumer)
    except Unavailable as error:
        log.warning("starting without it: %s", error)  # it will come; until then the health check says so
    server = None
    if app is not None:
        server = serve(app, config.host, config.port, setting="SEARCH_PORT", fd=fd)
    elif config.metrics_port:
        server = serve(bootstrap.consumer_pages(injector), config.host, config.metrics_port, setting="SEARCH_METRICS_PORT")
    workers = {"consumer": bootstrap.Indexer(injector, config.batch).run} if consumer else {}
    place, broker = without_password(config.index_url), without_password(config.broker_url)
    if server is not None:
        log.info("listening on %s; index %s, broker %s", server.url, place, broker)
    if consumer:
        log.info("consuming from %s into %s", broker, place)
    try:
        run(workers, server)
    finally:
        index.close()


def _migrate() -> None:
    injector = Injector([bootstrap.configure(load(Config, os.environ))])
    injector.get(PrepareIndex)()
    print("search: the index is ready")


if __name__ == "__main__":
    sys.exit(main())
