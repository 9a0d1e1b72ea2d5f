"""A connection that survives messages whose properties pika cannot decode.

The broker passes header tables on unread. Some that are legal break pika's decoder: a timestamp after the year 9999,
tables nested a thousand deep. The exception would end the connection, the broker would hand the message out again, and its
neighbours with it, a thousand times over. Here such a message arrives without its headers, and whoever takes it can bury it.
"""

import logging
import struct
from typing import Any

import pika
from pika import frame, spec
from pika.adapters.select_connection import SelectConnection

log = logging.getLogger(__name__)

#: The one header of a message that arrives without its own: what went wrong with them.
UNDECODABLE = "undecodable_headers"

_FRAME = struct.Struct(">BHL")  # type, channel, size
_CONTENT = struct.Struct(">HHQH")  # class, weight, size of the body, first flags
_EMPTY_TABLE = bytes(4)


class TolerantConnection(SelectConnection):
    """pika's own in all else. Frames that it can decode cost nothing more."""

    def _read_frame(self) -> Any:  # pika's one place where bytes become frames; it has no public one
        try:
            return super()._read_frame()  # type: ignore[misc]
        except Exception as error:
            buffer: bytes = self._frame_buffer  # type: ignore[attr-defined]
            type, channel, size = _FRAME.unpack_from(buffer)
            if type != spec.FRAME_HEADER:
                raise
            reason = f"{error.__class__.__name__}: {error}"[:200]
            log.warning("a message came with properties that cannot be decoded: %s", reason)
            end = _FRAME.size + size
            return end + spec.FRAME_END_SIZE, _without_headers(channel, bytes(buffer[_FRAME.size : end]), reason)


def _without_headers(channel: int, payload: bytes, reason: str) -> frame.Header:
    """The frame with this payload, its table of headers skipped; with no properties at all if that does not help."""
    _, _, body_size, flags = _CONTENT.unpack_from(payload)
    try:
        start = _CONTENT.size
        for flag in (pika.BasicProperties.FLAG_CONTENT_TYPE, pika.BasicProperties.FLAG_CONTENT_ENCODING):
            if flags & flag:
                start += 1 + payload[start]
        end = start + 4 + struct.unpack_from(">I", payload, start)[0]
        properties = pika.BasicProperties().decode(payload[12:start] + _EMPTY_TABLE + payload[end:])
    except Exception:  # noqa: BLE001 (whatever it is made of: the message must arrive)
        properties = pika.BasicProperties()
    properties.headers = {UNDECODABLE: reason}
    return frame.Header(channel, body_size, properties)
