"""The way of a version, put together from whatever has kept something of it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from search.domain import Document, Written
from search.entrypoints.lineage import as_json, as_text
from search.lineage import DeadLetter, Line, Traces, lineage

ID, TRACE, EVENT = "01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11", "0af7651916cd43dd8448eb211c80319c", "e-7"
BEGAN = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def at(milliseconds: float) -> str:
    return (BEGAN + timedelta(milliseconds=milliseconds)).isoformat()


def line(logger: str, milliseconds: float, **more: Any) -> Line:
    return {"time": at(milliseconds), "level": "info", "logger": logger, "message": "m", "service": "rooms"} | more


REQUEST = line(
    "common.web.access", 12, trace_id=TRACE, method="PATCH", path=f"/v1.0/rooms/{ID}", status=200, duration_ms=12, message="PATCH"
)
PUBLISHED = line("common.events.relay", 30, events=["other", EVENT], message="published")
APPLIED = line("common.events.consumer", 60, events=[EVENT], message="applied", service="search")


def written(version: int = 7, **more: Any) -> Written:
    at = BEGAN + timedelta(milliseconds=3)
    known: dict[str, Any] = {"deleted": False, "at": at, "event_id": EVENT, "request_id": "r-7", "trace_id": TRACE}
    return Written(version=version, **known | more)


def document(version: int = 7, **more: Any) -> Document:
    known: dict[str, Any] = {"listing": {"is_visible": True}, "event_id": EVENT, "trace_id": TRACE, "request_id": "r-7"}
    times = {"event_time": at(3), "indexed_at": at(50), "attempts": 2, "deliveries": 3}
    return Document(id=ID, version=version, **known | times | more)


def shown(**traces: Any) -> list[str]:
    given: dict[str, Any] = {"id": ID, "written": None, "document": None} | traces
    return [" ".join(text.split()) for text in as_text(lineage(Traces(**given)))]


def test_a_version_that_arrived_is_shown_step_by_step_in_time():
    assert shown(written=written(), document=document(), lines=[REQUEST, PUBLISHED, APPLIED]) == [
        f"room {ID}: database and index are both at version 7",
        f"+0 ms request PATCH /v1.0/rooms/{ID} answered 200 in 12 ms, request r-7",
        f"+3 ms transaction version 7, event {EVENT}, trace {TRACE}",
        "+30 ms published on attempt 2",
        "+50 ms indexed version 7, handed out 3 times",
        "+60 ms acknowledged by search",
    ]


def test_without_logs_the_document_tells_what_it_knows():
    assert shown(written=written(), document=document(indexed_at=at(65_000))) == [
        f"room {ID}: database and index are both at version 7",
        "? request request r-7, no log tells of it",
        f"+0 ms transaction version 7, event {EVENT}, trace {TRACE}",
        "? published on attempt 2, no log tells when",
        "+65.0 s indexed version 7, handed out 3 times",
    ]


def test_a_version_under_way_says_what_is_not_yet_and_why():
    old = document(6, event_id="e-6", trace_id="1" * 32)
    broker = line("common.events.relay", 20, level="warning", message="the outbox waits: the broker is not available")
    before = line("common.events.relay", -20, level="warning", message="long ago")
    assert shown(written=written(), document=old, lines=[before, REQUEST, broker], waiting=0) == [
        f"room {ID}: database at version 7, index at version 6: 1 event under way",
        f"+0 ms request PATCH /v1.0/rooms/{ID} answered 200 in 12 ms, request r-7",
        f"+3 ms transaction version 7, event {EVENT}, trace {TRACE}",
        "not yet published the outbox waits: the broker is not available",
        "not yet indexed index at version 6",
    ]
    assert shown(written=written(), document=None, lines=[PUBLISHED], waiting=1200)[-1] == (
        "not yet indexed never seen; 1,200 messages wait in its queue"
    )
    assert shown(written=written(9), document=old)[0].endswith("index at version 6: 3 events under way")


def test_a_dead_letter_is_why():
    dead = DeadLetter(event_id=EVENT, version=7, reason="rejected", detail="no\x1b[2J", at=BEGAN + timedelta(seconds=1))
    assert shown(written=written(), document=document(6), dead=[dead], lines=[PUBLISHED]) == [
        f"room {ID}: database at version 7, index at version 6: 1 dead letter",
        "? request request r-7, no log tells of it",
        f"+0 ms transaction version 7, event {EVENT}, trace {TRACE}",
        "+27 ms published",
        "+997 ms dead letter version 7, rejected: no·[2J",
        "not yet indexed index at version 6; it is a dead letter: rejected",
    ]


def test_tombstones_and_hidden_rooms_are_told_apart():
    gone = shown(written=written(deleted=True), document=document(listing=None))
    assert gone[0].endswith("both at version 7 (deleted)")
    assert gone[-1].endswith("indexed version 7, as a tombstone, handed out 3 times")
    hidden = shown(written=written(), document=document(listing={"is_visible": False}))
    assert hidden[-1].endswith("indexed version 7, hidden from searches, handed out 3 times")


def test_what_disagrees_is_said():
    verdicts = [
        shown(written=written(6, event_id=""), document=document(7))[0],
        shown(document=document(7))[0],
        shown(document=document(7), missing={"database": "away"})[0],
        shown(written=written(), missing={"index": "away"})[0],
        shown(written=written())[0],
    ]
    assert [verdict.removeprefix(f"room {ID}: ") for verdict in verdicts] == [
        "database at version 6, index at version 7: the index is ahead, as after a database was restored from an older backup",
        "no room in the database, index at version 7, which still shows it",
        "database unknown, index at version 7",
        "database at version 7, index unknown",
        "database at version 7, nothing of it is in the index",
    ]
    assert shown(written=written(), missing={"index": "it is away"})[-1] == "unknown index it is away"


def test_other_lines_of_the_trace_stand_where_they_happened():
    other = line("rooms.use_cases", 5, trace_id=TRACE, level="warning", message="hm")
    buried = line("common.events.consumer", 55, event_id=EVENT, level="error", message="dead letter: x", service="search")
    steps = shown(written=written(), document=document(), lines=[other, REQUEST, buried])
    assert steps[4] == "+5 ms log rooms, warning: hm"
    assert steps[-1] == "+55 ms log search, error: dead letter: x"


def test_programs_read_the_same():
    found = orjson.loads(orjson.dumps(as_json(lineage(Traces(id=ID, written=written(), document=document(6), lines=[REQUEST])))))
    assert (found["database"], found["index"], found["missing"]) == (7, 6, {})
    assert [(step["step"], step["state"], step["since_ms"]) for step in found["steps"]] == [
        ("request", "done", 0.0),
        ("transaction", "done", 3.0),
        ("published", "unknown", None),
        ("indexed", "not yet", None),
    ]
    assert found["steps"][0]["at"] == "2026-01-02T03:04:05Z"
