"""Waiting on conditions, never on the clock; and running a worker beside a test."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from common.process import Worker

T = TypeVar("T")


def eventually(attempt: Callable[[], T | None], seconds: float = 20) -> T:
    """The first answer that is true in Python's sense; fails when there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        answer = attempt()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"it did not happen within {seconds:g} s"
        time.sleep(0.02)


@contextmanager
def in_background(worker: Worker) -> Iterator[None]:
    """Runs a relay's or a consumer's `run` in a thread, tells it to stop at the end of the block, and waits until it has."""
    stop = threading.Event()
    thread = threading.Thread(target=worker, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive(), "it did not stop"
