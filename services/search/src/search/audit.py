"""Whether the index has what the service keeps, id by id and version by version; and mending what it lacks."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import TypeVar

from common.errors import Unavailable
from search.domain import Document, Refused
from search.ports import Exports, Index

T = TypeVar("T")

#: Seconds between looks at what differs: an event that is on its way arrives within a second or two.
PATIENCE = (0.1, 0.4, 1.0, 2.5)
#: What differs at first sight is looked at again in so large portions, asked for in so large ones.
_SUSPECTS, _PORTION = 10_000, 200
#: Between two reports of progress.
_REPORT = 500


class Kind(StrEnum):
    """How the index differs from what is kept."""

    MISSING = "missing"  # it has nothing of this id
    BEHIND = "behind"  # it has an older version
    ALIVE = "deleted, but alive"  # an older version of what is deleted
    AHEAD = "ahead"  # it has a version that there has never been
    PHANTOM = "phantom"  # nothing is kept of this id


#: What applying the kept state mends. Versions only grow: the others take a new generation.
MENDABLE = frozenset({Kind.MISSING, Kind.BEHIND, Kind.ALIVE})


@dataclass(frozen=True, slots=True)
class Difference:
    """`kept` and `indexed` are versions, None where there is none; `refused` says why the index does not take what it lacks."""

    id: str
    kind: Kind
    kept: int | None
    indexed: int | None
    mended: bool = False
    refused: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What an id was at first sight: the version kept then is what the index has to reach."""

    id: str
    version: int | None


@dataclass(frozen=True)
class Audit:
    """Compares while writes go on: what differs is looked at again after each of `patience` seconds, and told only if it still does.

    Raises Unavailable when one of the two sides does.
    """

    index: Index
    exports: Exports
    patience: Sequence[float] = PATIENCE
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, *, mend: bool = False, report: Callable[[int], None] = lambda _: None) -> Iterator[Difference]:
        """The differences, found while they are asked for, in bounded memory; `report` is told how many ids were compared so far.

        With `mend` what the index lacks is applied to it.
        """
        for suspects in batches(self._at_first_sight(report), _SUSPECTS):
            differences = self._looked_at_again(suspects)
            yield from self._mended(differences) if mend else differences

    def _at_first_sight(self, report: Callable[[int], None]) -> Iterator[_Seen]:
        compared = 0
        indexed, kept = _ordered(self.index.scan(), "the index"), _ordered(_versions(self.exports()), "the export")
        here, there = next(indexed, None), next(kept, None)
        while here is not None or there is not None:
            compared += 1
            if compared % _REPORT == 0:
                report(compared)
            if here is not None and (there is None or here[0] < there[0]):
                yield _Seen(here[0], None)
                here = next(indexed, None)
            elif there is not None and (here is None or there[0] < here[0]):
                yield _Seen(*there)
                there = next(kept, None)
            else:
                if there is not None and here != there:
                    yield _Seen(*there)
                here, there = next(indexed, None), next(kept, None)
        report(compared)

    def _looked_at_again(self, suspects: Iterable[_Seen]) -> list[Difference]:
        wanted = {seen.id: seen.version for seen in suspects}
        found: dict[str, Difference] = {}
        for pause in (0.0, *self.patience):
            if found and all(each.kind not in MENDABLE for each in found.values()):
                break  # those do not change by waiting
            self.sleep(pause)
            found = {}
            for ids in batches(wanted, _PORTION):
                for each in self._compared(ids, wanted):
                    found[each.id] = each
            wanted = {id: wanted[id] for id in found}
            if not found:
                break
        return list(found.values())

    def _compared(self, ids: Collection[str], wanted: dict[str, int | None]) -> Iterator[Difference]:
        indexed = self.index.versions(ids)  # first: what comes later cannot be behind it
        kept = {document.id: document for document in self.exports(ids)}
        for id in ids:
            here, there = indexed.get(id), kept.get(id)
            if there is not None and wanted[id] is None:
                wanted[id] = there.version  # it was not there at first sight
            kind = _kind(here, there, wanted[id])
            if kind is not None:
                yield Difference(id, kind, None if there is None else there.version, here)

    def _mended(self, differences: Sequence[Difference]) -> Iterator[Difference]:
        refused: dict[str, str] = {}
        mendable = [each.id for each in differences if each.kind in MENDABLE]
        for ids in batches(mendable, _PORTION):
            refused |= mend(self.index, self.exports, ids)
        for each in differences:
            reason = refused.get(each.id, "")
            yield replace(each, mended=each.kind in MENDABLE and not reason, refused=reason)


def mend(index: Index, exports: Exports, ids: Collection[str]) -> Mapping[str, str]:
    """Applies what is kept of these ids. Answers why, by id, where the index refuses it. Raises Unavailable."""
    documents = list(exports(ids))
    outcomes = index.apply(documents)
    return {
        document.id: outcome.detail for document, outcome in zip(documents, outcomes, strict=True) if isinstance(outcome, Refused)
    }


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """In portions of `size`, the last one smaller."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _kind(here: int | None, there: Document | None, wanted: int | None) -> Kind | None:
    """None where the index has all that was kept at first sight."""
    if there is None:
        return None if here is None else Kind.PHANTOM
    if here is None:
        return Kind.MISSING
    if here > there.version:
        return Kind.AHEAD
    if wanted is not None and here < wanted:
        return Kind.ALIVE if there.deleted else Kind.BEHIND
    return None


def _versions(documents: Iterable[Document]) -> Iterator[tuple[str, int]]:
    for document in documents:
        yield document.id, document.version


def _ordered(entries: Iterator[tuple[str, int]], whose: str) -> Iterator[tuple[str, int]]:
    """A merge of what is not in order would see differences everywhere."""
    last = ""
    for entry in entries:
        if entry[0] <= last:
            raise Unavailable(whose, f"it is not ordered by id: {entry[0][:40]} comes after {last[:40]}")
        last = entry[0]
        yield entry
