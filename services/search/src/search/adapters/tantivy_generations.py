"""Generations on Tantivy: folders `rooms-g1`, `rooms-g2` …, one of them named in the file `live`; the same for each kind."""

import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from common.errors import Unavailable, WrongSetting
from search.adapters.tantivy import TantivyGeneration
from search.adapters.tantivy_place import NEIGHBOUR, Place
from search.domain import Document, Generation, Outcome
from search.kinds import Kind
from search.ports import Generations, Index

log = logging.getLogger(__name__)

#: Seconds for the process that writes to close its writer, which it does when it has nothing to do.
_LEAVES = 10.0


class TantivyGenerations(Generations):
    def __init__(self, url: str, kind: Kind) -> None:
        """As TantivyIndex. Touches nothing yet."""
        self._kind, self._place = kind, Place.of(url, kind)
        self._holding = False

    def all(self) -> Sequence[Generation]:
        live = self._place.live() or 1
        found = [Generation(number, number == live, self._documents(number)) for number in self._place.generations()]
        if not any(each.live for each in found):
            missing = self._kind.generation(live)
            raise WrongSetting("INDEX_URL", f"there is no {missing} in {self._place.folder}; `search migrate` makes the first")
        return sorted(found, key=lambda each: each.number)

    def make(self) -> int:
        number = 1 + max(each.number for each in self.all())
        self._open(number, make=True).ensure(writing=False)
        return number

    def open(self, number: int) -> Index:
        if number == (self._place.live() or 1):
            return _Guest(self._place)
        return self._open(number)

    def mark(self) -> int:
        return 0  # a scan of everything takes a second for some hundred thousand

    @contextmanager
    def hold(self, mark: int) -> Iterator[Iterable[tuple[str, int]]]:
        with _translated(), self._place.writing():
            live = self._open(self._place.live() or 1)
            self._holding = True
            try:
                yield live.scan() if _readable(live) else ()
            finally:
                self._holding = False

    def swap(self, number: int) -> None:
        if not self._holding:
            raise Unavailable(NEIGHBOUR, "its writers are not held")
        with _translated():
            self._place.set_live(number)
        log.info("%s is live", self._kind.generation(number))

    def remove(self, number: int) -> None:
        folder = self._place.generation(number)
        gone = folder.with_name(f"{folder.name}.removed")
        with _translated():
            if folder.exists():
                shutil.rmtree(gone, ignore_errors=True)
                folder.replace(gone)  # first out of the way: who still merges segments in it makes no new files
            shutil.rmtree(gone, ignore_errors=True)

    def tidy(self) -> None:
        with _translated():
            for path in self._place.folder.glob(f"{self._kind}-g*.removed"):
                shutil.rmtree(path, ignore_errors=True)

    def _documents(self, number: int) -> int:
        try:
            return self._open(number).documents()
        except WrongSetting:
            return 0  # half made, or by a release with other fields

    def _open(self, number: int, *, make: bool = False) -> TantivyGeneration:
        return TantivyGeneration(self._place.generation(number), self._kind, make=make)


def _readable(live: TantivyGeneration) -> bool:
    """Not where it is damaged, or of a release with other fields: then nobody has found anything in it either."""
    try:
        live.ping()
    except WrongSetting as error:
        log.warning("nothing is compared with the live generation: %s", error.reason)
        return False
    return True


class _Guest(TantivyGeneration):
    """The live generation, written between two batches of the process whose business that is."""

    def __init__(self, place: Place) -> None:
        super().__init__(place.generation(place.live() or 1), place.kind)
        self._place = place

    def apply(self, documents: Sequence[Document]) -> Sequence[Outcome]:
        with self._writer_lent():
            return super().apply(documents)

    def record_progress(self, source: str, as_of: datetime) -> Outcome:
        with self._writer_lent():
            return super().record_progress(source, as_of)

    @contextmanager
    def _writer_lent(self) -> Iterator[None]:
        with _translated(), self._place.writing():
            deadline = time.monotonic() + _LEAVES
            while True:
                try:
                    super().ensure(writing=True)
                    break
                except WrongSetting as error:
                    if time.monotonic() > deadline:
                        raise Unavailable(NEIGHBOUR, error.reason) from error
                time.sleep(0.05)
            try:
                yield
            finally:
                self.close()


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable(NEIGHBOUR, str(error)) from error
