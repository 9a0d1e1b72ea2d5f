"""`audit`: how it is asked, what it shows while it runs, and what it says at the end."""

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from common.listings.audit import Difference
from common.listings.reporting import Reporter

#: Differences that a table shows.
ROWS = 50


class Auditing(Protocol):
    """An `Audit`, or what is called like one."""

    def __call__(self, *, mend: bool, report: Callable[[int], None]) -> Iterator[Difference]: ...


@dataclass(frozen=True, kw_only=True)
class Wording:
    """How an audit speaks: the copy's name, what a version that it has is called, and what to do about what is left."""

    copy: str
    copied: str
    before_repair: str
    after_repair: str


def audit_arguments(parser: argparse.ArgumentParser, repair: str) -> None:
    """`repair` says what that does."""
    parser.add_argument("--repair", action="store_true", help=repair)
    parser.add_argument(
        "--json", action="store_true", help=f"all differences, one JSON object a line; else the first {ROWS} as a table"
    )


def audit_command(what: str, audit: Auditing, wording: Wording, arguments: argparse.Namespace, **named: str) -> int:
    """Exit status 0 when both sides agree, in the end; 1 when they do not. Raises what `audit` does.

    `what` is compared; `named` stands at the beginning of each line of `--json`.
    """
    compared = left = mended = 0
    shown: list[Difference] = []

    def report(count: int) -> None:
        nonlocal compared
        compared = count
        reporter.show(f"{what}: comparing", count, None)

    with Reporter() as reporter:
        for each in audit(mend=arguments.repair, report=report):
            mended += each.mended
            left += not each.mended
            if arguments.json:
                sys.stdout.write(json.dumps(named | _told(each, wording)) + "\n")
            elif len(shown) < ROWS:
                shown.append(each)
    if shown:
        print_differences(shown, left + mended, wording)
    summary = f"{what}: {compared:,} compared: " + (
        f"{wording.copy} agrees with what is kept" if not left + mended else f"{left:,} differ"
    )
    reporter.say(summary + (f", {mended:,} mended" if mended else ""))
    if left:
        reporter.say(wording.after_repair if arguments.repair else wording.before_repair)
    return 1 if left else 0


def print_differences(differences: Iterable[Difference], count: int, wording: Wording) -> None:
    """A table on stdout; `count` is of all there are."""
    table = Table(box=None, pad_edge=False)
    for name in ("id", "difference", "kept", wording.copied, "outcome"):
        table.add_column(name, overflow="fold")
    rows = list(_rows(differences))
    for row in rows:
        table.add_row(*map(Text, row))
    console = Console()
    (console if console.is_terminal else Console(width=2000)).print(table)
    if count > len(rows):
        sys.stdout.write(f"… and {count - len(rows):,} more; --json shows all\n")


def _told(each: Difference, wording: Wording) -> dict[str, object]:
    return {wording.copied if name == "copied" else name: value for name, value in asdict(each).items()}


def _rows(differences: Iterable[Difference]) -> Iterator[tuple[str, ...]]:
    for each in differences:
        outcome = "mended" if each.mended else each.refused
        kept, copied = ("–" if version is None else str(version) for version in (each.kept, each.copied))
        yield each.id, each.kind, kept, copied, outcome
