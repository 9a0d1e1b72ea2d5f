"""How a dead letter differs from the message it was."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from common.messaging.port import Burial, Message

_LONGEST_DETAIL = 2000  # characters; headers share one frame
# Bytes of the headers it had. With ours, 16 kB at the most, they stay below what a publisher can send: whatever it is that somebody
# else has put into a message, it can be buried.
_MOST_FOREIGN_BYTES = 80_000
_OVERHEAD = 16  # bytes around a name and its value, at the most


def dead_letter(burial: Burial, queue: str) -> Message:
    """The message to put among the dead letters of `queue`: the same, with why, when, from where and after how many attempts.

    Of headers that take too much room some are missing; `dead_headers_dropped` then counts them.
    """
    message = burial.delivery.message
    kept = _that_fit(message.headers)
    dropped = len(message.headers) - len(kept)
    return replace(
        message,
        headers={
            **kept,
            **({"dead_headers_dropped": dropped} if dropped else {}),
            "dead_reason": _bounded(burial.reason),
            "dead_detail": _bounded(burial.detail),
            "dead_at": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "dead_queue": queue,
            "dead_attempts": burial.delivery.attempts,
            "dead_routing_key": message.routing_key,
        },
    )


def _that_fit(headers: Mapping[str, str | int]) -> dict[str, str | int]:
    """Those of an event first, then the short ones: what is dropped is what tells least."""
    sizes = {name: _OVERHEAD + _bytes(name) + _bytes(str(value)) for name, value in headers.items()}
    room, kept = _MOST_FOREIGN_BYTES, set()
    for name in sorted(headers, key=lambda name: (not name.startswith("cloudEvents_"), sizes[name])):
        if sizes[name] <= room:
            room -= sizes[name]
            kept.add(name)
    return {name: value for name, value in headers.items() if name in kept}


def _bytes(text: str) -> int:
    return len(text.encode(errors="replace"))


def _bounded(text: str) -> str:
    """As much of it as a header may hold; half a surrogate pair, which no wire carries, becomes a question mark."""
    return text[:_LONGEST_DETAIL].encode(errors="replace").decode()
