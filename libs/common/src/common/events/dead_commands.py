"""`dead list | show | redrive | discard`: the dead letters of queues, in the command line of the service that consumes them."""

import argparse
import getpass
import os
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table
from rich.text import Text

from common.commands import Command, Group
from common.errors import WrongSetting
from common.events.codec import Codec
from common.events.dead_letters import MOST_REDRIVES, DeadLetter, NoSuchLetter, Redriven, discard, find, letters, redrive
from common.events.shown import as_dict, json_text, legible, trace_id
from common.messaging.port import Broker
from common.messaging.topology import Queue

_LONGEST_WHY = 500  # characters
_ROWS = 100  # of a table, unless told otherwise
_HEX_ROW = 32  # bytes


def dead_commands(queues: Sequence[Queue], open: Callable[[], tuple[Broker, Codec]]) -> Group:
    """The sub-commands over what `open` gives."""
    dead = _Dead(queues, open)
    return Group(
        f"what {' and '.join(queue.name for queue in queues)} could not take: see it, send it back, discard it",
        {
            "list": Command("list dead letters, the oldest first", dead.list, _list_arguments),
            "show": Command("show a dead letter: the event, why it is dead, what it went through", dead.show, _show_arguments),
            "redrive": Command("send dead letters back to their queue", dead.redrive, _redrive_arguments),
            "discard": Command(
                f"move a dead letter to {' or '.join(queue.discarded for queue in queues)}, with a reason",
                dead.discard,
                _discard_arguments,
            ),
        },
    )


@dataclass(frozen=True)
class _Dead:
    """The commands' bodies; each answers its exit status."""

    queues: Sequence[Queue]
    open: Callable[[], tuple[Broker, Codec]]

    def list(self, arguments: argparse.Namespace) -> int:
        broker, _ = self.open()
        with closing(broker), closing(self._letters(broker, arguments)) as found:
            if arguments.json:
                for letter in islice(found, arguments.limit):
                    sys.stdout.write(f"{json_text(_summary(letter))}\n")
                return 0
            rows = [_summary(letter) for letter in islice(found, arguments.limit or _ROWS)]
            more = next(found, None) is not None
        if not rows:
            sys.stdout.write(f"nothing in {self._names(arguments)}\n")
            return 0
        _printed(_table(rows, several=len(self.queues) > 1))
        if more:
            sys.stdout.write("there are more; --limit shows them\n")
        return 0

    def show(self, arguments: argparse.Namespace) -> int:
        broker, codec = self.open()
        with closing(broker):
            letter = self._found(broker, arguments)
        summary, told = _summary(letter), as_dict(letter.message, codec)
        for name, value in summary.items():
            sys.stdout.write(f"{name:<13} {legible(value)}\n")
        for past in letter.past:
            sys.stdout.write(f"{'died before':<13} {legible(past)}\n")
        sys.stdout.write("\nheaders\n")
        for name, value in sorted(letter.message.headers.items()):
            sys.stdout.write(f"  {legible(name)}: {legible(value)}\n")
        if "undecodable" in told:
            body = letter.message.body
            sys.stdout.write(f"\nbody of {len(body):,} bytes, undecodable: {legible(told['undecodable'])}\n")
            for start in range(0, len(body), _HEX_ROW):
                sys.stdout.write(f"  {body[start : start + _HEX_ROW].hex()}\n")
        else:
            sys.stdout.write(f"\nevent\n{json_text(told['data'], indent=True)}\n")
        return 0

    def redrive(self, arguments: argparse.Namespace) -> int:
        broker, _ = self.open()
        console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)

        def wanted(letter: DeadLetter) -> bool:
            return bool(arguments.all or letter.message.id == arguments.id or letter.reason == arguments.reason)

        with closing(broker):
            columns = BarColumn(20), TextColumn("{task.completed:,.0f} redriven", markup=False)
            with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
                task = progress.add_task("redrive", total=None)
                outcomes: list[tuple[Queue, Redriven]] = []
                for queue in self.queues:
                    before = sum(outcome.done for _, outcome in outcomes)

                    def report(so_far: Redriven, before: int = before) -> None:
                        progress.update(task, completed=before + so_far.done)

                    outcomes.append((queue, redrive(broker, queue, wanted, force=arguments.force, report=report)))
        if arguments.id is not None and all(outcome == Redriven() for _, outcome in outcomes):
            raise NoSuchLetter(self._names(arguments), arguments.id)
        sys.stdout.write(f"{_told(outcomes)}\n")
        return 1 if any(outcome.guarded or outcome.refused for _, outcome in outcomes) else 0

    def discard(self, arguments: argparse.Namespace) -> int:
        why = " ".join(arguments.why.split())
        if not 0 < len(why) <= _LONGEST_WHY:
            raise WrongSetting("--why", f"must say in 1 to {_LONGEST_WHY} characters why nobody needs this letter")
        broker, _ = self.open()
        with closing(broker):
            moved = 0
            for queue in self.queues:
                with suppress(NoSuchLetter):
                    count = discard(broker, queue, arguments.id, why=why, who=_who())
                    sys.stdout.write(f"{count} moved to {queue.discarded}\n")
                    moved += count
        if not moved:
            raise NoSuchLetter(self._names(arguments), arguments.id)
        return 0

    def _letters(self, broker: Broker, arguments: argparse.Namespace) -> Generator[DeadLetter]:
        """Of each queue the oldest first."""
        for queue in self.queues:
            with closing(letters(broker, _named(queue, arguments))) as found:
                yield from found

    def _found(self, broker: Broker, arguments: argparse.Namespace) -> DeadLetter:
        for queue in self.queues:
            with suppress(NoSuchLetter):
                return find(broker, _named(queue, arguments), arguments.id)
        raise NoSuchLetter(self._names(arguments), arguments.id)

    def _names(self, arguments: argparse.Namespace) -> str:
        return " or ".join(_named(queue, arguments) for queue in self.queues)


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        user = f"uid {os.getuid()}"
    return f"{user}@{socket.gethostname()}"


