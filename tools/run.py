#!/usr/bin/env python3
"""`make run`: migrates, starts every service, waits until all are ready, and stops them together.

Their logs go to files; warnings and errors are shown here too. When one service ends, the others are stopped and the reason is
said. A service never outlives this process, even when it is killed.
"""

from __future__ import annotations

import errno
import fcntl
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from children import Child, Stop, last_line, short, start, stop_all, watch
from stack import SERVICES, Service, StackError, address, data_dir, environment, is_ready, running, url

_READY_WITHIN = 90.0  # seconds; a first start on a slow machine builds its table of cities


def main() -> int:
    """0 after an orderly stop that was asked for; 1 with one line when the stack cannot run."""
    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    try:
        values = environment()
        data = data_dir(values)
        with _alone(data):
            _check_ports(values)
            _migrate(values)
            if stop.asked:
                return 0
            return _run(values, data, stop)
    except StackError as error:
        print(f"atrium: {error}", file=sys.stderr)
        return 1


@contextmanager
def _alone(data: Path) -> Iterator[None]:
    """Nobody else runs on this data: the embedded backends have one writer each."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        handle = (data / "run.lock").open("a")
    except OSError as error:
        raise StackError(f"DATA_DIR {data} cannot be written: {error.strerror}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"DATA_DIR {data} is in use by another `make run`; DATA_DIR can name another folder") from None
        yield


def _check_ports(values: Mapping[str, str]) -> None:
    wanted: dict[tuple[str, int], Service] = {}
    for service in running(values):
        where = address(service, values)
        if where in wanted:
            both = f"{service.name.upper()}_PORT and {wanted[where].name.upper()}_PORT"
            raise StackError(f"{both} are both {where[1]}; each service needs a port of its own")
        wanted[where] = service
    for (host, port), service in wanted.items():
        _check_port(service.name.upper(), host, port)


def _check_port(prefix: str, host: str, port: int) -> None:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen()
    except socket.gaierror:
        raise StackError(f"{prefix}_HOST {host!r} is no address of this machine") from None
    except OSError as error:
        if error.errno == errno.EADDRNOTAVAIL:
            raise StackError(f"{prefix}_HOST {host!r} is no address of this machine") from None
        reason = "is taken by another program" if error.errno == errno.EADDRINUSE else f"cannot be used: {error.strerror}"
        raise StackError(f"port {port} on {host} {reason}; {prefix}_PORT can name another") from None


def _migrate(values: Mapping[str, str]) -> None:
    for service in SERVICES:
        if not service.migrates:
            continue
        _say(f"migrating the database of {service.name} …")
        command = [sys.executable, "-m", service.name, "migrate"]
        # In a group of its own: Ctrl-C does not end it half-way.
        done = subprocess.run(
            command, env=dict(values), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, process_group=0
        )
        if done.returncode != 0:
            raise StackError(last_line(done.stderr + done.stdout) or f"{service.name} migrate: exit {done.returncode}")


def _say(text: str) -> None:
    print(text, flush=True)


def _run(values: Mapping[str, str], data: Path, stop: Stop) -> int:
    children: list[Child] = []
    try:
        for service in running(values):
            _say(f"starting {service.name} …")
            children.append(start(service, values, data))
        _say("waiting until they are ready …")
        if not _wait_until_ready(children, values, stop):
            return 0
        _announce(children, values, data)
        while not stop.asked:
            watch(children)
            time.sleep(0.2)
    except StackError:
        stop_all(children, stop)
        raise
    print("\nstopping …", flush=True)
    stop_all(children, stop)
    return 0


def _wait_until_ready(children: list[Child], values: Mapping[str, str], stop: Stop) -> bool:
    deadline = time.monotonic() + _READY_WITHIN
    for child in children:
        while not is_ready(url(child.service, values)):
            watch(children)
            if stop.asked:
                print("stopping …", flush=True)
                stop_all(children, stop)
                return False
            if time.monotonic() > deadline:
                raise StackError(f"{child.service.name} was not ready within {_READY_WITHIN:.0f} s; its log: {child.log}")
            time.sleep(0.1)
    return True


def _announce(children: list[Child], values: Mapping[str, str], data: Path) -> None:
    print(f"\nAtrium is ready; its data is in {short(data)}\n")
    wide = max(len(child.service.name) for child in children)
    for child in children:
        for what, path in child.service.pages:
            print(f"  {child.service.name:<{wide}} {what:<7} {url(child.service, values)}{path}")
        print(f"  {'':<{wide}} {'log':<7} {short(child.log)}")
    print("\n`make demo` in another terminal loads sample listings; Ctrl-C stops everything and keeps the data.\n", flush=True)


if __name__ == "__main__":
    sys.exit(main())
