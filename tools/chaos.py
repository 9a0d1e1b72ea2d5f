#!/usr/bin/env python3
"""`make chaos`: a random run of everything that can go wrong, and one table of what came of it. Exit status 1 when a promise was broken."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from common.testing.chaos import Chaos, Outcome
from common.testing.real_servers import Missing, RealServers, ServerControl, empty_database, empty_prefix, empty_virtual_host
from common.testing.servers import Stack
from common.testing.system import running

_TOOL = Path(__file__).parent / "servers.py"
_COLUMNS = (
    "acknowledged",
    "found",
    "lost",
    "phantom",
    "resurrected",
    "duplicated",
    "in rooms",
    "astray",
    "undecided",
    "dead",
    "redelivered",
)


def main() -> int:
    options = _parser().parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what was started ends with us
    logging.getLogger().addHandler(logging.NullHandler())  # that our own connection comes and goes is no news
    # Other people's servers are not ours to stop: only those that tools/servers.py runs.
    os.environ.update({"ATRIUM_SERVERS": "off"} if options.real is None else {})
    for variable in [name for name in os.environ if name.startswith("TEST_")]:
        del os.environ[variable]
    servers = RealServers(_TOOL)
    urls: tuple[str, ...] = ()
    if options.real != 0:
        try:
            urls = tuple(servers.url(name) for name in ("postgresql", "rabbitmq", "elasticsearch"))
        except Missing as reason:
            if options.real:
                print(f"chaos: {reason}", file=sys.stderr)
                return 1
    print(
        "on the real servers of tools/servers.py"
        if urls
        else "on the embedded stack (REAL=1, or `make servers` before: on real ones)"
    )
    outcomes = [_run(seed, options.seconds, servers, urls) for seed in options.seed]
    _show(outcomes, options.seconds)
    return 1 if any(outcome.faults for outcome in outcomes) else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="chaos.py", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long each run rages; %(default)s")
    parser.add_argument("--seed", type=int, nargs="+", default=[1], help="one run for each")
    parser.add_argument("--real", type=int, choices=(0, 1), help="0: embedded, 1: real servers; by default real ones if they run")
    return parser


def _run(seed: int, seconds: float, servers: RealServers, urls: tuple[str, ...]) -> Outcome:
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"seed {seed} {time.monotonic() - began:6.1f} s  {what}", flush=True)

    folder = Path(tempfile.mkdtemp(prefix="atrium-chaos-"))
    with _stack(folder, servers, urls) as stack, running(stack, folder, real=bool(urls), items=True) as system:
        outcome = Chaos(system, seed, say, ServerControl(_TOOL, set()) if urls else None).run(seconds)
    for fault in outcome.faults:
        say(f"FAULT {fault}")
    say(f"the logs are in {folder / 'logs'}")
    return outcome


@contextmanager
def _stack(folder: Path, servers: RealServers, urls: tuple[str, ...]) -> Iterator[Stack]:
    if not urls:
        yield Stack(
            f"sqlite:///{folder}/rooms.db",
            f"sqlite:///{folder}/broker.db",
            f"tantivy:///{folder}/index",
            f"sqlite:///{folder}/items.db",
        )
        return
    with ExitStack() as made:
        database = made.enter_context(empty_database(urls[0]))
        broker = made.enter_context(empty_virtual_host(servers, urls[1]))
        items = made.enter_context(empty_database(urls[0]))
        yield Stack(database, broker, made.enter_context(empty_prefix(urls[2])), items)


def _show(outcomes: list[Outcome], seconds: float) -> None:
    table = Table(title=f"{len(outcomes)} × {seconds:g} s of chaos; listings, but for writes, dead letters and redeliveries")
    for name in ("seed", "writes", *_COLUMNS):
        table.add_column(name, justify="right")
    for outcome in outcomes:
        both = outcome.verdict, outcome.items
        acknowledged, found, undecided = (
            sum(getattr(verdict, name) for verdict in both) for name in ("acknowledged", "found", "undecided")
        )
        faults = (
            sum(len(getattr(verdict, name)) for verdict in both) for name in ("lost", "phantom", "resurrected", "duplicated")
        )
        tenants = (outcome.tenants, len(outcome.tenancy))
        numbers = (acknowledged, found, *faults, *tenants, undecided, outcome.dead, outcome.redelivered)
        table.add_row(*map(str, (outcome.seed, outcome.writes, *numbers)), style="red" if outcome.faults else None)
    Console(width=130 if not sys.stdout.isatty() else None).print(table)


if __name__ == "__main__":
    sys.exit(main())
