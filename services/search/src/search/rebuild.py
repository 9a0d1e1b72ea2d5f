"""Building the next generation of the index beside the live one, and taking it over without anybody seeing it half done.

The order is what makes it right (docs/adr/0010 and 0014): the backlog begins before the export is read, so each change is in one of the
two. What the live generation had before `mark` is in the export that the audit reads after it; what it was given since is compared
while its writers are held. So the next one has all that searches have shown when it takes over, and what follows goes to it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, field
from enum import StrEnum

from common.errors import AtriumError, Unavailable, WrongSetting
from common.listings.audit import Difference, batches
from search.audit import audit, mend
from search.domain import Generation, Outcome, Refused
from search.kinds import Kind
from search.ports import Backlog, Exports, Generations, Index

log = logging.getLogger(__name__)

#: Documents that are applied together; so few events may wait in the backlog when the audit begins.
BATCH = 1000
#: Ids that are asked for together while writers are held.
_PORTION = 200
#: Differences that a result lists; it counts all.
_LISTED = 1000


class Step(StrEnum):
    TIDY = "tidying up"
    MAKE = "making the next generation"
    BIND = "keeping what is published from now on"
    LOAD = "loading what is kept"
    DRAIN = "applying what was published meanwhile"
    AUDIT = "comparing with what is kept"
    HOLD = "holding writers"
    SWAP = "taking over"
    HAND_OVER = "handing over what was kept"
    REMOVE = "removing what is not needed any more"


#: Told how far a step is: done, of so many if that is known. The first is told before anything of the step has happened.
Tell = Callable[[Step, int, int | None], None]


@dataclass(eq=False)
class NothingOlder(AtriumError):
    """There is no older generation to go back to: only `rebuild --keep` leaves one."""


@dataclass(eq=False)
class TooFew(AtriumError):
    """The next generation refuses what the live one has."""

    refused: dict[str, str]

    def __str__(self) -> str:
        id, reason = next(iter(self.refused.items()))
        return f"the live generation stays: the next one refuses {len(self.refused)} that it has, as {id}: {reason}"


@dataclass(slots=True)
class Result:
    """`live` was taken over from `before`; `left` are differences that could not be mended, the first of `left_count`."""

    live: int = 0
    before: int = 0
    loaded: int = 0
    left: list[Difference] = field(default_factory=list)
    left_count: int = 0


@dataclass(frozen=True)
class Rebuild:
    """One at a time, whoever runs it sees to that; `check` raises when it no longer is. Whatever ends it, it can be run again.

    Raises Unavailable and TooFew: the live generation is still the one it was, and what was begun is gone, or goes the next time.
    """

    kind: Kind
    generations: Generations
    exports: Exports
    backlog: Backlog
    tell: Tell
    check: Callable[[], None] = lambda: None
    sleep: Callable[[float], None] = time.sleep

    def forward(self, *, keep: bool) -> Result:
        """Makes, fills and takes over the next generation. With `keep` the one before stays, for `back`."""
        live = self._tidied()
        result = Result(before=live.number)
        self.tell(Step.MAKE, 0, None)
        result.live = self.generations.make()
        try:
            self.tell(Step.BIND, 0, None)
            self.backlog.begin(result.live)
            with closing(self.generations.open(result.live)) as index:
                self._load(index, live.documents, result)
                with self.backlog.draining(result.live, index):
                    self._drain(result.live)
                    mark = self.generations.mark()
                    self._compare(index, result)
                self._take_over(index, mark, result)
        except BaseException:
            self._abandon(result.live)
            raise
        self._finish(result, keep=keep)
        return result

    def back(self, *, keep: bool) -> Result:
        """Brings the generation that was live before up to date, and takes it over. Raises NothingOlder."""
        live = self._tidied()
        older = [each for each in self.generations.all() if each.number < live.number]
        if not older:
            raise NothingOlder
        result = Result(before=live.number, live=older[-1].number)
        with closing(self.generations.open(result.live)) as index:
            mark = self.generations.mark()
            self._compare(index, result)
            self._take_over(index, mark, result)
        self._finish(result, keep=keep)
        return result

    def _tidied(self) -> Generation:
        """The live generation, once what an earlier run left is out of the way."""
        self.tell(Step.TIDY, 0, None)
        self.generations.tidy()
        everything = self.generations.all()
        (live,) = (each for each in everything if each.live)
        self.backlog.end(live.number, forget=False)  # of a run that died after it had taken over
        for each in everything:
            if each.number > live.number:
                self._forget(each.number)
        return live

    def _load(self, index: Index, expected: int, result: Result) -> None:
        """One portion is written while the next is read."""
        self.tell(Step.LOAD, 0, expected)
        refused = 0

        def written(outcomes: Sequence[Outcome]) -> None:
            nonlocal refused
            refused += sum(isinstance(outcome, Refused) for outcome in outcomes)
            result.loaded += len(outcomes)
            self.tell(Step.LOAD, result.loaded, max(expected, result.loaded))

        with ThreadPoolExecutor(1, "loading") as writer:
            under_way: Future[Sequence[Outcome]] | None = None
            for documents in batches(self.exports(), BATCH):
                if under_way is not None:
                    written(under_way.result())
                under_way = writer.submit(index.apply, documents)
            if under_way is not None:
                written(under_way.result())
        if refused:
            log.warning("the index refuses %d of %d", refused, result.loaded)

    def _drain(self, number: int) -> None:
        """Not to the last: what is published after this is the concern of `_take_over` anyway."""
        self.tell(Step.DRAIN, 0, None)
        most = 0
        while (waiting := self.backlog.waiting(number)) > BATCH:
            most = max(most, waiting)
            self.tell(Step.DRAIN, most - waiting, most)
            self.sleep(0.1)

    def _compare(self, index: Index, result: Result) -> None:
        total = max(result.loaded, 1) if result.loaded else None
        self.tell(Step.AUDIT, 0, total)
        compare = audit(index, self.exports, patience=())  # what is under way is applied here and now
        for each in compare(mend=True, report=lambda compared: self.tell(Step.AUDIT, compared, total)):
            if not each.mended:
                result.left_count += 1
                if len(result.left) < _LISTED:
                    result.left.append(each)

    def _take_over(self, index: Index, mark: int, result: Result) -> None:
        self.tell(Step.HOLD, 0, None)
        with self.generations.hold(mark) as changes, closing(self.generations.open(result.before)) as live:
            for portion in batches(changes, _PORTION):
                self._complete(index, dict(portion))
            with suppress(WrongSetting):  # one that cannot be read: nobody has searched it either
                for source, as_of in live.progress().items():  # it has what the live one has, so it is as fresh
                    index.record_progress(source, as_of)
            index.close()  # its writers are others from now on
            self.check()
            self.tell(Step.SWAP, 0, None)
            self.generations.swap(result.live)

    def _complete(self, index: Index, changes: dict[str, int]) -> None:
        """What is kept decides: a version that there has never been is not brought along."""
        there = index.versions(changes)
        lacking = [id for id, version in changes.items() if there.get(id, 0) < version]
        refused = dict(mend(index, self.exports, lacking)) if lacking else {}
        if refused:
            raise TooFew(refused)

    def _finish(self, result: Result, *, keep: bool) -> None:
        self.tell(Step.HAND_OVER, 0, None)
        self.backlog.end(result.live, forget=False)
        self.tell(Step.REMOVE, 0, None)
        for each in self.generations.all():
            if not (each.live or (keep and each.number == result.before)):
                self.generations.remove(each.number)

    def _abandon(self, number: int) -> None:
        """Leaves nothing behind if it can; what it leaves is found by the next run."""
        with suppress(Unavailable):
            if not any(each.live and each.number == number for each in self.generations.all()):
                self._forget(number)
                log.info("%s was not finished and is removed", self.kind.generation(number))

    def _forget(self, number: int) -> None:
        """The queue first: while there is one, its generation shows where to look for it."""
        self.backlog.end(number, forget=True)
        self.generations.remove(number)
