"""`search lineage ID`: asks every place that knows something of a listing, and shows how its newest version went from there to here."""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import orjson
from rich.console import Console

from common.errors import NotFound, Unavailable, WrongSetting
from common.messaging.port import Broker, Message
from common.messaging.topology import Queue
from search.lineage import DeadLetter, Line, Lineage, Step, Traces, lineage, moment
from search.ports import Corpora, Corpus

T = TypeVar("T")

#: Dead letters that are looked through, the oldest first.
DEAD = 10_000


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="the listing's id")
    parser.add_argument("--logs", nargs="+", type=Path, metavar="FILE", help="JSON logs; by default DATA_DIR/logs/*.log*")
    parser.add_argument("--json", action="store_true", help="for programs")


@dataclass(frozen=True)
class TraceListing:
    """Asks the services, the indices, the broker and the logs. One that does not answer is named, and the others are shown."""

    corpora: Corpora
    broker: Broker

    def __call__(self, id: str, logs: Sequence[Path]) -> Lineage:
        """Raises NotFound where none of them has ever heard of it, WrongSetting for a log that cannot be read."""
        found = self._kept(id)
        trace, _, event = found.ids
        lines = sorted(_lines(logs, [text for text in (trace, event) if text]), key=lambda line: str(line.get("time")))
        return lineage(replace(found, lines=lines))

    def _kept(self, id: str) -> Traces:
        """What is kept of it, by the kind that has heard of it; else of the first that could not be asked all."""
        doubtful: Traces | None = None
        for corpus in self.corpora.values():
            found = self._asked(corpus, id)
            if found.written is not None or found.document is not None or found.dead:
                return found
            if found.missing:
                doubtful = doubtful or replace(found, kind="listing")
        if doubtful is None:
            raise NotFound(id)
        return doubtful

    def _asked(self, corpus: Corpus, id: str) -> Traces:
        missing: dict[str, str] = {}
        return Traces(
            id=id,
            kind=corpus.kind.singular,
            written=_asked("database", lambda: corpus.origin.written(id), missing),
            document=_asked("index", lambda: corpus.index.entry(id), missing),
            dead=_asked("dead letters", lambda: [_dead(each) for each in self._dead(corpus.queue, id)], missing) or [],
            waiting=_asked("queue", lambda: self.broker.depth(corpus.queue.name), missing),
            missing=missing,
        )

    def _dead(self, queue: Queue, id: str) -> Iterator[Message]:
        for message in self.broker.browse(queue.dead, DEAD):
            if message.headers.get("cloudEvents_subject") == id:
                yield message


def run(trace: TraceListing, given: argparse.Namespace, data_dir: Path) -> int:
    """Exit status 0; 1 where nobody has ever heard of the listing. Raises WrongSetting for what is no id."""
    try:
        id = str(UUID(given.id))
    except ValueError:
        raise WrongSetting("ID", f"must be a UUID, not {given.id[:80]!r}") from None
    console = Console(soft_wrap=True, markup=False, highlight=False, emoji=False)
    try:
        found = trace(id, given.logs or sorted((data_dir / "logs").glob("*.log*")))
    except NotFound:
        console.print(orjson.dumps({"id": id, "verdict": "unknown"}).decode() if given.json else f"{id}: nobody has heard of it")
        return 1
    if given.json:
        console.print(orjson.dumps(as_json(found)).decode())
    else:
        for line in as_text(found):
            console.print(line)
    return 0


def as_json(found: Lineage) -> dict[str, Any]:
    """`{"kind", "id", "verdict", "database", "index", "missing", "steps": [{"step", "state", "at", "since_ms", "detail"}]}`."""
    began = _began(found)
    steps = [
        {
            "step": step.name,
            "state": step.state,
            "at": step.at and step.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
            "since_ms": None if step.at is None or began is None else round((step.at - began) / timedelta(milliseconds=1), 3),
            "detail": step.detail,
        }
        for step in found.steps
    ]
    return {
        "kind": found.kind,
        "id": found.id,
        "verdict": found.verdict,
        "database": found.database,
        "index": found.index,
        "missing": dict(found.missing),
        "steps": steps,
    }


def as_text(found: Lineage) -> Iterator[str]:
    """One line for each step, with the time since the first."""
    began = _began(found)
    yield f"{found.kind} {found.id}: {found.verdict}"
    for step in found.steps:
        yield _printable(f"  {_since(step, began):>10}  {step.name:<13} {step.detail}".rstrip())
    for place, why in found.missing.items():
        yield _printable(f"  {'unknown':>10}  {place:<13} {why}")


def _began(found: Lineage) -> datetime | None:
    return next((step.at for step in found.steps if step.at is not None), None)


def _since(step: Step, began: datetime | None) -> str:
    if step.state == "not yet":
        return "not yet"
    if step.at is None or began is None:
        return "?"
    seconds = (step.at - began).total_seconds()
    if abs(seconds) < 1:
        return f"{seconds * 1000:+.0f} ms"
    return f"{seconds:+.1f} s" if abs(seconds) < 120 else f"{seconds / 60:+.0f} min"


def _printable(text: str) -> str:
    """What others sent must not steer the terminal."""
    return "".join(each if each.isprintable() else "·" for each in text)


def _asked(place: str, ask: Callable[[], T], missing: dict[str, str]) -> T | None:
    """The answer, None where there is none; `missing` then says why, unless it is that there is nothing."""
    try:
        return ask()
    except NotFound:
        return None
    except Unavailable as error:
        missing[place] = str(error)
        return None


def _dead(message: Message) -> DeadLetter:
    headers = message.headers
    sequence = headers.get("cloudEvents_sequence")
    return DeadLetter(
        event_id=message.id,
        version=sequence if isinstance(sequence, int) else None,
        reason=str(headers.get("dead_reason", "unknown")),
        detail=str(headers.get("dead_detail", "")),
        at=moment(headers.get("dead_at")),
    )


def _lines(files: Iterable[Path], wanted: Sequence[str]) -> Iterator[Line]:
    """The lines that hold one of these ids, and all in which a relay or a consumer complains."""
    needles = [text.encode() for text in wanted]
    for file in files:
        try:
            with file.open("rb") as opened:
                for text in opened:
                    if any(needle in text for needle in needles) or (
                        b'"common.events.' in text and b'"level":"info"' not in text
                    ):
                        line = _parsed(text)
                        if line is not None:
                            yield line
        except OSError as error:
            raise WrongSetting(str(file), f"cannot be read: {error.strerror}") from None


def _parsed(text: bytes) -> Line | None:
    try:
        line = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return line if isinstance(line, dict) and isinstance(line.get("logger"), str) else None
