"""One process: an API in the main thread, workers (relay, consumer) in threads beside it, and an orderly end for all."""

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping
from queue import SimpleQueue
from types import FrameType
from typing import Protocol

log = logging.getLogger(__name__)

#: A worker runs until the event is set, then finishes or gives back what it holds, and returns.
Worker = Callable[[threading.Event], None]

#: Seconds from the signal until workers are left to themselves, which ten are promised; between a worker's failure and its next start.
END, RESTART = 9.0, 1.0


class Server(Protocol):
    """Serves in `run`, which returns once `stop` was called and the requests under way are answered."""

    def run(self) -> None: ...

    def stop(self) -> None: ...


def end_when_told() -> None:
    """Until `run` takes over, SIGTERM and SIGINT end the process at once, with exit status 0: nothing is under way yet."""

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        os._exit(0)  # SystemExit would wait for the threads that an application already has

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def run(workers: Mapping[str, Worker], server: Server | None = None) -> None:
    """Runs until told to stop by SIGTERM or SIGINT. The server ends first, so that the workers still carry what it accepted."""
    # A handler runs in the midst of whatever the main thread does. Of what it may call without waiting for a lock which that
    # holds, neither a log nor an Event is one; this queue is, and `stop` only sets a flag.
    told: SimpleQueue[int] = SimpleQueue()
    stop, stopping = threading.Event(), threading.Event()
    told_at = float("inf")

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal told_at
        told_at = time.monotonic()
        signal.signal(number, signal.SIG_DFL)  # the second time is not a request
        told.put(number)
        if server is not None:
            server.stop()

    def announce() -> None:
        log.info("stopping on %s", signal.Signals(told.get()).name)
        stopping.set()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    threads = [
        threading.Thread(target=_kept_running, args=(name, worker, stop), name=name, daemon=True)
        for name, worker in workers.items()
    ]
    for thread in (*threads, threading.Thread(target=announce, name="signals", daemon=True)):
        thread.start()
    try:
        if server is None:
            stopping.wait()
        else:
            server.run()
    finally:
        stop.set()
        deadline = min(told_at, time.monotonic()) + END
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                log.warning("%s did not end in time; what it held comes again", thread.name)


def _kept_running(name: str, worker: Worker, stop: threading.Event) -> None:
    """A worker never ends silently: a failure that it did not expect is logged, and it starts anew."""
    while not stop.is_set():
        try:
            worker(stop)
        except Exception:
            log.exception("%s failed and starts anew", name)
            stop.wait(RESTART)
