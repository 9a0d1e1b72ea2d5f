"""JSON from outside, parsed once and made harmless: what comes out of `parse_json` can be stored, indexed and compared."""

import json
import re
from math import isfinite
from typing import Any

import orjson

from common.errors import FieldError, Invalid

MAX_DEPTH = 64
_KEYS = re.compile(rb'"[ \t\r\n]*:')
_INT64 = 2.0**63


def parse_json(data: bytes | bytearray | memoryview) -> Any:
    """The value of a JSON text (RFC 8259). Raises Invalid, which names the field or the position.

    Refused besides what is no JSON: NaN and infinities, numbers that overflow, lone surrogates, U+0000 in any string or key,
    nesting deeper than MAX_DEPTH, and a name twice in one object. A whole number written as a fraction (1.0, 1e3) comes out as
    int, an integer beyond 64 bits as float, which no schema takes for an integer.
    """
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Invalid((_what_is_wrong(bytes(data), error),)) from None
    holder = [value]
    checker = _Checker()
    checker.check(holder, "", 0)
    data = bytes(data)
    # Every key leaves its mark `":`, and strings can only add marks: equal counts mean that no name came twice.
    if len(_KEYS.findall(data)) != checker.keys:
        json.loads(data, object_pairs_hook=_unique)
    return holder[0]


class _Checker:
    """Walks a parsed value, counts its keys, and replaces whole floats in place."""

    def __init__(self) -> None:
        self.keys = 0

    def check(self, container: Any, path: str, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Invalid.field(_shortened(path), f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(container, dict):
            self.keys += len(container)
            entries: Any = container.items()
            for key in container:
                if "\0" in key:
                    raise Invalid.field(_joined(path, key), "its name contains the character U+0000")
        else:
            entries = enumerate(container)
        whole: list[tuple[Any, int]] = []
        for key, value in entries:
            kind = type(value)
            if kind is str:
                if "\0" in value:
                    raise Invalid.field(self._name(container, path, key, depth), "contains the character U+0000")
            elif kind is dict or kind is list:
                self.check(value, self._name(container, path, key, depth), depth + 1)
            elif kind is float and value.is_integer() and -_INT64 < value < _INT64:
                whole.append((key, int(value)))
        for key, number in whole:
            container[key] = number

    @staticmethod
    def _name(container: Any, path: str, key: Any, depth: int) -> str:
        if isinstance(container, dict):
            return _joined(path, key)
        return f"{path}[{key}]" if depth else ""  # depth 0 is the list that holds the document itself


def _joined(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def _shortened(path: str) -> str:
    return path if len(path) <= 200 else f"{path[:200]}…"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    seen: dict[str, Any] = {}
    for key, value in pairs:
        if key in seen:
            raise Invalid.field(_shortened(key), "appears twice in one object")
        seen[key] = value
    return seen


def _what_is_wrong(data: bytes, error: orjson.JSONDecodeError) -> FieldError:
    try:
        data.decode()
    except UnicodeDecodeError as broken:
        return FieldError("body", "", f"is not UTF-8: invalid byte at position {broken.start}")
    if not data.strip():
        return FieldError("body", "", "is empty, JSON was expected")
    try:
        found = _unbearable(json.loads(data, strict=False, parse_int=float), "")
    except (ValueError, RecursionError):
        found = None
    if found is not None:
        return found
    return FieldError("body", "", f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"[:300])


def _unbearable(value: Any, path: str) -> FieldError | None:
    """The first value that Python's lenient parser takes and nobody else could."""
    if isinstance(value, float) and not isfinite(value):
        return FieldError("body", _shortened(path), "must be a finite number")
    if isinstance(value, str) and "\0" in value:
        return FieldError("body", _shortened(path), "contains the character U+0000")
    if isinstance(value, str) and not value.isprintable() and any("\ud800" <= each <= "\udfff" for each in value):
        return FieldError("body", _shortened(path), "contains half of a surrogate pair")
    entries: Any = ()
    if isinstance(value, dict):
        entries = ((_joined(path, key), each) for key, each in value.items())
    elif isinstance(value, list):
        entries = ((f"{path}[{position}]", each) for position, each in enumerate(value))
    return next((found for inner, each in entries if (found := _unbearable(each, inner))), None)
