"""An index as a copy of what a service keeps: compared with that, and given what it lacks."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from common.listings.audit import PASSING, PATIENCE, Audit, Copy, Kind, State
from search.domain import Document, Refused
from search.ports import Exports, Index


@dataclass(frozen=True)
class IndexCopy(Copy):
    """Applying the kept state mends what it lacks. An index forgets no version: the others take a new generation."""

    index: Index
    exports: Exports
    name: ClassVar[str] = "the index"
    mendable: ClassVar[frozenset[Kind]] = PASSING

    def scan(self) -> Iterator[tuple[str, State]]:
        return ((id, State(version)) for id, version in self.index.scan())

    def states(self, ids: Collection[str]) -> Mapping[str, State]:
        return {id: State(version) for id, version in self.index.versions(ids).items()}

    def mend(self, ids: Collection[str]) -> Mapping[str, str]:
        return mend(self.index, self.exports, ids)


def audit(index: Index, exports: Exports, patience: Sequence[float] = PATIENCE) -> Audit:
    """What compares the two."""
    return Audit(IndexCopy(index, exports), lambda ids: _states(exports(ids)), patience)


def mend(index: Index, exports: Exports, ids: Collection[str]) -> Mapping[str, str]:
    """Applies what is kept of these ids. Answers why, by id, where the index refuses it. Raises Unavailable."""
    documents = list(exports(ids))
    outcomes = index.apply(documents)
    return {
        document.id: outcome.detail for document, outcome in zip(documents, outcomes, strict=True) if isinstance(outcome, Refused)
    }


def _states(documents: Iterable[Document]) -> Iterator[tuple[str, State]]:
    for document in documents:
        yield document.id, State(document.version, document.deleted)
