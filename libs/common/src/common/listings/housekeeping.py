"""Housekeeping: what is kept for a while only, forgotten when that is over."""

import logging
import threading
from dataclasses import dataclass
from datetime import timedelta

from common.errors import Unavailable
from common.listings.ports import Clock, Listings

log = logging.getLogger(__name__)

#: How long a creation that is sent again with its idempotency key is still the same one.
REMEMBERED = timedelta(hours=24)
#: Seconds between two rounds; until the next one where the database was away.
EVERY, AGAIN = 600.0, 30.0


@dataclass(frozen=True)
class Housekeeping:
    """Forgets idempotency keys a day after they came. Any number may do it at a time."""

    listings: Listings
    clock: Clock

    def __call__(self) -> int:
        """Answers how many keys were forgotten. Raises Unavailable."""
        return self.listings.forget_keys(self.clock.now() - REMEMBERED)

    def run(self, stop: threading.Event) -> None:
        """A worker: a round now, and then again and again."""
        while not stop.is_set():
            pause = EVERY
            try:
                if forgotten := self():
                    log.info("forgot %d idempotency keys", forgotten)
            except Unavailable as error:
                log.warning("housekeeping is put off: %s", error)
                pause = AGAIN
            stop.wait(pause)
