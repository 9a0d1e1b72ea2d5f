"""The ledger: what writers were promised, and the comparison of that with what rooms and search show in the end."""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Room = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """What a listing may be: its version, or gone with that version; `room` as the API answered it, where it did."""

    version: int
    deleted: bool = False
    room: Room | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """Each list names listings, with what is wrong. `acknowledged` listings have a last state that was answered; so many are `found`."""

    acknowledged: int
    found: int
    undecided: int
    lost: Sequence[str]
    phantom: Sequence[str]
    resurrected: Sequence[str]
    duplicated: Sequence[str]

    @property
    def faults(self) -> Sequence[str]:
        named = {"lost": self.lost, "phantom": self.phantom, "resurrected": self.resurrected, "duplicated": self.duplicated}
        return [f"{kind}: {each}" for kind, faults in named.items() for each in faults]

    @property
    def sound(self) -> bool:
        return not self.faults and self.found == self.acknowledged


@dataclass(slots=True)
class Ledger:
    """Safe to share between threads, provided that each listing is written by one at a time.

    A request that got no answer, or 5xx, is undecided: it happened or it did not, and nobody may write to that listing any more.
    """

    writes: int = 0  # acknowledged
    refused: Counter[int] = field(default_factory=Counter)  # by status; 0 without an answer
    surprises: list[str] = field(default_factory=list)  # answers that are never right
    _states: dict[str, tuple[State, ...]] = field(default_factory=dict)  # by id: one, or two when undecided
    _unsure: set[str] = field(default_factory=set)  # urls: may have been published
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def acknowledged(self, id: str, state: State) -> None:
        with self._lock:
            self.writes += 1
            self._states[id] = (state,)

    def published(self, id: str, url: str, state: State) -> None:
        """The listing at this url, whether or not an earlier attempt got no answer."""
        self.acknowledged(id, state)
        with self._lock:
            self._unsure.discard(url)

    def undecided(self, id: str, after: State) -> None:
        with self._lock:
            self._states[id] = (*self._states[id], after)

    def maybe_published(self, url: str) -> None:
        with self._lock:
            self._unsure.add(url)

    def refuse(self, status: int) -> None:
        with self._lock:
            self.refused[status] += 1

    def surprise(self, what: str) -> None:
        with self._lock:
            self.surprises.append(what)

    def versions(self) -> dict[str, int]:
        """id → version of the living that are not undecided."""
        with self._lock:
            return {id: states[0].version for id, states in self._states.items() if len(states) == 1 and not states[0].deleted}

    def compare(self, stored: Iterable[Room], found: Iterable[Room]) -> Verdict:
        """`stored` are all living rooms as rooms shows them, `found` all that search finds, as they come from page after page."""
        stored, found = list(stored), list(found)
        with self._lock:
            states, unsure = dict(self._states), set(self._unsure)
        database, index = {room["id"]: room for room in stored}, {room["id"]: room for room in found}
        lost: list[str] = []
        phantom: list[str] = []
        resurrected: list[str] = []
        right: set[str] = set()
        for id, possible in states.items():
            room, hit = database.get(id), index.get(id)
            may_be_gone = any(state.deleted for state in possible)
            if room is None and not may_be_gone:
                lost.append(f"{id}: version {possible[0].version} is not in the database")
            elif room is None and hit is not None:
                resurrected.append(f"{id}: deleted, yet search finds version {hit['version']}")
            elif room is not None and all(state.deleted for state in possible):
                resurrected.append(f"{id}: deleted, yet in the database with version {room['version']}")
            elif room is not None and not any(_shows(room, state) for state in possible):
                lost.append(f"{id}: the database has version {room['version']}, not {_words(possible)}")
            elif (fault := _disagreement(room, hit)) is not None:
                (phantom if room is not None and not room["is_visible"] else lost).append(f"{id}: {fault}")
            else:
                right.add(id)
        for id, room in database.items():
            if id not in states and room["url"] not in unsure:
                phantom.append(f"{id}: {room['url']} was never published")
            elif id not in states and (fault := _disagreement(room, index.get(id))) is not None:
                lost.append(f"{id}: {fault}")
        phantom += [f"{id}: search finds it, nobody else knows it" for id in index if id not in database and id not in states]
        certain = {id for id, possible in states.items() if len(possible) == 1}
        return Verdict(
            acknowledged=len(certain),
            found=len(certain & right),
            undecided=len(states) - len(certain) + len(unsure),
            lost=lost,
            phantom=phantom,
            resurrected=resurrected,
            duplicated=[*_twice(stored, "id"), *_twice(stored, "url"), *_twice(found, "id"), *_twice(found, "url")],
        )


def _shows(room: Room, state: State) -> bool:
    return not state.deleted and room["version"] == state.version and (state.room is None or room == state.room)


def _disagreement(room: Room | None, hit: Room | None) -> str | None:
    """What search shows that it must not, or does not show; None where it agrees with the database."""
    if room is None or not room["is_visible"]:
        return None if hit is None else f"hidden or gone, yet search finds version {hit['version']}"
    if hit is None:
        return f"search does not find version {room['version']}"
    return None if hit == room else f"search shows version {hit['version']}, not {room['version']} as it is in the database"


def _words(states: Sequence[State]) -> str:
    return " or ".join(f"{state.version}{' (gone)' if state.deleted else ''}" for state in states)


def _twice(rooms: Iterable[Room], field: str) -> list[str]:
    return [f"{value} is there {times} times" for value, times in Counter(room[field] for room in rooms).items() if times > 1]
