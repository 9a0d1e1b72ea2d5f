"""The events of a service of listings, as documents for the index of its kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from common.events.consumer import Handler, Rejected
from common.events.envelope import Event
from search.domain import Document, Refused, iso
from search.kinds import Kind
from search.ports import Clock
from search.use_cases import ApplyChanges

#: How far the clock of a producer may be ahead of ours.
_AHEAD = timedelta(seconds=60)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class IndexListings(Handler):
    """Applies what happened to listings of this kind. Any order and any number of repetitions lead to the same index.

    Where several processes share the queue, one may note a heartbeat while another still applies what came before it: freshness is
    then too good by the time that a batch takes.
    """

    kind: Kind
    changes: ApplyChanges
    clock: Clock

    def apply(self, events: Sequence[Event]) -> Sequence[Rejected | None]:
        answers: list[Rejected | None] = [None] * len(events)
        documents: dict[int, Document] = {}
        heartbeats: dict[int, tuple[str, datetime]] = {}
        now = self.clock.now()
        told = self.kind.singular.capitalize()
        for position, event in enumerate(events):
            match event.type.removeprefix(told):
                case "Created" | "Updated":
                    documents[position] = _document(event, event.data, now)
                case "Deleted":
                    documents[position] = _document(event, None, now)
                case "Heartbeat":
                    source, at = event.data["source"], event.data["at"]
                    answers[position] = self._void(source, at, now)
                    if answers[position] is None:
                        heartbeats[position] = source, min(at, now)  # a fast clock must not vouch for what is yet to come
                case _:
                    answers[position] = Rejected(
                        "unknown-type", f"search does not know what {event.type} means for its index of {self.kind}"
                    )
        newest = dict(sorted(heartbeats.values()))  # of several entries of one source the last, which is the newest, stays
        outcomes, refused = self.changes(list(documents.values()), newest)
        for position, outcome in zip(documents, outcomes, strict=True):
            if isinstance(outcome, Refused):
                answers[position] = Rejected(outcome.reason, outcome.detail)
        for position, (source, _) in heartbeats.items():
            if source in refused:
                answers[position] = Rejected(refused[source].reason, refused[source].detail)
        return answers

    def _void(self, source: str, at: datetime, now: datetime) -> Rejected | None:
        """Why a heartbeat vouches for nothing. Who falls silent makes an index stale: that is for its own service alone to do."""
        if source != self.kind.name:
            return Rejected("unknown-source", f"a heartbeat of {source[:80]!r}, which publishes nothing that is indexed here")
        if at > now + _AHEAD:
            return Rejected("from-the-future", f"a heartbeat of {iso(at)}; here it is {iso(now)}: one of the two clocks is wrong")
        if at < _EPOCH:
            return Rejected("from-the-past", f"a heartbeat of {iso(at)}")
        return None


def _document(event: Event, listing: Mapping[str, Any] | None, now: datetime) -> Document:
    return Document.of(
        event.data["id"],
        event.data["version"],
        listing,
        traceparent=event.traceparent,
        request_id=event.request_id,
        event_id=event.id,
        event_time=event.time,
        attempts=event.attempts,
        deliveries=event.deliveries,
        now=now,
    )
