"""Several processes of one API behind one port: started, restarted when they die, and ended together, with one set of numbers."""

import argparse
import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from types import FrameType

from common.backoff import Backoff

log = logging.getLogger(__name__)

#: Seconds: between two looks at the processes, that they have to end in, that one has to live for its next start to be prompt.
LOOK, GRACE, WELL = 0.1, 9.0, 10.0
#: The exit status of who cannot use a setting: a new start would not change that.
WRONG_SETTING = 2


@dataclass
class _Place:
    """One process after another."""

    process: subprocess.Popen[bytes] | None = None
    started: float = 0.0  # as `due` by the monotonic clock
    due: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(longest=10.0))


def supervise(command: Sequence[str], listener: socket.socket, count: int, environ: Mapping[str, str]) -> int:
    """Runs `count` times `python -m <command> --fd <listener>` until told to stop by SIGTERM or SIGINT; answers the exit status.

    Each process ends when its standard input does, so that none outlives this one, however it dies. Their numbers meet in a folder of
    their own, which PROMETHEUS_MULTIPROC_DIR names.
    """
    told: SimpleQueue[int] = SimpleQueue()  # as in common.process: the one thing that a handler may use

    def on_signal(number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        told.put(number)

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    with tempfile.TemporaryDirectory(prefix="atrium-metrics-") as numbers:
        arguments = [sys.executable, "-m", *command, "--fd", str(listener.fileno())]
        environ = {**environ, "PROMETHEUS_MULTIPROC_DIR": numbers}

        def start() -> subprocess.Popen[bytes]:
            # In a group of its own: Ctrl-C is this process's to pass on.
            return subprocess.Popen(arguments, env=environ, stdin=subprocess.PIPE, pass_fds=[listener.fileno()], process_group=0)

        places = [_Place() for _ in range(count)]
        try:
            while True:
                for place in places:
                    if _look_after(place, start) == WRONG_SETTING:
                        return WRONG_SETTING
                try:
                    log.info("stopping on %s", signal.Signals(told.get(timeout=LOOK)).name)
                    return 0
                except Empty:
                    pass
        finally:
            listener.close()
            _end([place.process for place in places if place.process is not None])


def passed_on(parser: argparse.ArgumentParser) -> None:
    """The argument of a command that `supervise` runs; nobody else has a socket to pass on."""
    parser.add_argument("--fd", type=int, help=argparse.SUPPRESS)


def end_with_parent() -> None:
    """For a process that `supervise` started: it is told to end, in order, once its parent is gone."""

    def watch() -> None:
        os.read(0, 1)  # not through sys.stdin, whose lock this would hold when the interpreter ends
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def _look_after(place: _Place, start: Callable[[], subprocess.Popen[bytes]]) -> int | None:
    """Starts a process where none runs and it is time; answers the exit status of one that has ended since the last look."""
    now = time.monotonic()
    if place.process is None:
        if now >= place.due:
            place.process, place.started = start(), now
        return None
    status = place.process.poll()
    if status is not None and status != WRONG_SETTING:
        if now - place.started > WELL:
            place.backoff.reset()
        pause = place.backoff.pause()
        log.warning("process %d ended with status %d; another takes its place in %.1f s", place.process.pid, status, pause)
        place.process, place.due = None, now + pause
    return status


def _end(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.terminate()
    deadline = time.monotonic() + GRACE
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            log.warning("process %d did not end in time and is killed", process.pid)
            process.kill()
            process.wait()
