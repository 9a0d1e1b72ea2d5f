"""Growing pauses between attempts, each a little different, so that those who wait for one neighbour do not come back as one."""

import random

# Not the global generator: its state is anybody's.
_random = random.SystemRandom()


class Backoff:
    """Pauses in seconds: from `shortest`, doubling up to `longest`, each shortened by up to a half."""

    def __init__(self, shortest: float = 0.1, longest: float = 5.0) -> None:
        self._shortest, self._longest = shortest, longest
        self._next = shortest

    def pause(self) -> float:
        """How long to wait now; the next pause is longer."""
        pause = self._next * _random.uniform(0.5, 1.0)
        self._next = min(2 * self._next, self._longest)
        return pause

    def reset(self) -> None:
        """It worked: begin anew with the shortest pause."""
        self._next = self._shortest
