"""The way of one listing's newest version, from its request into the index, put together from what each place has kept of it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from search.domain import Document, Written

Line = Mapping[str, Any]  # a line of a log, as common.observability writes it

ACCESS, RELAY, CONSUMER = "common.web.access", "common.events.relay", "common.events.consumer"
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """An event of the listing that no indexer could apply."""

    event_id: str
    version: int | None
    reason: str
    detail: str
    at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What was found of a listing. `missing` says why a place could not be asked; `waiting` counts what its queue still holds."""

    id: str
    written: Written | None
    document: Document | None
    kind: str = "room"
    dead: Sequence[DeadLetter] = ()
    waiting: int | None = None
    lines: Sequence[Line] = ()
    missing: Mapping[str, str] = field(default_factory=dict)

    @property
    def version(self) -> int:
        """The version that is followed: the newest one; 0 where nobody has any."""
        return max(0 if each is None else each.version for each in (self.written, self.document))

    @property
    def ids(self) -> tuple[str, str, str]:
        """Trace, request and event of that version; "" where nobody knows."""
        made = (each for each in (self.written, self.document) if each is not None and each.version == self.version)
        known = [(each.trace_id, each.request_id, each.event_id) for each in made]
        return tuple(next(filter(None, each), "") for each in zip(*known, strict=True)) if known else ("", "", "")  # type: ignore[return-value]


@dataclass(frozen=True, slots=True)
class Step:
    """Something that happened `at` that time (None: nobody knows when), has not happened yet, or of which nobody knows whether it has."""

    name: Literal["request", "transaction", "published", "indexed", "acknowledged", "dead letter", "log"]
    state: Literal["done", "not yet", "unknown"]
    at: datetime | None
    detail: str


@dataclass(frozen=True, slots=True)
class Lineage:
    kind: str
    id: str
    verdict: str
    database: int | None
    index: int | None
    steps: Sequence[Step]
    missing: Mapping[str, str]


def lineage(traces: Traces) -> Lineage:
    """What became of the newest version, in the order in which it happened, what has not happened last."""
    written, document = traces.written, traces.document
    steps = [*_steps(traces), *_dead(traces), *_others(traces)]
    timed = _in_order(step for step in steps if step.state != "not yet")
    return Lineage(
        traces.kind,
        traces.id,
        _verdict(traces),
        None if written is None else written.version,
        None if document is None else document.version,
        [*timed, *(step for step in steps if step.state == "not yet")],
        traces.missing,
    )


def _verdict(traces: Traces) -> str:
    written, document = traces.written, traces.document
    if written is None:
        index = "nothing of it is in the index" if document is None else f"index at version {document.version}"
        if "database" in traces.missing:
            return f"database unknown, {index}"
        return f"no {traces.kind} in the database, {index}" + (
            "" if document is None or document.deleted else ", which still shows it"
        )
    deleted = " (deleted)" if written.deleted else ""
    if document is None:
        where = "index unknown" if "index" in traces.missing else "nothing of it is in the index"
        return f"database at version {written.version}{deleted}, {where}"
    if written.version == document.version:
        return f"database and index are both at version {written.version}{deleted}"
    both = f"database at version {written.version}{deleted}, index at version {document.version}"
    if written.version < document.version:
        return f"{both}: the index is ahead, as after a database was restored from an older backup"
    return both + _under_way(traces, document.version)


def _under_way(traces: Traces, indexed: int) -> str:
    dead = len({each.version for each in traces.dead if each.version is not None and each.version > indexed})
    under_way = traces.version - indexed - dead
    counted = [(under_way, "event", " under way"), (dead, "dead letter", "")]
    return ": " + ", ".join(f"{count} {noun}{'' if count == 1 else 's'}{rest}" for count, noun, rest in counted if count > 0)


