#!/usr/bin/env python3
"""`make status`: what waits, what died and how far the index is behind, in every service of the local stack; ONCE=1 says it once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import ExitStack
from typing import IO, Any

from common.status import show
from stack import SERVICES, Service, StackError, environment

_EVERY = 1.0  # seconds


def main() -> int:
    """0 when it was shown, or interrupted; else 1 with one line."""
    try:
        values = environment()
        if os.environ.get("ONCE", "") not in ("", "0"):
            asking = [(service, _started(service, values)) for service in SERVICES]
            return show(lambda: [_answer(service, process) for service, process in asking], None)
        _watch(values)
    except StackError as error:
        print(f"atrium: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        pass
    return 0


def _started(service: Service, values: Mapping[str, str], *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", service.name, "status", "--json", *more],
        env=dict(values),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        process_group=0,  # Ctrl-C is for this process, which ends that one
    )


def _answer(service: Service, process: subprocess.Popen[str]) -> dict[str, Any]:
    said, complaint = process.communicate()
    if not said:
        raise StackError(_last_line(complaint, service))
    answer: dict[str, Any] = json.loads(said)
    return answer


def _watch(values: Mapping[str, str]) -> None:
    """Each service's own command says it again and again: starting one takes longer than a second."""
    with ExitStack() as stack:
        feeds = [stack.enter_context(_Feed(service, values)) for service in SERVICES]
        show(lambda: [feed.newest() for feed in feeds], _EVERY)


class _Feed:
    """A service's `status --watch`, and the newest line that it wrote."""

    def __init__(self, service: Service, values: Mapping[str, str]) -> None:
        self._service = service
        self._newest: dict[str, Any] = {}
        self._arrived = threading.Event()
        self._process = _started(service, values, "--watch", str(_EVERY))
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    def __enter__(self) -> _Feed:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def newest(self) -> dict[str, Any]:
        """Waits for the first. Raises StackError once the command has ended."""
        self._arrived.wait()
        if self._process.poll() is not None and self._process.stderr is not None:
            raise StackError(_last_line(self._process.stderr.read(), self._service))
        return self._newest

    def _read(self, lines: IO[str]) -> None:
        for line in lines:
            self._newest = json.loads(line)
            self._arrived.set()
        self._process.wait()
        self._arrived.set()


def _last_line(text: str, service: Service) -> str:
    return (text.strip().splitlines() or [f"{service.name} status ended without a word"])[-1]


if __name__ == "__main__":
    sys.exit(main())
