"""How often somebody may ask: a sliding window in the memory of one process, so that N processes together allow N times as much."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from limits import RateLimitItemPerMinute
from limits.storage import SlidingWindowCounterSupport, Storage
from limits.strategies import SlidingWindowCounterRateLimiter

MAX_KEPT = 50_000  # who comes beyond that makes us forget those who have been silent longest
_ROUNDING = 1e-6


class RateLimit:
    """At most `per_minute` requests of each. May be used from several threads."""

    def __init__(self, per_minute: int, *, kept: int = MAX_KEPT, clock: Callable[[], float] = time.time) -> None:
        self._item = RateLimitItemPerMinute(per_minute)
        self._storage = BoundedStorage(kept, clock)
        self._limiter = SlidingWindowCounterRateLimiter(self._storage)

    def wait(self, who: str) -> int:
        """0 when this request of `who` is within the limit, and it is counted; else after how many seconds one will be."""
        if self._limiter.hit(self._item, who):
            return 0
        return self._storage.seconds_until_free(self._item.key_for(who), self._item.amount, self._item.get_expiry())


class BoundedStorage(Storage, SlidingWindowCounterSupport):
    """Two counters for each of the last `kept` keys. (The library's own in memory has no bound, and starts a thread for each sweep.)"""

    STORAGE_SCHEME = ["bounded"]  # noqa: RUF012 - the library's own type

    def __init__(self, kept: int = MAX_KEPT, clock: Callable[[], float] = time.time) -> None:
        super().__init__()
        self._kept, self._clock = kept, clock
        self._lock = threading.Lock()
        # By key: the number of its last window, what was counted in it, and in the one before.
        self._counts: OrderedDict[str, tuple[int, int, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._counts)

    def acquire_sliding_window_entry(self, key: str, limit: int, expiry: int, amount: int = 1) -> bool:
        with self._lock:
            now = self._clock()
            window, current, previous = self._at(key, expiry, now)
            weighted = previous * (1 - now / expiry % 1) + current
            if allowed := weighted + amount <= limit + _ROUNDING:
                current += amount
            self._counts[key] = window, current, previous
            self._counts.move_to_end(key)
            if len(self._counts) > self._kept:
                self._counts.popitem(last=False)
            return allowed

    def get_sliding_window(self, key: str, expiry: int) -> tuple[int, float, int, float]:
        with self._lock:
            now = self._clock()
            _, current, previous = self._at(key, expiry, now)
            left = expiry - now % expiry
            return previous, left, current, left + expiry

    def seconds_until_free(self, key: str, limit: int, expiry: int) -> int:
        """When the weighted count will have sunk by enough for one more; at least 1."""
        previous, left, current, _ = self.get_sliding_window(key, expiry)
        room = limit - 1 - current
        # Within this window what the one before weighs goes down to nothing; in the next, what this one weighs begins to.
        wait = left - expiry * room / previous if room >= 0 and previous else left + expiry * (1 - (limit - 1) / max(current, 1))
        return max(1, math.ceil(wait))

    def clear_sliding_window(self, key: str, expiry: int) -> None:
        self.clear(key)

    def _at(self, key: str, expiry: int, now: float) -> tuple[int, int, int]:
        window = int(now // expiry)
        of, current, previous = self._counts.get(key, (window, 0, 0))
        return (window, current, previous) if of == window else (window, 0, current if of == window - 1 else 0)

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        raise NotImplementedError("sliding windows only")

    def get(self, key: str) -> int:
        return self._counts.get(key, (0, 0, 0))[1]

    def get_expiry(self, key: str) -> float:
        raise NotImplementedError("sliding windows only")

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        with self._lock:
            count = len(self._counts)
            self._counts.clear()
            return count

    def clear(self, key: str) -> None:
        with self._lock:
            self._counts.pop(key, None)
