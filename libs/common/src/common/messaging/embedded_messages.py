"""Messages in the embedded broker's file: putting them into queues, reading them back."""

import json
import sqlite3
from collections.abc import Callable, Sequence

from common.messaging.embedded_file import unavailable
from common.messaging.port import Message
from common.messaging.routing import matches

COLUMNS = "id, routing_key, content_type, timestamp, headers, body"
#: How a row of COLUMNS is put into a queue.
PUT = f"INSERT INTO message (queue, {COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"  # noqa: S608


def put(connection: sqlite3.Connection, exchange: str, messages: Sequence[Message]) -> list[bool]:
    """Copies each message into every queue that wants it; False for those that none does. Raises Unavailable without the exchange.

    As in AMQP, the exchange with the empty name leads to the queue that is named by the routing key.
    """
    queues = _queues(connection, exchange)
    wanted = {key: queues(key) for key in {message.routing_key for message in messages}}
    connection.executemany(PUT, ((queue, *to_row(message)) for message in messages for queue in wanted[message.routing_key]))
    return [bool(wanted[message.routing_key]) for message in messages]


def to_row(message: Message) -> tuple[str, str, str, int, str, bytes]:
    """The message as COLUMNS."""
    headers = json.dumps(dict(message.headers), ensure_ascii=False, separators=(",", ":"))
    return message.id, message.routing_key, message.content_type, message.timestamp, headers, message.body


def from_row(row: Sequence[object]) -> Message:
    """The message in COLUMNS."""
    id, routing_key, content_type, timestamp, headers, body = row
    known = json.loads(str(headers))
    return Message(
        id=str(id),
        routing_key=str(known.get("dead_routing_key", routing_key)),  # what came back by its queue's name has this one no more
        body=bytes(body),  # type: ignore[call-overload]
        headers=known,
        timestamp=int(timestamp),  # type: ignore[call-overload]
        content_type=str(content_type),
    )


def _queues(connection: sqlite3.Connection, exchange: str) -> Callable[[str], list[str]]:
    """Tells, for a routing key, the queues that the exchange leads to."""
    if not exchange:
        known = {name for (name,) in connection.execute("SELECT name FROM queue")}
        return lambda key: [key] if key in known else []
    if connection.execute("SELECT 1 FROM exchange WHERE name = ?", (exchange,)).fetchone() is None:
        raise unavailable(f"there is no exchange {exchange!r}")
    bindings = connection.execute("SELECT pattern, queue FROM binding WHERE exchange = ? ORDER BY queue", (exchange,)).fetchall()
    return lambda key: list(dict.fromkeys(queue for pattern, queue in bindings if matches(pattern, key)))
