"""What RabbitMQ is told about exchanges and queues, and how a message looks on its wire."""

import pika
from pika.channel import Channel
from pika.exchange_type import ExchangeType

from common.messaging.declared import holds_dead_letters, names
from common.messaging.port import Message
from common.messaging.topology import Topology

# Prefetched messages count as handed out each time a consumer goes away, and browsed ones too, so the limit is far above any honest
# number of attempts; it stops only a message that kills its consumer every time.
_DELIVERY_LIMIT = 1000
# Without a limit of their own dead letters would get the broker's default (20 from RabbitMQ 4.0 on) and, having nowhere to go, be
# dropped: by nobody worse than an operator who looks at them often. -1 is no way out, 3.10 takes it for "at once".
_DEAD_DELIVERY_LIMIT = 1_000_000_000

# Further routing keys. To publish them again, as text or at all, would be refused with the channel, or send copies to others.
_ADDRESSES = ("CC", "BCC")
_LONGEST_OTHER = 2000  # characters of a header that is neither text nor an integer
_LEAST = -(2**63)  # of AMQP's integers


def queue_arguments(name: str) -> dict[str, str | int]:
    """What RabbitMQ must know about the queue of this name."""
    if holds_dead_letters(name):
        return {"x-queue-type": "quorum", "x-delivery-limit": _DEAD_DELIVERY_LIMIT}
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": _DELIVERY_LIMIT,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # at-least-once works with no other
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": f"{name}.dead",
    }


def taps_of(exchange: str) -> str:
    """The exchange that publishers copy to what a queue of `exchange` has taken; see docs/adr/0011."""
    return f"{exchange}.tap"


def declare_taps_on(channel: Channel, exchange: str) -> None:
    """Sends the declaration of that exchange."""
    channel.exchange_declare(taps_of(exchange), ExchangeType("fanout"), durable=True)


def declare_on(channel: Channel, topology: Topology) -> None:
    """Sends every declaration at once; the broker works in order and closes the channel at the first that it refuses."""
    for exchange in topology.exchanges:
        channel.exchange_declare(exchange, ExchangeType("topic"), durable=True)
    for queue in topology.queues:
        for name in names(queue):
            channel.queue_declare(name, durable=True, arguments=queue_arguments(name))
        for exchange, pattern in queue.bindings:
            channel.queue_bind(queue.name, exchange, pattern)


def to_properties(message: Message) -> pika.BasicProperties:
    """AMQP's properties of a message, persistent."""
    return pika.BasicProperties(
        content_type=message.content_type,
        message_id=message.id,
        timestamp=message.timestamp,
        delivery_mode=2,
        headers=dict(message.headers),
    )


def from_wire(routing_key: str | None, properties: pika.BasicProperties, body: bytes) -> tuple[Message, int]:
    """The message, and how often it was handed out before. Whoever published it: no property is taken for granted, nothing raises.

    Dead letters go through the default exchange, and so do those that were redriven: their own routing key comes from
    `dead_routing_key`, or from the `x-death` of those that the broker itself gave up on.
    """
    key = _short(routing_key)
    headers: dict[str, str | int] = {}
    attempts = 0
    for name, value in (properties.headers or {}).items():
        if name == "x-delivery-count":
            attempts = count if isinstance(count := _header(value), int) else 0
        elif name == "x-death":
            key = _first_routing_key(value) or key
        elif name not in _ADDRESSES:
            headers[_short(name)] = _header(value)
    key = _short(headers.get("dead_routing_key", key))
    message = Message(
        id=_short(properties.message_id),
        routing_key=key,
        body=body,
        headers=headers,
        timestamp=properties.timestamp if isinstance(properties.timestamp, int) else 0,
        content_type=_short(properties.content_type),
    )
    return message, attempts


def _first_routing_key(deaths: object) -> str:
    """Of the latest death in the broker's list of them; empty if it is not the broker's."""
    latest = deaths[0] if isinstance(deaths, list) and deaths else None
    keys = latest.get("routing-keys") if isinstance(latest, dict) else None
    return _short(keys[0]) if isinstance(keys, list) and keys and isinstance(keys[0], str | bytes) else ""


def _header(value: object) -> str | int:
    if isinstance(value, int) and _LEAST <= value <= -_LEAST - 1:
        return int(value)  # pika's long is an int that prints as 5L
    return _text(value)


def _short(value: object) -> str:
    """At most 255 bytes: AMQP's limit for names and keys, which bytes that are no UTF-8 grow beyond when they are replaced."""
    return _text(value or "").encode()[:255].decode(errors="ignore")


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="replace")
    if isinstance(value, str):
        return value
    try:
        return str(value)[:_LONGEST_OTHER]
    except Exception:  # noqa: BLE001 (tables within tables may be too deep even to be shown)
        return f"a {type(value).__name__}"
