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
    checker.check(holder, None, 0)
    data = bytes(data)
    # Every key leaves its mark `":`, and strings can only add marks: equal counts mean that no name came twice.
    if len(_KEYS.findall(data)) != checker.keys:
        try:
            json.loads(data, object_pairs_hook=_unique)
        except RecursionError:  # deep within what a name that came again has hidden
            raise Invalid.field("", f"is nested deeper than {MAX_DEPTH} levels") from None
    return holder[0]


class _Checker:
    """Walks a parsed value, counts its keys, and replaces whole floats in place."""

    def __init__(self) -> None:
        self.keys = 0

    def check(self, container: Any, path: "_Path", depth: int) -> None:
        if depth > MAX_DEPTH:
            raise Invalid.field(_named(path), f"is nested deeper than {MAX_DEPTH} levels")
        if isinstance(container, dict):
            self.keys += len(container)
            entries: Any = container.items()
            for key in container:
                if "\0" in key:
                    raise Invalid.field(_named((path, key)), "its name contains the character U+0000")
        else:
            entries = enumerate(container)
        whole: list[tuple[Any, int]] = []
        for key, value in entries:
            kind = type(value)
            if kind is str:
                if "\0" in value:
                    raise Invalid.field(_named(_inner(path, key, depth)), "contains the character U+0000")
            elif kind is dict or kind is list:
                self.check(value, _inner(path, key, depth), depth + 1)
            elif kind is float and value.is_integer() and -_INT64 < value < _INT64:
                whole.append((key, int(value)))
        for key, number in whole:
            container[key] = number


#: From a value out to the document: a key or a position, behind the path of what holds it. Written out only to be shown.
_Path = tuple[Any, str | int] | None


def _inner(path: _Path, key: str | int, depth: int) -> _Path:
    return (path, key) if depth else None  # depth 0 is the list that holds the document itself


def _named(path: _Path) -> str:
    """As in `rooms[3].name`; keys, and all of it, no longer than people read."""
    steps: list[str | int] = []
    while path is not None:
        path, step = path
        steps.append(step)
    written = "".join(f"[{step}]" if isinstance(step, int) else f".{_shortened(step)}" for step in reversed(steps))
    return _shortened(written.removeprefix("."))


def _shortened(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:200]}…"


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
        found = _unbearable(json.loads(data, strict=False, parse_int=float), None)
    except (ValueError, RecursionError):
        found = None
    if found is not None:
        return found
    return FieldError("body", "", f"is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"[:300])


def _unbearable(value: Any, path: _Path) -> FieldError | None:
    """The first value that Python's lenient parser takes and nobody else could."""
    if isinstance(value, float) and not isfinite(value):
        return FieldError("body", _named(path), "must be a finite number")
    if isinstance(value, str) and "\0" in value:
        return FieldError("body", _named(path), "contains the character U+0000")
    if isinstance(value, str) and not value.isprintable() and any("\ud800" <= each <= "\udfff" for each in value):
        return FieldError("body", _named(path), "contains half of a surrogate pair")
    entries: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return next((found for key, each in entries if (found := _unbearable(each, (path, key))) is not None), None)
