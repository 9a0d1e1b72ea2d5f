"""The worker: takes images that are due, fetches them, and keeps copies, or records why there will be none.

Any number of workers may run. Whatever ends one, another takes what it held once the lease is over, and does it once more.
"""

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from common.backoff import Backoff
from common.db.doorbell import Doorbell
from common.errors import Unavailable
from common.failpoints import failpoint
from common.images.connection import Stopped
from common.images.darkroom import Darkroom
from common.images.fetch import Fetcher
from common.images.hosts import Hosts
from common.images.names import picture_name, thumbnail_name
from common.images.reasons import NotAvailable
from common.images.store import Store
from common.images.table import Images, Taken
from common.observability.logs import Trouble
from common.observability.metrics import FetchedImages, Metrics

log = logging.getLogger(__name__)

#: Seconds: between two looks of one that hears no doorbell; for what is under way, once we are told to stop.
LOOK, END = 1.0, 5.0
#: Seconds after the first, second … answer that was no image, each shortened by up to a half; after the last of them it has failed.
DELAYS = (30.0, 120.0, 480.0, 1920.0, 7680.0)
#: How often an image is taken of which nobody says what became of it: its taker may die of it.
TAKEN = 20

_random = random.SystemRandom()


@dataclass
class ImageWorker:
    """`run` is a worker of `common.process`. While database or store are away it waits; no image fails for that."""

    images: Images
    store: Store
    doorbell: Doorbell  # its own: one thread may wait at one
    fetcher: Fetcher = field(default_factory=Fetcher)
    threads: int = 8
    darkroom: Darkroom = field(default_factory=Darkroom)
    hosts: Hosts = field(default_factory=Hosts)
    delays: tuple[float, ...] = DELAYS
    look: float = LOOK
    metrics: FetchedImages = field(default_factory=lambda: FetchedImages(Metrics("images")))

    def run(self, stop: threading.Event) -> None:
        """Until `stop` is set; what is under way then is given back."""
        news, troubles = threading.Event(), Trouble(log)
        threads = [
            threading.Thread(target=self._work, args=(stop, news, troubles), name=f"images-{number}", daemon=True)
            for number in range(self.threads)
        ]
        for thread in threads:
            thread.start()
        try:
            self._watch(stop, news, troubles)
        finally:
            deadline = time.monotonic() + END
            for thread in threads:
                thread.join(max(0.0, deadline - time.monotonic()))
            self.darkroom.close()
            if stop.is_set():  # else this is started anew, with the same doorbell
                self.doorbell.close()

    def _watch(self, stop: threading.Event, news: threading.Event, troubles: Trouble) -> None:
        """Wakes those who have nothing to do whenever something is due."""
        while not stop.is_set():
            try:
                if self.images.due(self.hosts.busy()):
                    news.set()
                self.doorbell.wait(self.look)
            except Unavailable as error:
                troubles.warn(f"images wait: {error}")
                stop.wait(self.look)

    def _work(self, stop: threading.Event, news: threading.Event, troubles: Trouble) -> None:
        backoff = Backoff()
        while not stop.is_set():
            try:
                news.clear()
                taken = self._take()
                if taken is None:
                    while not stop.is_set() and not news.wait(self.look):
                        pass
                    continue
                self._handle(taken, stop)
                backoff.reset()
                troubles.over()
            except Unavailable as error:
                troubles.warn(f"images wait: {error}")
                stop.wait(backoff.pause())
            except Exception:
                # A fault of ours, in the hands of which its lease leaves the image; others go on.
                log.exception("an image could not be handled")
                stop.wait(backoff.pause())

    def _take(self) -> Taken | None:
        with self.hosts.choosing() as (busy, ask):
            taken = self.images.take(busy)
            if taken is not None:
                ask(taken.host)
            return taken

    def _handle(self, taken: Taken, stop: threading.Event) -> None:
        settle: Callable[[], bool]
        try:
            failpoint("images.taken")
            settle, outcome = self._settled(taken, stop)
        except Stopped:
            settle, outcome = (lambda: self.images.give_back(taken)), ""
        except Unavailable:
            self._say(lambda: self.images.give_back(taken), stop)
            raise
        finally:
            self.hosts.answered(taken.host)
        if self._say(settle, stop) and outcome:
            failpoint("images.settled")
            self.metrics.count(outcome)

    def _settled(self, taken: Taken, stop: threading.Event) -> tuple[Callable[[], bool], str]:
        """How to record what became of it, and the word for that."""
        try:
            if taken.taken > TAKEN:
                raise NotAvailable("given-up")
            data = self.fetcher(taken.url, stop)
            failpoint("images.fetched")
            made = self.darkroom(data)
        except NotAvailable as error:
            if error.reason in ("too-slow", "unreachable"):
                self.hosts.silent(taken.host)
            log.info("image not available", extra={"image": taken.key, "reason": error.reason, "attempts": taken.attempts + 1})
            reason, sentence = error.reason, error.sentence
            if error.passing and taken.attempts < len(self.delays):
                delay = self.delays[taken.attempts] * _random.uniform(0.5, 1.0)
                return (lambda: self.images.again(taken, reason, sentence, delay)), "again"
            return (lambda: self.images.failed(taken, reason, sentence)), "failed"
        self._keep(taken, thumbnail_name(taken.key), made.thumbnail, stop)
        self._keep(taken, picture_name(taken.key), made.picture, stop)
        failpoint("images.kept")
        return (lambda: self.images.stored(taken, made.width, made.height, len(made.picture))), "stored"

    def _say(self, settle: Callable[[], bool], stop: threading.Event) -> bool:
        """Records it, however long the database is away; when we stop before, the lease ends by itself."""
        backoff = Backoff()
        while True:
            try:
                return settle()
            except Unavailable:
                if stop.wait(backoff.pause()):
                    return False

    def _keep(self, taken: Taken, name: str, data: bytes, stop: threading.Event) -> None:
        """Raises Unavailable where the store did not take it, but not before it does: whoever was asked for an image must not be asked
        again and again for nothing. The image is given back at once, as its lease would not last.
        """
        try:
            self.store.put(name, data)
        except Unavailable:
            self._say(lambda: self.images.give_back(taken), stop)
            backoff = Backoff()
            while not stop.wait(backoff.pause()):
                with contextlib.suppress(Unavailable):
                    self.store.put(name, data)
                    break
            raise
