"""Events as people and programs read them: a line, or a JSON object. Whatever a message holds, it can be shown."""

from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import orjson

from common.events.catalogue import UnknownSchema
from common.events.codec import Codec, Undecodable
from common.events.envelope import Event, from_message
from common.messaging.port import Message
from common.observability.logs import CONTROLS

_MOST_REMEMBERED = 1000  # listings
_MOST_CHANGES, _LONGEST_VALUE = 4, 40  # fields, characters
_NEVER_NEWS = frozenset({"id", "version", "updated_at"})


def decoded(message: Message, codec: Codec) -> Event | str:
    """The event; or why it is none that we know."""
    try:
        return from_message(message, codec)
    except (UnknownSchema, Undecodable) as error:
        return str(error)


def as_dict(message: Message, codec: Codec) -> dict[str, Any]:
    """Everything: the event's attributes and data, or the body in hex and why it is `undecodable`; routing key and headers."""
    event = decoded(message, codec)
    wire = {"routing_key": message.routing_key, "headers": dict(message.headers)}
    if isinstance(event, str):
        return {"id": message.id, "undecodable": event, "body": message.body.hex(), **wire}
    names = ("id", "source", "type", "subject", "sequence", "time", "traceparent", "request_id", "data")
    return {**{name: getattr(event, name) for name in names}, "trace_id": trace_id(event.traceparent), **wire}


def json_text(value: object, *, indent: bool = False) -> str:
    """JSON with times as text; in one line unless told to indent."""
    try:
        return orjson.dumps(value, option=orjson.OPT_UTC_Z | (orjson.OPT_INDENT_2 if indent else 0)).decode()
    except orjson.JSONEncodeError:  # half a surrogate pair: what is shown is never lost for one character
        return orjson.dumps({"unshowable": repr(value)}).decode()


def trace_id(traceparent: str) -> str:
    """The 32 digits that every hop of one trace shares."""
    return traceparent[3:35]


def legible(text: object) -> str:
    """On one line, steering no terminal."""
    return str(text).translate(CONTROLS)


class Lines:
    """Each event in a line: time, type, id, version, name or what has changed, trace id. Remembers the last thousand listings."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._last: OrderedDict[str, Event] = OrderedDict()

    def line(self, message: Message) -> str:
        """The line of this message, which may be no event."""
        event = decoded(message, self._codec)
        if isinstance(event, str):
            body = f"{len(message.body)} bytes {message.body[:16].hex()}"
            return legible(f"{'':12}  {message.routing_key:.40}  {message.id}  undecodable: {event}  ({body})")
        time = event.time.astimezone().strftime("%H:%M:%S.%f")[:12]
        trace = f"  trace {trace_id(event.traceparent)}" if event.traceparent else ""
        return legible(f"{time}  {event.type:<11}  {event.subject}  v{event.sequence}  {self._told(event)}{trace}")

    def _told(self, event: Event) -> str:
        before = self._last.pop(event.subject, None)
        newest = event if before is None or event.sequence >= before.sequence else before
        self._last[event.subject] = newest
        if len(self._last) > _MOST_REMEMBERED:
            self._last.popitem(last=False)
        changes = _changes(before.data, event.data) if before is not None and newest is event else []
        if not changes:
            return _value(event.data.get("name") or event.data.get("url") or dict(event.data))
        more = f" and {len(changes) - _MOST_CHANGES} more" if len(changes) > _MOST_CHANGES else ""
        return ", ".join(changes[:_MOST_CHANGES]) + more


def _changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    both = [name for name in after if name in before and name not in _NEVER_NEWS]
    return [f"{name} {_value(before[name])} → {_value(after[name])}" for name in both if before[name] != after[name]]


def _value(value: object) -> str:
    text = json_text(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
