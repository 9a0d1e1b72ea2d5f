"""`search audit` and `search rebuild`: how they are asked, what they show while they run, and what they say at the end."""

import argparse
import json
import signal
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from types import FrameType, TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from search.audit import MENDABLE, Audit, Difference
from search.kinds import KINDS, Kind
from search.rebuild import Rebuild, Step

#: Differences that a table shows.
ROWS = 50


class Reporter:
    """Progress on stderr: a bar at a terminal, elsewhere a line for each step."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)
        columns = TextColumn("{task.description}", markup=False), BarColumn(20), TimeElapsedColumn()
        done = TextColumn("{task.completed:,.0f} · {task.fields[rate]:,.0f}/s", markup=False)
        self._progress = Progress(*columns, done, console=self._console, transient=True)
        self._task: tuple[str, TaskID, float] | None = None

    def tell(self, kind: Kind, step: Step, done: int, total: int | None) -> None:
        self.show(f"{kind}: {step.value}", done, total)

    def show(self, what: str, done: int, total: int | None) -> None:
        if self._task is None or self._task[0] != what:
            if self._task is not None:
                self._progress.remove_task(self._task[1])
            self._task = what, self._progress.add_task(what, total=total, rate=0.0), time.monotonic()
            if not self._console.is_terminal:
                self._console.print(what)
        _, task, began = self._task
        self._progress.update(task, completed=done, total=total, rate=done / max(time.monotonic() - began, 0.001))

    def say(self, line: str) -> None:
        self._console.print(line)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._console.is_terminal:  # elsewhere it was never started
            self._progress.stop()


def chosen(arguments: argparse.Namespace) -> list[Kind]:
    """The kinds that a command is about."""
    return [kind for kind in KINDS.values() if arguments.kind in (None, kind.name)]


def _kind_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", choices=list(KINDS), help="one kind of listings; by default all, one after the other")


def audit_arguments(parser: argparse.ArgumentParser) -> None:
    _kind_argument(parser)
    parser.add_argument("--repair", action="store_true", help="apply what the index lacks to it")
    parser.add_argument(
        "--json", action="store_true", help=f"all differences, one JSON object a line; else the first {ROWS} as a table"
    )


def audit_command(kind: Kind, audit: Audit, arguments: argparse.Namespace) -> int:
    """Exit status 0 when both sides agree, in the end; 1 when they do not. Raises Unavailable, WrongSetting."""
    compared = left = mended = 0
    shown: list[Difference] = []

    def report(count: int) -> None:
        nonlocal compared
        compared = count
        reporter.show(f"{kind}: comparing", count, None)

    with Reporter() as reporter:
        for each in audit(mend=arguments.repair, report=report):
            mended += each.mended
            left += not each.mended
            if arguments.json:
                sys.stdout.write(json.dumps({"index": kind.name, **asdict(each)}) + "\n")
            elif len(shown) < ROWS:
                shown.append(each)
    if shown:
        print_differences(shown, left + mended)
    summary = f"{kind}: {compared:,} compared: " + (
        "the index agrees with what is kept" if not left + mended else f"{left:,} differ"
    )
    reporter.say(summary + (f", {mended:,} mended" if mended else ""))
    if left and not arguments.repair:
        reporter.say(f"--repair mends what is {', '.join(sorted(MENDABLE))}; the rest takes a rebuild")
    elif left:
        reporter.say("what is left takes a rebuild, or is refused by the index")
    return 1 if left else 0


def rebuild_arguments(parser: argparse.ArgumentParser) -> None:
    _kind_argument(parser)
    parser.add_argument("--keep", action="store_true", help="keep the generation that was live, for --rollback")
    parser.add_argument("--rollback", action="store_true", help="bring the older generation up to date, and swap back to it")


def rebuild_command(rebuild: Rebuild, reporter: Reporter, arguments: argparse.Namespace) -> int:
    """Exit status 0; 1 when the generation that is live now differs from what is kept all the same. Raises what Rebuild does."""

    def told_to_end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt  # as Ctrl-C: what was begun is taken away again

    signal.signal(signal.SIGTERM, told_to_end)
    began = time.monotonic()
    result = (rebuild.back if arguments.rollback else rebuild.forward)(keep=arguments.keep)
    seconds = time.monotonic() - began
    loaded = f", {result.loaded:,} loaded" if result.loaded else ""
    live, before = rebuild.kind.generation(result.live), rebuild.kind.generation(result.before)
    reporter.say(f"{live} is live, after {before}{loaded}, in {seconds:,.1f} s")
    if result.left:
        print_differences(result.left[:ROWS], result.left_count)
    return 1 if result.left else 0


def print_differences(differences: Iterable[Difference], count: int) -> None:
    """A table on stdout; `count` is of all there are."""
    table = Table(box=None, pad_edge=False)
    for name in ("id", "difference", "kept", "indexed", "outcome"):
        table.add_column(name, overflow="fold")
    rows = list(_rows(differences))
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    (console if console.is_terminal else Console(width=2000)).print(table)
    if count > len(rows):
        sys.stdout.write(f"… and {count - len(rows):,} more; --json shows all\n")


def _rows(differences: Iterable[Difference]) -> Iterator[tuple[str, ...]]:
    for each in differences:
        outcome = "mended" if each.mended else each.refused
        kept, indexed = ("–" if version is None else str(version) for version in (each.kept, each.indexed))
        yield each.id, each.kind, kept, indexed, outcome
