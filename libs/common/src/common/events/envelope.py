"""CloudEvents 1.0 in AMQP binary mode: a decoded event, and its message on the wire.

Attributes are headers with the prefix `cloudEvents_` (CloudEvents AMQP binding 1.0, the JMS-safe spelling); `sequence`, `requestid`
and `attempts` are extension attributes, `traceparent` is W3C's.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from common.events.codec import Codec, Undecodable
from common.messaging.port import Message

#: The type of the events that tell of nothing but time.
HEARTBEAT = "Heartbeat"
#: Beyond this nobody counts; an index holds it in 32 bits.
_MANY = 2**31 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What happened: `type` to `subject` (an id), making it version `sequence`; `data` as our newest schema has it.

    `attempts` counts how often it was sent to the broker, `deliveries` how often it was handed out, this time included.
    """

    id: str
    source: str
    type: str
    subject: str
    sequence: int
    time: datetime
    traceparent: str = ""
    request_id: str = ""
    attempts: int = 1
    deliveries: int = 1
    data: Mapping[str, Any]


def to_message(
    *,
    id: str,
    source: str,
    type: str,
    subject: str,
    sequence: int,
    time: datetime,
    dataschema: str,
    traceparent: str,
    request_id: str,
    body: bytes,
    attempts: int = 1,
) -> Message:
    """The message of an event that is already encoded."""
    headers: dict[str, str | int] = {
        "cloudEvents_id": id,
        "cloudEvents_source": source,
        "cloudEvents_specversion": "1.0",
        "cloudEvents_type": type,
        "cloudEvents_subject": subject,
        "cloudEvents_time": time.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        "cloudEvents_dataschema": dataschema,
        "cloudEvents_sequence": sequence,
        "cloudEvents_attempts": attempts,
    }
    if traceparent:
        headers["traceparent"] = traceparent
    if request_id:
        headers["cloudEvents_requestid"] = request_id
    return Message(id=id, routing_key=type, body=body, headers=headers, timestamp=int(time.timestamp()))


def from_message(message: Message, codec: Codec, deliveries: int = 1) -> Event:
    """Decodes what was handed out `deliveries` times.

    Raises Undecodable or UnknownSchema; what the envelope and the datum both say must agree.
    """
    name, data = codec.decode(message.body)
    headers = message.headers
    missing = [key for key in ("id", "source", "type", "subject", "time", "sequence") if f"cloudEvents_{key}" not in headers]
    if missing:
        raise Undecodable(f"the headers lack cloudEvents_{missing[0]}")
    type, subject, sequence = (headers[f"cloudEvents_{key}"] for key in ("type", "subject", "sequence"))
    if type != name:
        raise Undecodable(f"the header says {type!s:.80}, the body is a {name}")
    if not isinstance(sequence, int) or sequence < 0:
        raise Undecodable(f"cloudEvents_sequence is {sequence!s:.80}")
    for key, told in (("id", subject), ("version", sequence)):
        if key in data and data[key] != told:
            raise Undecodable(f"the header says {key} {told!s:.80}, the body {data[key]!s:.80}")
    try:
        time = datetime.fromisoformat(str(headers["cloudEvents_time"]))
    except ValueError as error:
        raise Undecodable("cloudEvents_time is no time") from error
    attempts = headers.get("cloudEvents_attempts")
    return Event(
        id=str(headers["cloudEvents_id"]),
        source=str(headers["cloudEvents_source"]),
        type=name,
        subject=str(subject),
        sequence=sequence,
        time=time if time.tzinfo else time.replace(tzinfo=UTC),
        traceparent=str(headers.get("traceparent", "")),
        request_id=str(headers.get("cloudEvents_requestid", "")),
        attempts=min(attempts, _MANY) if isinstance(attempts, int) and attempts > 0 else 1,  # others need not count
        deliveries=deliveries,
        data=data,
    )
