"""Whether a copy of listings has what their service keeps, id by id and version by version; and mending what differs.

A copy is what another service has learnt by events: an index, or a projection.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from itertools import islice
from typing import ClassVar, TypeVar

from common.errors import Unavailable

T = TypeVar("T")

#: Seconds between looks at what differs: an event that is on its way arrives within a second or two.
PATIENCE = (0.1, 0.4, 1.0, 2.5)
#: What differs at first sight is looked at again in so large portions, asked for in so large ones.
_SUSPECTS, _PORTION = 10_000, 200
#: Between two reports of progress.
_REPORT = 500


class Kind(StrEnum):
    """How the copy differs from what is kept."""

    MISSING = "missing"  # it has nothing of this id
    BEHIND = "behind"  # it has an older version
    ALIVE = "deleted, but alive"  # an older version of what is deleted
    AHEAD = "ahead"  # it has a version that there has never been
    OTHER = "other"  # it has this version, and that says something else
    PHANTOM = "phantom"  # nothing is kept of this id
    STRAY = "stray"  # neither side has anything of this id, but a listing refers to it


#: What an event that is on its way may still mend. Versions only grow: the others do not change by waiting.
PASSING = frozenset({Kind.MISSING, Kind.BEHIND, Kind.ALIVE})


@dataclass(frozen=True, slots=True)
class State:
    """What one side has of an id; `said` is what must be equal where versions are."""

    version: int
    deleted: bool = False
    said: object = None


@dataclass(frozen=True, slots=True)
class Difference:
    """`kept` and `copied` are versions, None where there is none; `refused` says why the copy does not take what it lacks."""

    id: str
    kind: Kind
    kept: int | None
    copied: int | None
    mended: bool = False
    refused: str = ""


#: What the service keeps: all of it, or what is kept of these ids, tombstones too, ordered by id; streamed. Raises Unavailable.
Kept = Callable[[Collection[str] | None], Iterator[tuple[str, State]]]


class Copy(ABC):
    """What was learnt of listings. All methods raise Unavailable. `name` is for messages; `mendable` says what `mend` can do."""

    name: ClassVar[str]
    mendable: ClassVar[frozenset[Kind]]

    @abstractmethod
    def scan(self) -> Iterator[tuple[str, State]]:
        """All there is, ordered by id, in bounded memory."""

    @abstractmethod
    def states(self, ids: Collection[str]) -> Mapping[str, State]:
        """Of each of these ids that is there."""

    @abstractmethod
    def mend(self, ids: Collection[str]) -> Mapping[str, str]:
        """Brings these to what is kept of them by now. Answers why, by id, where that is refused."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What an id was at first sight: the version kept then is what the copy has to reach."""

    id: str
    version: int | None


@dataclass(frozen=True)
class Audit:
    """Compares while writes go on: what differs is looked at again after each of `patience` seconds, and told only if it still does.

    Raises Unavailable when one of the two sides does.
    """

    copy: Copy
    kept: Kept
    patience: Sequence[float] = PATIENCE
    sleep: Callable[[float], None] = time.sleep

    def __call__(self, *, mend: bool = False, report: Callable[[int], None] = lambda _: None) -> Iterator[Difference]:
        """The differences, found while they are asked for, in bounded memory; `report` is told how many ids were compared so far.

        With `mend` the copy is brought to what is kept where it can be.
        """
        for suspects in batches(self._at_first_sight(report), _SUSPECTS):
            differences = self._looked_at_again(suspects)
            yield from self._mended(differences) if mend else differences

    def _at_first_sight(self, report: Callable[[int], None]) -> Iterator[_Seen]:
        compared = 0
        copied, kept = _ordered(self.copy.scan(), self.copy.name), _ordered(self.kept(None), "the export")
        here, there = next(copied, None), next(kept, None)
        while here is not None or there is not None:
            compared += 1
            if compared % _REPORT == 0:
                report(compared)
            id = min(each[0] for each in (here, there) if each is not None)
            has = here[1] if here is not None and here[0] == id else None
            wants = there[1] if there is not None and there[0] == id else None
            version = None if wants is None else wants.version
            if _kind(has, wants, version) is not None:
                yield _Seen(id, version)
            if has is not None:
                here = next(copied, None)
            if wants is not None:
                there = next(kept, None)
        report(compared)

    def _looked_at_again(self, suspects: Iterable[_Seen]) -> list[Difference]:
        wanted = {seen.id: seen.version for seen in suspects}
        found: dict[str, Difference] = {}
        for pause in (0.0, *self.patience):
            if found and all(each.kind not in PASSING for each in found.values()):
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
        copied = self.copy.states(ids)  # first: what comes later cannot be behind it
        kept = dict(self.kept(ids))
        for id in ids:
            here, there = copied.get(id), kept.get(id)
            if there is not None and wanted[id] is None:
                wanted[id] = there.version  # it was not there at first sight
            kind = _kind(here, there, wanted[id])
            if kind is not None:
                yield Difference(id, kind, None if there is None else there.version, None if here is None else here.version)

    def _mended(self, differences: Sequence[Difference]) -> Iterator[Difference]:
        refused: dict[str, str] = {}
        mendable = self.copy.mendable
        for ids in batches((each.id for each in differences if each.kind in mendable), _PORTION):
            refused |= self.copy.mend(ids)
        for each in differences:
            reason = refused.get(each.id, "")
            yield replace(each, mended=each.kind in mendable and not reason, refused=reason)


def batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """In portions of `size`, the last one smaller."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _kind(here: State | None, there: State | None, wanted: int | None) -> Kind | None:
    """None where the copy has all that was kept at first sight."""
    if there is None:
        return None if here is None or here.deleted else Kind.PHANTOM
    if here is None:
        return Kind.MISSING
    if here.version > there.version:
        return Kind.AHEAD
    if wanted is not None and here.version < wanted:
        return Kind.ALIVE if there.deleted and not here.deleted else Kind.BEHIND
    return Kind.OTHER if here.version == there.version and here.said != there.said else None


def _ordered(entries: Iterator[tuple[str, State]], whose: str) -> Iterator[tuple[str, State]]:
    """A merge of what is not in order would see differences everywhere."""
    last = ""
    for entry in entries:
        if entry[0] <= last:
            raise Unavailable(whose, f"it is not ordered by id: {entry[0][:40]} comes after {last[:40]}")
        last = entry[0]
        yield entry
