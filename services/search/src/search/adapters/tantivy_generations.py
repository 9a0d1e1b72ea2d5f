"""Generations on Tantivy: folders `rooms-g1`, `rooms-g2` …, one of them named in the file `live`."""

import logging
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

from common.errors import Unavailable, WrongSetting
from search.adapters.tantivy import NEIGHBOUR, TantivyGeneration
from search.adapters.tantivy_live import FOLDER, folder_of, live_number, set_live, writing_lock
from search.domain import Document, Generation, Outcome, generation_name
from search.ports import Generations, Index

log = logging.getLogger(__name__)

#: Seconds for the process that writes to close its writer, which it does when it has nothing to do.
_LEAVES = 10.0


class TantivyGenerations(Generations):
    def __init__(self, url: str) -> None:
        """As TantivyIndex. Touches nothing yet."""
        self._folder = folder_of(url)
        self._holding = False

    def all(self) -> Sequence[Generation]:
        live = live_number(self._folder) or 1
        found = []
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if (match := FOLDER.fullmatch(path.name)) and path.is_dir():
                number = int(match[1])
                found.append(Generation(number, number == live, self._documents(number)))
        if not any(each.live for each in found):
            raise WrongSetting(
                "INDEX_URL", f"there is no {generation_name(live)} in {self._folder}; `search migrate` makes the first"
            )
        return sorted(found, key=lambda each: each.number)

    def make(self) -> int:
        number = 1 + max(each.number for each in self.all())
        TantivyGeneration(self._folder / generation_name(number), make=True).ensure(writing=False)
        return number

    def open(self, number: int) -> Index:
        folder = self._folder / generation_name(number)
        if number == (live_number(self._folder) or 1):
            return _Guest(folder)
        return TantivyGeneration(folder)

    def mark(self) -> int:
        return 0  # a scan of everything takes a second for some hundred thousand

    @contextmanager
    def hold(self, mark: int) -> Iterator[Iterable[tuple[str, int]]]:
        with _translated(), writing_lock(self._folder):
            live = TantivyGeneration(self._folder / generation_name(live_number(self._folder) or 1))
            self._holding = True
            try:
                yield live.scan() if _readable(live) else ()
            finally:
                self._holding = False

    def swap(self, number: int) -> None:
        if not self._holding:
            raise Unavailable(NEIGHBOUR, "its writers are not held")
        with _translated():
            set_live(self._folder, number)
        log.info("%s is live", generation_name(number))

    def remove(self, number: int) -> None:
        folder = self._folder / generation_name(number)
        gone = folder.with_name(f"{folder.name}.removed")
        with _translated():
            if folder.exists():
                shutil.rmtree(gone, ignore_errors=True)
                folder.replace(gone)  # first out of the way: who still merges segments in it makes no new files
            shutil.rmtree(gone, ignore_errors=True)

    def tidy(self) -> None:
        with _translated():
            for path in self._folder.glob("rooms-g*.removed"):
                shutil.rmtree(path, ignore_errors=True)

    def _documents(self, number: int) -> int:
        try:
            return TantivyGeneration(self._folder / generation_name(number)).documents()
        except WrongSetting:
            return 0  # half made, or by a release with other fields


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

    def apply(self, documents: Sequence[Document]) -> Sequence[Outcome]:
        with self._writer_lent():
            return super().apply(documents)

    def record_progress(self, source: str, as_of: datetime) -> Outcome:
        with self._writer_lent():
            return super().record_progress(source, as_of)

    @contextmanager
    def _writer_lent(self) -> Iterator[None]:
        with _translated(), writing_lock(self.folder.parent):
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
