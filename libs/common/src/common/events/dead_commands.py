"""`dead list | show | redrive | discard`: the dead letters of one queue, in the command line of the service that consumes it."""

import argparse
import getpass
import socket
import sys
from collections.abc import Callable
from contextlib import closing
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
from common.events.dead_letters import MOST_REDRIVES, DeadLetter, Redriven, discard, find, letters, redrive
from common.events.shown import as_dict, json_text, legible, trace_id
from common.messaging.port import Broker
from common.messaging.topology import Queue

_LONGEST_WHY = 500  # characters
_ROWS = 100  # of a table, unless told otherwise
_HEX_ROW = 32  # bytes


def dead_commands(queue: Queue, open: Callable[[], tuple[Broker, Codec]]) -> Group:
    """The sub-commands over what `open` gives."""
    dead = _Dead(queue, open)
    return Group(
        f"what {queue.name} could not take: see it, send it back, discard it",
        {
            "list": Command("list dead letters, the oldest first", dead.list, _list_arguments),
            "show": Command("show a dead letter: the event, why it is dead, what it went through", dead.show, _show_arguments),
            "redrive": Command("send dead letters back to their queue", dead.redrive, _redrive_arguments),
            "discard": Command(f"move a dead letter to {queue.discarded}, with a reason", dead.discard, _discard_arguments),
        },
    )


@dataclass(frozen=True)
class _Dead:
    """The commands' bodies; each answers its exit status."""

    queue: Queue
    open: Callable[[], tuple[Broker, Codec]]

    def list(self, arguments: argparse.Namespace) -> int:
        broker, _ = self.open()
        name = _named(self.queue, arguments)
        with closing(broker), closing(letters(broker, name)) as found:
            if arguments.json:
                for letter in islice(found, arguments.limit):
                    sys.stdout.write(f"{json_text(_summary(letter))}\n")
                return 0
            rows = [_summary(letter) for letter in islice(found, arguments.limit or _ROWS)]
            more = next(found, None) is not None
        if not rows:
            sys.stdout.write(f"nothing in {name}\n")
            return 0
        _printed(_table(rows))
        if more:
            sys.stdout.write("there are more; --limit shows them\n")
        return 0

    def show(self, arguments: argparse.Namespace) -> int:
        broker, codec = self.open()
        with closing(broker):
            letter = find(broker, _named(self.queue, arguments), arguments.id)
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
            if arguments.id is not None:
                find(broker, self.queue.dead, arguments.id)
            columns = BarColumn(20), TextColumn("{task.completed:,.0f} redriven", markup=False)
            with Progress(*columns, console=console, transient=True) as progress:
                task = progress.add_task("redrive", total=None)
                outcome = redrive(
                    broker,
                    self.queue,
                    wanted,
                    force=arguments.force,
                    report=lambda so_far: progress.update(task, completed=so_far.done),
                )
        sys.stdout.write(f"{_told(outcome, self.queue)}\n")
        return 1 if outcome.guarded or outcome.refused else 0

    def discard(self, arguments: argparse.Namespace) -> int:
        why = " ".join(arguments.why.split())
        if not 0 < len(why) <= _LONGEST_WHY:
            raise WrongSetting("--why", f"must say in 1 to {_LONGEST_WHY} characters why nobody needs this letter")
        broker, _ = self.open()
        with closing(broker):
            count = discard(broker, self.queue, arguments.id, why=why, who=f"{getpass.getuser()}@{socket.gethostname()}")
        sys.stdout.write(f"{count} moved to {self.queue.discarded}\n")
        return 0


def _named(queue: Queue, arguments: argparse.Namespace) -> str:
    return queue.discarded if arguments.discarded else queue.dead


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


def _table(rows: list[dict[str, Any]]) -> Table:
    shown = ["id", "type", "subject", "reason", "when", "attempts", "redrives"]
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


def _told(outcome: Redriven, queue: Queue) -> str:
    told = f"{outcome.done:,} redriven"
    if outcome.guarded:
        told += f"; {outcome.guarded:,} stay, redriven {MOST_REDRIVES} times already (--force sends them all the same)"
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
