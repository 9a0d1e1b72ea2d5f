"""Which servers are asked at the moment, so that one that never answers holds up its own images and no others."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

#: Fetches from one host at a time; seconds for which one that did not answer is left alone, and how many such there are at most.
TOGETHER, REST, MOST = 2, 30.0, 1000


class Hosts:
    """Of one process. Safe to share between threads."""

    def __init__(self, together: int = TOGETHER, rest: float = REST) -> None:
        self._together, self._rest = together, rest
        self._lock = threading.Lock()
        self._asked: Counter[str] = Counter()
        self._resting: dict[str, float] = {}  # until when, by the clock that only goes forward

    @contextmanager
    def choosing(self) -> Iterator[tuple[list[str], Callable[[str], None]]]:
        """(those that are not to be asked now, how to say which one will be). One chooses at a time."""
        with self._lock:
            now = time.monotonic()
            self._resting = {host: until for host, until in self._resting.items() if until > now}
            busy = [host for host, number in self._asked.items() if number >= self._together]
            yield [*busy, *self._resting], self._ask

    def busy(self) -> list[str]:
        """Those that are not to be asked now."""
        with self.choosing() as (busy, _):
            return busy

    def answered(self, host: str) -> None:
        with self._lock:
            self._asked[host] -= 1
            if not self._asked[host]:
                del self._asked[host]

    def silent(self, host: str) -> None:
        """It let us wait in vain."""
        with self._lock:
            self._resting.pop(host, None)
            if len(self._resting) == MOST:  # names cost nothing to who has one
                del self._resting[next(iter(self._resting))]
            self._resting[host] = time.monotonic() + self._rest

    def _ask(self, host: str) -> None:
        self._asked[host] += 1