def _named(queue: Queue, arguments: argparse.Namespace) -> str:
    return queue.discarded if getattr(arguments, "discarded", False) else queue.dead


def _summary(letter: DeadLetter) -> dict[str, Any]:
    """What a letter is, in the order in which people ask; what is only told of discarded ones at the end."""
    discarded = {"why": "discarded_why", "by": "discarded_by", "discarded": "discarded_at"}
    return {
        "id": letter.message.id,
        "type": letter.type,
        "subject": letter.subject,
        "reason": letter.reason,
        "detail": letter.text("dead_detail"),
        "when": letter.text("dead_at"),
        "attempts": letter.message.headers.get("dead_attempts", ""),
        "redrives": letter.redrives,
        "queue": letter.text("dead_queue") or letter.text("x-first-death-queue"),
        "trace": trace_id(letter.text("traceparent")),
        "request": letter.text("cloudEvents_requestid"),
        **{name: letter.text(header) for name, header in discarded.items() if letter.text(header)},
    }


def _table(rows: list[dict[str, Any]], *, several: bool) -> Table:
    shown = ["id", "type", "subject", "reason", "when", "attempts", "redrives", *(["queue"] if several else [])]
    shown += [name for name in ("why", "by", "discarded") if any(name in row for row in rows)]
    table = Table(box=None, pad_edge=False)
    for name in shown:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(Text(legible(row.get(name, ""))) for name in shown))
    return table


def _printed(table: Table) -> None:
    """As wide as the terminal; elsewhere each row in one line, for who searches in it."""
    console = Console()
    (console if console.is_terminal else Console(width=2000)).print(table)


def _told(outcomes: Sequence[tuple[Queue, Redriven]]) -> str:
    told = f"{sum(outcome.done for _, outcome in outcomes):,} redriven"
    if guarded := sum(outcome.guarded for _, outcome in outcomes):
        told += f"; {guarded:,} stay, redriven {MOST_REDRIVES} times already (--force sends them all the same)"
    for queue, outcome in outcomes:
        if outcome.refused:
            told += f"; {outcome.refused:,} stay, {queue.name} did not take them"
    return told


def _list_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--discarded", action="store_true", help="those that were discarded")
    parser.add_argument("--json", action="store_true", help="one JSON object per line")
    parser.add_argument(
        "--limit", type=_count, metavar="N", help=f"at most so many; by default {_ROWS} in a table, all of them with --json"
    )


def _show_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the message's id, as the list shows it")
    parser.add_argument("--discarded", action="store_true", help="look among those that were discarded")


def _redrive_arguments(parser: argparse.ArgumentParser) -> None:
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--id", help="the letter with this id")
    which.add_argument("--reason", help="the letters that died of this")
    which.add_argument("--all", action="store_true", help="all of them")
    parser.add_argument("--force", action="store_true", help=f"also those that were redriven {MOST_REDRIVES} times already")


def _discard_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--id", required=True, help="the letter with this id")
    parser.add_argument("--why", required=True, metavar="TEXT", help="why nobody needs it; kept with it, and who said so")


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise ValueError
    return count
