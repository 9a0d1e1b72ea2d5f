"""`search audit` and `search rebuild`: how they are asked, what they show while they run, and what they say at the end."""

import argparse
import signal
import time
from types import FrameType

from common.listings.audit import PASSING, Audit
from common.listings.audit_command import ROWS, Wording, audit_arguments, audit_command, print_differences
from common.listings.reporting import Reporter
from search.kinds import KINDS, Kind
from search.rebuild import Rebuild, Step

WORDING = Wording(
    copy="the index",
    copied="indexed",
    before_repair=f"--repair mends what is {', '.join(sorted(PASSING))}; the rest takes a rebuild",
    after_repair="what is left takes a rebuild, or is refused by the index",
)


def tell(reporter: Reporter, kind: Kind, step: Step, done: int, total: int | None) -> None:
    """Shows how far a step of a rebuild is."""
    reporter.show(f"{kind}: {step.value}", done, total)


def chosen(arguments: argparse.Namespace) -> list[Kind]:
    """The kinds that a command is about."""
    return [kind for kind in KINDS.values() if arguments.kind in (None, kind.name)]


def _kind_argument(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("kind", nargs="?", choices=list(KINDS), help="one kind of listings; by default all, one after the other")


def index_audit_arguments(parser: argparse.ArgumentParser) -> None:
    _kind_argument(parser)
    audit_arguments(parser, "apply what the index lacks to it")


def index_audit_command(kind: Kind, audit: Audit, arguments: argparse.Namespace) -> int:
    """Exit status 0 when both sides agree, in the end; 1 when they do not. Raises Unavailable, WrongSetting."""
    return audit_command(kind.name, audit, WORDING, arguments, index=kind.name)


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
        print_differences(result.left[:ROWS], result.left_count, WORDING)
    return 1 if result.left else 0
