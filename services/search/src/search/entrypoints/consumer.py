"""The events of rooms, as documents for the index."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from common.events.consumer import Handler, Rejected
from common.events.envelope import Event
from common.messaging.topology import TOPOLOGY
from search.domain import Document, Refused
from search.ports import Clock
from search.use_cases import ApplyChanges

#: Who may vouch for freshness. The index is as fresh as its slowest source: one that fell silent for ever would make it stale for ever.
SOURCES = frozenset(TOPOLOGY.exchanges)
#: How far the clock of a producer may be ahead of ours.
_AHEAD = timedelta(seconds=60)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Characters that are kept of a request id that someone else chose.
_REQUEST_ID = 200


@dataclass(frozen=True)
class IndexRooms(Handler):
    """Applies what happened to rooms. Any order and any number of repetitions lead to the same index.

    Where several processes share the queue, one may note a heartbeat while another still applies what came before it: freshness is
    then too good by the time that a batch takes.
    """

    changes: ApplyChanges
    clock: Clock

    def apply(self, events: Sequence[Event]) -> Sequence[Rejected | None]:
        answers: list[Rejected | None] = [None] * len(events)
        documents: dict[int, Document] = {}
        heartbeats: dict[int, tuple[str, datetime]] = {}
        clock = self.clock.now()
        now = _iso(clock)
        for position, event in enumerate(events):
            match event.type:
                case "RoomCreated" | "RoomUpdated":
                    documents[position] = _document(event, _room(event.data), now)
                case "RoomDeleted":
                    documents[position] = _document(event, None, now)
                case "Heartbeat":
                    source, at = event.data["source"], event.data["at"]
                    answers[position] = _void(source, at, clock)
                    if answers[position] is None:
                        heartbeats[position] = source, min(at, clock)  # a fast clock must not vouch for what is yet to come
                case _:
                    answers[position] = Rejected("unknown-type", f"search does not know what {event.type} means for its index")
        newest = dict(sorted(heartbeats.values()))  # of several entries of one source the last, which is the newest, stays
        outcomes, refused = self.changes(list(documents.values()), newest)
        for position, outcome in zip(documents, outcomes, strict=True):
            if isinstance(outcome, Refused):
                answers[position] = Rejected(outcome.reason, outcome.detail)
        for position, (source, _) in heartbeats.items():
            if source in refused:
                answers[position] = Rejected(refused[source].reason, refused[source].detail)
        return answers


def _void(source: str, at: datetime, now: datetime) -> Rejected | None:
    """Why a heartbeat vouches for nothing."""
    if source not in SOURCES:
        return Rejected("unknown-source", f"a heartbeat of {source[:80]!r}, which publishes nothing that is indexed here")
    if at > now + _AHEAD:
        return Rejected("from-the-future", f"a heartbeat of {_iso(at)}; here it is {_iso(now)}: one of the two clocks is wrong")
    if at < _EPOCH:
        return Rejected("from-the-past", f"a heartbeat of {_iso(at)}")
    return None


def _document(event: Event, room: dict[str, Any] | None, now: str) -> Document:
    return Document(
        id=event.data["id"],
        version=event.data["version"],
        room=room,
        trace_id=event.traceparent[3:35],  # 00-<trace id>-<span id>-<flags>
        request_id=event.request_id[:_REQUEST_ID],
        indexed_at=now,
    )


def _room(data: Mapping[str, Any]) -> dict[str, Any]:
    """The room as its own API shows it: the event's datum, its times as text."""
    return {name: _iso(value) if isinstance(value, datetime) else value for name, value in data.items()}


def _iso(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")
