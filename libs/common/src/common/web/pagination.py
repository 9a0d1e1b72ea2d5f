"""Pages: opaque cursors that hold the last sort values, and the Link header to the next page (RFC 8288).

A cursor carries a checksum against garbling, not a secret: whoever forges one can only ask for another place in the same list.
"""

import base64
import hashlib
from types import UnionType
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import orjson

from common.errors import Invalid
from common.web.json_input import parse_json

MAX_CURSOR = 2048  # characters
_SUM = 4  # bytes
Value = str | int | float | bool | None


def encode_cursor(values: tuple[Value, ...]) -> str:
    """URL-safe text for the values, as decode_cursor reads them. Raises ValueError for what it could not read again."""
    try:
        data = orjson.dumps(list(values))
    except TypeError as error:
        raise ValueError(f"cannot be a cursor: {error}") from error
    text = base64.urlsafe_b64encode(_checksum(data) + data).rstrip(b"=").decode()
    if len(text) > MAX_CURSOR or orjson.loads(data) != list(values):
        raise ValueError("cannot be a cursor: too long, or a value that JSON cannot hold")
    return text


def decode_cursor(text: str, shape: tuple[type | UnionType, ...]) -> tuple[Any, ...]:
    """The values, one for each type of `shape`. Raises Invalid for `cursor` in the query for anything that is no such cursor.

    float takes a whole number too; int and float never take true or false; `str | None` takes either.
    """
    refused = Invalid.field("cursor", "is not a cursor this list has given out", "query")
    if not text.isascii() or len(text) > MAX_CURSOR:
        raise refused
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        values = parse_json(raw[_SUM:])
    except (ValueError, Invalid):
        raise refused from None
    # One text per cursor: base64 would let the unused bits of the last character vary.
    if raw[:_SUM] != _checksum(raw[_SUM:]) or base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
        raise refused
    if not isinstance(values, list) or len(values) != len(shape):
        raise refused
    try:
        return tuple(_fitted(value, kind) for value, kind in zip(values, shape, strict=True))
    except TypeError:
        raise refused from None


def next_link(path: str, query: str, cursor: str) -> str:
    """The value of a `Link` header to the page after `cursor`; the other parameters of the raw query string stay.

    With Flask: `next_link(request.path, request.query_string.decode(), cursor)`.
    """
    kept = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "cursor"]
    return f'<{quote(path)}?{urlencode([*kept, ("cursor", cursor)])}>; rel="next"'


def _checksum(data: bytes) -> bytes:
    return hashlib.blake2s(data, digest_size=_SUM, person=b"cursor").digest()


def _fitted(value: Any, kind: type | UnionType) -> Any:
    """The value as one of the kinds. Raises TypeError when it is none of them, or an integer beyond 64 bits."""
    kinds = kind.__args__ if isinstance(kind, UnionType) else (kind,)
    if type(value) is int and int not in kinds and float in kinds:
        return float(value)
    if type(value) not in kinds or (type(value) is int and not -(2**63) <= value < 2**63):
        raise TypeError
    return value