def _steps(traces: Traces) -> Iterator[Step]:
    written, document = traces.written, traces.document
    trace, request, event = traces.ids
    arrived = document is not None and document.version == traces.version
    yield _request(traces.lines, trace, request)
    if not traces.version:
        return
    at = written.at if written is not None and written.version == traces.version else None
    if at is None and arrived and document is not None:
        at = moment(document.event_time)
    known = ", ".join(f"{name} {value}" for name, value in (("event", event), ("trace", trace)) if value)
    yield Step("transaction", "done", at, f"version {traces.version}{', ' if known else ''}{known}")

    published = next((line for line in traces.lines if line["logger"] == RELAY and event in _events(line)), None)
    buried = any(each.version == traces.version for each in traces.dead)
    attempts = f"on attempt {document.attempts}" if arrived and document is not None and document.attempts else ""
    if published is not None:
        yield Step("published", "done", moment(published.get("time")), attempts)
    elif arrived or buried:
        yield Step("published", "done", None, ", ".join(filter(None, (attempts, "no log tells when"))))
    elif trouble := _trouble(traces.lines, RELAY, at):
        yield Step("published", "not yet", None, "; ".join(trouble))
    else:
        yield Step("published", "unknown", None, "no log tells of it")

    if arrived and document is not None:
        deliveries = f", handed out {document.deliveries} times" if document.deliveries > 1 else ""
        shown = "as a tombstone" if document.deleted else "" if document.visible else "hidden from searches"
        yield Step(
            "indexed", "done", moment(document.indexed_at), f"version {document.version}{shown and f', {shown}'}{deliveries}"
        )
        return
    why = ["index unknown" if "index" in traces.missing else f"index at version {document.version}" if document else "never seen"]
    if traces.waiting:
        why.append(
            f"{traces.waiting:,} message{'' if traces.waiting == 1 else 's'} wait{'s' if traces.waiting == 1 else ''} in its queue"
        )
    why += [f"it is a dead letter: {each.reason}" for each in traces.dead if each.version == traces.version][:1]
    yield Step("indexed", "not yet", None, "; ".join([*why, *_trouble(traces.lines, CONSUMER, at)]))


def _request(lines: Iterable[Line], trace: str, request: str) -> Step:
    named = f"request {request}" if request else ""
    for line in lines:
        if trace and line["logger"] == ACCESS and line.get("trace_id") == trace and line.get("method") in _WRITES:
            ended, took = moment(line.get("time")), line.get("duration_ms", 0)
            answered = f"{line['method']} {line.get('path')} answered {line.get('status')} in {took:g} ms"
            return Step(
                "request", "done", ended and ended - timedelta(milliseconds=took), ", ".join(filter(None, (answered, named)))
            )
    return Step("request", "done", None, ", ".join(filter(None, (named, "no log tells of it"))))


def _trouble(lines: Iterable[Line], logger: str, since: datetime | None) -> list[str]:
    """The newest warning of those who should have done it, since then."""
    told = [line for line in lines if line["logger"] == logger and line.get("level") in ("warning", "error")]
    later = [line for line in told if since is None or (moment(line.get("time")) or since) >= since]
    return [str(later[-1].get("message"))] if later else []


def _dead(traces: Traces) -> Iterator[Step]:
    for each in traces.dead:
        version = "" if each.version is None else f"version {each.version}, "
        yield Step("dead letter", "done", each.at, f"{version}{each.reason}: {each.detail}")


def _others(traces: Traces) -> Iterator[Step]:
    """What else the logs tell of this trace or event."""
    trace, _, event = traces.ids
    for line in traces.lines:
        if event and line["logger"] == CONSUMER and event in _events(line):
            yield Step("acknowledged", "done", moment(line.get("time")), f"by {line.get('service')}")
        elif line["logger"] not in (ACCESS, RELAY) and (
            (trace and line.get("trace_id") == trace) or (event and line.get("event_id") == event)
        ):
            yield Step(
                "log", "done", moment(line.get("time")), f"{line.get('service')}, {line.get('level')}: {line.get('message')}"
            )


def _in_order(steps: Iterable[Step]) -> list[Step]:
    """By time; one whose time nobody knows stays behind the one before it."""
    keyed: list[tuple[float, int, Step]] = []
    last = float("-inf")
    for position, step in enumerate(steps):
        last = last if step.at is None else step.at.timestamp()
        keyed.append((last, position, step))
    return [step for _, _, step in sorted(keyed, key=lambda each: each[:2])]


def moment(text: object) -> datetime | None:
    """A time in ISO 8601, in UTC where it names no zone; None for what is none."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _events(line: Line) -> list[Any]:
    events = line.get("events")
    return events if isinstance(events, list) else []
