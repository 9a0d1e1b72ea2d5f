"""The tour runs verbatim, on the embedded stack and on real servers, in each shell that is here."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from common.testing.documents import Step, Terminal, addressed, missing, steps
from common.testing.system import System
from common.testing.waiting import eventually

REPOSITORY = Path(__file__).resolve().parents[2]
TOUR = steps(REPOSITORY / "docs" / "tour.md")


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.timeout(600)  # it starts a whole system five times
def test_the_tour_shows_what_it_says(shell: list[str], whole: System, tmp_path: Path) -> None:
    system = whole
    addresses = {
        "http://127.0.0.1:8001": str(system.rooms.base_url).rstrip("/"),
        "http://127.0.0.1:8002": str(system.items.base_url).rstrip("/"),
        "http://127.0.0.1:8003": str(system.search.base_url).rstrip("/"),
        "make -s token": f"{sys.executable} {REPOSITORY / 'tools' / 'issuer.py'} token",  # in the environment that make makes
    }
    started, *rest = TOUR
    assert started.code == "make run\n"
    scratch, watched = tmp_path / "steps", tmp_path / "watched.log"
    scratch.mkdir()
    with Terminal(shell, REPOSITORY, system.environ, scratch) as terminal, watching(terminal, watched) as watch:
        for step in rest:
            step = addressed(step, addresses)
            if "terminal 1" in step.notes:
                restart(system, step)
            elif "terminal 3" in step.notes and step.language == "sh":
                watch(step)
            elif "terminal 3" in step.notes:
                eventually(lambda step=step: missing(step.code, watched.read_text(encoding="utf-8")) is None)
            else:
                terminal.follow(step)


def test_no_address_stands_in_the_tour_but_at_its_top() -> None:
    named = [step.line for step in TOUR if "127.0.0.1" in step.code]
    assert len(named) == 1


def restart(system: System, step: Step) -> None:
    """What the first terminal does: ends what runs, and starts it again with the settings before the command."""
    *assignments, _make, _run = shlex.split(step.code)
    plain = {name: value for name, value in system.environ.items() if name != "FAILPOINTS"}
    system.end(signal.SIGTERM)
    system.environ = plain | dict(assignment.split("=", 1) for assignment in assignments)
    system.start()


@contextmanager
def watching(terminal: Terminal, output: Path) -> Iterator[Callable[[Step], None]]:
    """A further terminal, in which a command goes on until the end; what it prints is in the file."""
    started: list[subprocess.Popen[bytes]] = []

    def watch(step: Step) -> None:
        with output.open("wb") as file:
            started.append(terminal.beside(step, file))

    output.touch()
    try:
        yield watch
    finally:
        for process in started:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
