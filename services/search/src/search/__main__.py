"""The command line: `search api | consumer | all | migrate | status | dead … | audit [KIND] | rebuild [KIND] | lineage ID`."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial

from injector import Injector

from common import failpoints
from common.commands import Command, Group
from common.commands import main as run_command
from common.config import load, without_password
from common.errors import Unavailable, WrongSetting
from common.events.codec import Codec
from common.events.dead_commands import dead_commands
from common.listings.reporting import Reporter
from common.messaging.port import Broker
from common.messaging.topology import SEARCH_ITEMS, SEARCH_ROOMS, check_subscribers
from common.observability import configure_logging, wants_json
from common.process import end_when_told, run
from common.status import status_command
from common.supervisor import end_with_parent, passed_on, supervise
from common.web.serve import bound, serve
from search import bootstrap
from search.config import Config
from search.entrypoints import lineage
from search.entrypoints.cli import chosen, index_audit_arguments, index_audit_command, rebuild_arguments, rebuild_command, tell
from search.kinds import Kind
from search.ports import Corpora, Corpus
from search.use_cases import PrepareIndices

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status 2 and one line for a wrong setting."""
    commands: dict[str, Command | Group] = {
        "api": Command("serve the search API", lambda arguments: _api(arguments.fd), passed_on),
        "consumer": Command("bring events into the indices", lambda _: _run(api=False, consumer=True)),
        "all": Command(
            "serve the API and bring events into the indices, in one process", lambda _: _run(api=True, consumer=True)
        ),
        "status": status_command(
            "search",
            "show what waits, what died, and how far the indices are behind",
            lambda: bootstrap.status(load(Config, os.environ)),
        ),
        "migrate": Command("make the indices exist, with the fields of this release", lambda _: _migrate()),
        "dead": dead_commands((SEARCH_ROOMS, SEARCH_ITEMS), _broker),
        "audit": Command("compare the indices with what the rooms and items services keep", _audit, index_audit_arguments),
        "rebuild": Command("build an index anew beside the live one, and swap them", _rebuild, rebuild_arguments),
        "lineage": Command("show how a listing went from its request into the index", _lineage, lineage.arguments),
    }
    return run_command("search", "The search service: finds rooms and items.", commands, argv)


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
    failpoints.arm(config.failpoints)
    end_when_told()
    if fd is not None:
        end_with_parent()
    if consumer:
        check_subscribers(config.subscribers, running="search")
    app = bootstrap.http(config) if api else None
    injector = app.injector if app is not None else Injector([bootstrap.configure(config)])
    corpora = injector.get(Corpora)
    try:
        injector.get(PrepareIndices)(writing=consumer)
    except Unavailable as error:
        log.warning("starting without it: %s", error)  # it will come; until then the health check says so
    server = None
    if app is not None:
        server = serve(app, config.host, config.port, setting="SEARCH_PORT", fd=fd)
    elif config.metrics_port:
        server = serve(bootstrap.consumer_pages(injector), config.host, config.metrics_port, setting="SEARCH_METRICS_PORT")
    workers = {f"consumer of {kind}": bootstrap.Indexer(injector, kind, config.batch).run for kind in corpora if consumer}
    place, broker = without_password(config.index_url), without_password(config.broker_url)
    if server is not None:
        log.info("listening on %s; index %s, broker %s", server.url, place, broker)
    if consumer:
        log.info("consuming from %s into %s", broker, place)
    try:
        run(workers, server)
    finally:
        corpora.close()


def _broker() -> tuple[Broker, Codec]:
    config = load(Config, os.environ)
    configure_logging("search", "WARNING", json=False)
    injector = Injector([bootstrap.configure(config)])
    return injector.get(Broker), injector.get(Codec)


def _audit(arguments: argparse.Namespace) -> int:
    config = load(Config, os.environ)
    configure_logging("search", "WARNING", json=False)
    corpora = Injector([bootstrap.configure(config)]).get(Corpora)
    return max(_audited(corpora[kind.name], arguments) for kind in chosen(arguments))


def _audited(corpus: Corpus, arguments: argparse.Namespace) -> int:
    while True:
        live = bootstrap.live(corpus)
        try:
            return index_audit_command(corpus.kind, bootstrap.auditing(corpus, live), arguments)
        except Unavailable:
            if bootstrap.live(corpus) == live:
                raise
            print("the index was rebuilt meanwhile: comparing the new one", file=sys.stderr)


def _rebuild(arguments: argparse.Namespace) -> int:
    config = load(Config, os.environ)
    configure_logging("search", "WARNING", json=False)
    kinds = chosen(arguments)
    if arguments.rollback and len(kinds) > 1:
        raise WrongSetting("--rollback", f"must say of what: {' or '.join(map(str, kinds))}")
    injector = Injector([bootstrap.configure(config)])
    with closing(injector.get(Broker)), Reporter() as reporter:
        return max(_rebuilt(injector, kind, config.batch, reporter, arguments) for kind in kinds)


def _rebuilt(injector: Injector, kind: Kind, batch: int, reporter: Reporter, arguments: argparse.Namespace) -> int:
    with bootstrap.rebuilding(injector, kind, batch, partial(tell, reporter, kind)) as rebuild:
        return rebuild_command(rebuild, reporter, arguments)


def _migrate() -> None:
    injector = Injector([bootstrap.configure(load(Config, os.environ))])
    injector.get(PrepareIndices)()
    print("search: the indices are ready")


def _lineage(arguments: argparse.Namespace) -> int:
    config = load(Config, os.environ)
    injector = Injector([bootstrap.configure(config)])
    try:
        return lineage.run(injector.get(lineage.TraceListing), arguments, config.data_dir)
    finally:
        injector.get(Broker).close()
        injector.get(Corpora).close()


if __name__ == "__main__":
    sys.exit(main())
