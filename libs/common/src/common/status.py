"""`status` in every command line: what each neighbour of a service says, once or again and again, as a table or as JSON."""

import argparse
import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from common.commands import Command
from common.errors import AtriumError
from common.messaging.port import Broker
from common.messaging.topology import Queue
from common.observability import configure_logging

Value = int | float | str | bool | None
#: Seconds that a neighbour has to answer; after that it is unknown.
PATIENCE = 3.0


@dataclass(frozen=True, slots=True)
class Part:
    """What one neighbour is asked: `read` answers the figures named by `columns`, in order, None for what nobody can know.

    It may raise: all of them are unknown then, and the reason is shown. Called by one thread at a time.
    """

    name: str
    columns: tuple[str, ...]
    read: Callable[[], Sequence[Value]]


def queue_part(broker: Broker, queue: Queue) -> Part:
    """How many messages wait in the queue, and how many in its dead letters. What a consumer holds, unacked, waits no more."""
    return Part(queue.name, ("waiting", "dead_letters"), lambda: (broker.depth(queue.name), broker.depth(queue.dead)))


class Survey:
    """Asks the parts side by side. One that does not answer delays the others by PATIENCE at most, and is not asked twice at once."""

    def __init__(self, service: str, parts: Sequence[Part]) -> None:
        self._service, self._parts = service, parts
        self._asking: dict[str, threading.Thread] = {}
        self._answers: dict[str, Sequence[Value] | str] = {}

    def __call__(self) -> dict[str, Any]:
        """`{"service", "parts": {name: {column: value}}, "unknown": {name: reason}}`; the values of what is unknown are None."""
        for part in self._parts:
            if part.name not in self._asking or not self._asking[part.name].is_alive():
                self._answers.pop(part.name, None)
                self._asking[part.name] = threading.Thread(target=self._ask, args=(part,), daemon=True)
                self._asking[part.name].start()
        deadline = time.monotonic() + PATIENCE
        for thread in self._asking.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        parts: dict[str, dict[str, Value]] = {}
        unknown: dict[str, str] = {}
        for part in self._parts:
            answer = self._answers.get(part.name, f"no answer within {PATIENCE:g} seconds")
            if isinstance(answer, str):
                unknown[part.name] = answer
                answer = [None] * len(part.columns)
            parts[part.name] = dict(zip(part.columns, answer, strict=True))
        return {"service": self._service, "parts": parts, "unknown": unknown}

    def _ask(self, part: Part) -> None:
        try:
            self._answers[part.name] = part.read()
        except AtriumError as error:
            self._answers[part.name] = str(error)
        except Exception as error:  # noqa: BLE001 - a driver's mistake must not hide what the others say
            self._answers[part.name] = f"{type(error).__name__}: {error}"


def status_command(service: str, help: str, opened: Callable[[], AbstractContextManager[Sequence[Part]]]) -> Command:
    """`status [--json] [--watch SECONDS]`; `help` says what it shows, `opened` gives the parts for as long as they are asked."""

    def run(arguments: argparse.Namespace) -> int:
        configure_logging(service, "CRITICAL")  # what adapters would log stands in the answer
        with opened() as parts:
            survey = Survey(service, parts)
            if arguments.json:
                return _print(survey, arguments.watch)
            return show(lambda: [survey()], arguments.watch)

    return Command(help, run, _arguments)


def show(ask: Callable[[], Sequence[Mapping[str, Any]]], every: float | None) -> int:
    """A table of what `ask` answers: once, or renewed every so many seconds until interrupted. 1 where something is unknown, else 0."""
    if every is None:
        surveys = ask()
        Console().print(table(surveys))
        return int(any(survey["unknown"] for survey in surveys))
    with Live(table(ask()), auto_refresh=False, console=Console()) as live:
        while True:
            time.sleep(every)
            live.update(table(ask()), refresh=True)


def table(surveys: Iterable[Mapping[str, Any]]) -> Group:
    """One line per figure; below, for each neighbour that is down, one line that says why."""
    result = Table(box=None, pad_edge=False)
    for heading in ("service", "of", "figure"):
        result.add_column(heading)
    result.add_column("now", justify="right", overflow="fold")
    reasons: list[Text] = []
    for survey in surveys:
        for name, figures in survey["parts"].items():
            for column, value in figures.items():
                result.add_row(survey["service"], name, column.replace("_", " "), _shown(value, name in survey["unknown"]))
        reasons += [Text(f"{survey['service']} {name}: {reason}", "red") for name, reason in survey["unknown"].items()]
    return Group(result, *reasons)


def _shown(value: Value, unknown: bool) -> str:
    if unknown:
        return "[red]unknown[/]"
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return f"{value:,}"
    return value


def _print(survey: Survey, every: float | None) -> int:
    while True:
        found = survey()
        sys.stdout.write(json.dumps(found) + "\n")
        sys.stdout.flush()
        if every is None:
            return int(bool(found["unknown"]))
        time.sleep(every)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON document per line")
    parser.add_argument("--watch", type=_seconds, metavar="SECONDS", help="renewed every so many seconds, until interrupted")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError("must be from 0.1 to 3600")
    return seconds
