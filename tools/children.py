"""The services as processes under one supervisor: started, watched through their logs, stopped together."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from stack import Service, StackError

_STOP_WITHIN = 12.0  # seconds; a service promises ten
_LOUD = {"warning", "error", "critical"}


@dataclass(slots=True)
class Child:
    """A started service, its log, and how far the log has been read."""

    service: Service
    process: subprocess.Popen[bytes]
    log: Path
    position: int = 0


@dataclass(slots=True)
class Stop:
    """Whether, and how often, this process was asked to stop."""

    asked: int = field(default=0)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.asked += 1


def start(service: Service, values: Mapping[str, str], data: Path) -> Child:
    log = data / "logs" / f"{service.name}.log"
    try:
        log.parent.mkdir(exist_ok=True)
        if log.exists():
            log.replace(log.with_suffix(".log.1"))
        output = log.open("wb")
    except OSError as error:
        raise StackError(f"{short(log)} cannot be written: {error.strerror}") from None
    with output:
        process = subprocess.Popen(
            service.command,
            env=dict(values),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,  # Ctrl-C reaches this process alone, which then stops the services in order
            preexec_fn=_die_with_parent(os.getpid()) if sys.platform == "linux" else None,
        )
    return Child(service, process, log)


def _die_with_parent(parent: int) -> Callable[[], None]:
    """For the child, before it becomes the service: SIGKILL as soon as `parent` dies, however it dies (prctl(2))."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl

    def arrange() -> None:
        prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:  # it died before that
            os._exit(1)

    return arrange


def watch(children: list[Child]) -> None:
    """Show new warnings; a child that has ended is a `StackError`."""
    for child in children:
        ended = child.process.poll()
        _show_new(child)
        if ended is not None:
            words = child.log.read_text(errors="replace")
            reason = last_line(words) or "it said nothing"
            for line in words.splitlines()[-6:-1]:
                print(f"{child.service.name:<7} | {_understand(line)[1]}", flush=True)
            how = f"exit {ended})" if ended >= 0 else f"killed by {signal.Signals(-ended).name}); it last said"
            raise StackError(f"{child.service.name} ended ({how}: {reason} (log: {short(child.log)})")


def _show_new(child: Child) -> None:
    with child.log.open("rb") as handle:
        handle.seek(child.position)
        text = handle.read()
    complete, newline, _ = text.rpartition(b"\n")
    child.position += len(complete) + len(newline)
    for line in complete.splitlines():
        level, message = _understand(line.decode(errors="replace"))
        if level in _LOUD:
            print(f"{child.service.name:<7} {level}: {message}", flush=True)


def _understand(line: str) -> tuple[str, str]:
    """Level and message of a log line; what is no JSON has no level."""
    try:
        entry = json.loads(line)
        detail = str(entry.get("exception", "")).strip().rpartition("\n")[2]
        return str(entry["level"]), f"{entry['message']}{f' ({detail})' if detail else ''}"
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", line


def last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return _understand(lines[-1])[1] if lines else ""


def stop_all(children: list[Child], stop: Stop) -> None:
    """SIGTERM to all at once, then SIGKILL for whoever is left after a while, or at once when asked a second time."""
    asked = stop.asked
    for child in children:
        if child.process.poll() is None:
            child.process.terminate()
    deadline = time.monotonic() + _STOP_WITHIN
    while any(child.process.poll() is None for child in children):
        if time.monotonic() > deadline or (asked and stop.asked > asked):
            for child in children:
                if child.process.poll() is None:
                    print(
                        f"atrium: {child.service.name} did not stop and was killed; nothing acknowledged is lost", file=sys.stderr
                    )
                    child.process.kill()
        time.sleep(0.05)


def short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
