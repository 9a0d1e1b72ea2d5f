#!/usr/bin/env python3
"""Real PostgreSQL, RabbitMQ, Elasticsearch and S3 for the tests, without containers: private instances on free ports.

Standard library only, for any Python from 3.11 on. Data is kept until `stop --clean`; a start on old data is quick.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from signal import Signals
from typing import Protocol

from backing import debian, elasticsearch, java_avro, postgresql, process, rabbitmq, s3
from backing.place import CannotStart, Place, find, remove


class _Start(Protocol):
    def __call__(self, place: Place, *, fetch: bool) -> process.Running: ...


@dataclass(frozen=True, slots=True)
class Server:
    """How one kind of server is started, found and stopped."""

    start: _Start
    exports: Callable[[Place], dict[str, str]]
    stop_signal: Signals


SERVERS = {module.NAME: Server(module.start, module.exports, module.STOP) for module in (postgresql, rabbitmq, elasticsearch, s3)}


def main(arguments: list[str] | None = None) -> int:
    """0 when all that was asked for is done; 1 when a server could not be started, with one line saying which and why."""
    options = _parser().parse_args(arguments)
    place = find(Path(__file__).parent.parent)
    names: list[str] = getattr(options, "names", None) or list(SERVERS)
    if unknown := set(names) - set(SERVERS):
        _say(f"no such server: {', '.join(sorted(unknown))}; there are {', '.join(SERVERS)}")
        return 2
    try:
        match options.command:
            case "install":
                debian.install(_say)
            case "status":
                _status(place, names)
            case "env":
                _env(place, names)
            case command:
                with place.lock():
                    return _change(place, command, names, options)
    except CannotStart as error:
        _say(str(error))
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="servers.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    helps = {
        "start": "start them, or leave them when they run; waits until they are ready",
        "stop": "end them in order",
        "kill": "SIGKILL, all processes of a server at once; the data stays as it is",
        "status": "say which run, where, and where their logs are",
        "env": "print `export TEST_…_URL=…` for those that run",
    }
    for name, text in helps.items():
        command = commands.add_parser(name, help=text)
        command.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SERVERS)}; all by default")
        if name == "start":
            command.add_argument("--offline", action="store_true", help="only what is on this machine already")
        if name == "stop":
            command.add_argument("--clean", action="store_true", help="delete their data and logs as well")
    commands.add_parser("install", help="as root on Debian or Ubuntu: install the packages that the servers need")
    return parser


def _change(place: Place, command: str, names: list[str], options: argparse.Namespace) -> int:
    failures = 0
    for name in names:
        began = time.monotonic()
        try:
            done = _start(place, name, fetch=not options.offline) if command == "start" else _end(place, name, options)
            _say(f"{name}: {done} ({time.monotonic() - began:.1f} s)")
        except CannotStart as error:
            _say(f"{name}: {error}")
            failures += 1
    if command == "start" and set(names) == set(SERVERS) and not options.offline:
        try:
            java_avro.jars(fetch=True)
        except CannotStart as error:
            _say(f"Avro for Java: {error}")
            failures += 1
    return 1 if failures else 0


def _start(place: Place, name: str, *, fetch: bool) -> str:
    server = SERVERS[name]
    if process.recorded(_record(place, name)):
        return f"already runs, {_where(place, name)}"
    try:
        server.start(place, fetch=fetch)
    except CannotStart:
        if running := process.recorded(_record(place, name)):
            process.kill(running)
        raise
    return f"ready, {_where(place, name)}"


def _end(place: Place, name: str, options: argparse.Namespace) -> str:
    running = process.recorded(_record(place, name))
    done = "was not running"
    if running is not None and options.command == "kill":
        process.kill(running)
        done = "killed"
    elif running is not None:
        in_order = process.stop(running, SERVERS[name].stop_signal, seconds=30)
        done = "stopped" if in_order else "did not stop in 30 s and was killed"
    if options.command == "stop":
        if name == rabbitmq.NAME:
            rabbitmq.end_mapper(place)
        if options.clean:
            remove(place.of(name))
    return done


def _status(place: Place, names: list[str]) -> None:
    for name in names:
        runs = process.recorded(_record(place, name))
        print(f"{name}: {f'process {runs.pid}, {_where(place, name)}' if runs else 'does not run'}, log {place.of(name) / 'log'}")


def _env(place: Place, names: list[str]) -> None:
    for name in names:
        if process.recorded(_record(place, name)):
            for variable, value in SERVERS[name].exports(place).items():
                print(f"export {variable}={shlex.quote(value)}")


def _where(place: Place, name: str) -> str:
    return next(iter(SERVERS[name].exports(place).values()))


def _record(place: Place, name: str) -> Path:
    return place.of(name) / "process.json"


def _say(line: str) -> None:
    print(f"servers: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
