"""Processes that outlive the command which started them: start, look, stop, kill."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from backing.place import Account, CannotStart


@dataclass(frozen=True, slots=True)
class Running:
    """A process as it was recorded when it was started; `born` tells it from a later one with the same id."""

    pid: int
    born: str


def launch(
    arguments: Sequence[str], *, record: Path, log: Path, environment: Mapping[str, str], owner: Account, folder: Path
) -> Running:
    """Start `arguments` in a session of its own, standard output appended to `log`, and remember it in `record`."""
    with log.open("ab") as output:
        process = subprocess.Popen(
            arguments,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env=dict(environment),
            user=owner.uid,
            group=owner.gid,
            extra_groups=None if owner.uid is None else [],
            start_new_session=True,
        )
    running = Running(process.pid, _born(process.pid))
    record.write_text(json.dumps(asdict(running)))
    return running


def recorded(record: Path) -> Running | None:
    """The process of `record` if it still lives."""
    try:
        running = Running(**json.loads(record.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
    return running if alive(running) else None


def alive(running: Running) -> bool:
    return _born(running.pid) == running.born != ""


def is_zombie(pid: int) -> bool:
    """Whether the process has ended, but its parent has not asked how."""
    state = _stat(pid)
    return state is not None and state[0] == "Z"


def wait_until_ready(running: Running, ready: Callable[[], bool], *, seconds: float, log: Path) -> None:
    """Return once `ready()`; a dead process or too long a wait raises `CannotStart` with the end of the log."""
    deadline = time.monotonic() + seconds
    while not ready():
        if not alive(running):
            raise CannotStart(f"ended while starting; {_last_words(log)}")
        if time.monotonic() > deadline:
            raise CannotStart(f"not ready after {seconds:.0f} s; {_last_words(log)}")
        time.sleep(0.1)


def stop(running: Running, how: signal.Signals, *, seconds: float) -> bool:
    """Send `how`, wait for the process and its descendants, then kill what is left. False when it came to that."""
    family = [running.pid, *_descendants(running.pid)]
    os.kill(running.pid, how)
    deadline = time.monotonic() + seconds
    while any(_exists(pid) for pid in family):
        if time.monotonic() > deadline:
            _kill(family)
            return False
        time.sleep(0.05)
    return True


def kill(running: Running) -> None:
    """SIGKILL, for the process and every descendant at once, as when the machine dies under them."""
    _kill([running.pid, *_descendants(running.pid)])


def _kill(family: Sequence[int]) -> None:
    for pid in family:
        if _exists(pid):
            os.kill(pid, signal.SIGKILL)
    while any(_exists(pid) for pid in family):
        time.sleep(0.02)


def _exists(pid: int) -> bool:
    state = _stat(pid)
    return state is not None and state[0] != "Z"


def _born(pid: int) -> str:
    """When the process began, in the kernel's ticks since boot; empty when there is none."""
    state = _stat(pid)
    return "" if state is None or state[0] == "Z" else state[19]


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/PID/stat from the third, the state, on (proc(5)); the second may hold blanks and brackets."""
    _reap(pid)
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def _reap(pid: int) -> None:
    # A server started by this very process would stay a zombie, as nobody else may wait for it.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def _descendants(pid: int) -> list[int]:
    # By parent, not by process group: each of PostgreSQL's backends leads a group of its own.
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    waiting = [pid]
    while waiting:
        below = children.get(waiting.pop(), [])
        found += below
        waiting += below
    return found


def _last_words(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()[-3:] if log.exists() else []
    return f"{log}: {' | '.join(lines)[-500:] or 'empty'}"
