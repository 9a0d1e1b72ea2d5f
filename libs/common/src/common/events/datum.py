"""Whether a value is a datum of a schema: a checker is put together once per schema, then runs per event.

fastavro alone writes "12.5" and True as doubles, takes naive times for local ones and accepts any string as a UUID.
"""

import math
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from common.events import avro

#: What is wrong with a value: the path within it, dotted ("" is the value itself), and why.
Wrong = tuple[str, str]
#: None for a value that is right.
Check = Callable[[Any], Wrong | None]

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_RANGE = {"int": 2**31, "long": 2**63}
#: Up to here every integer has its own double.
_EXACT = 2**53


def checker(type: avro.Type) -> Check:
    """The check for one type. UUIDs are canonical strings (or UUID), times are aware datetimes, numbers finite."""
    match type.kind:
        case "record":
            return _record({field.name: checker(field.type) for field in type.fields})
        case "union":
            return _union([(branch.kind, checker(branch)) for branch in type.inner])
        case "array":
            return _array(checker(type.inner[0]))
        case "map":
            return _map(checker(type.inner[0]))
        case "enum":
            return _enum(type.symbols)
        case "int" | "long" if not type.logical:
            return _integer(_RANGE[type.kind])
    return _SCALARS[type.logical or type.kind]


def _record(fields: Mapping[str, Check]) -> Check:
    names, checks = fields.keys(), tuple(fields.items())

    def check(value: Any) -> Wrong | None:
        if type(value) is not dict and not isinstance(value, Mapping):
            return _not_a("record", value)
        if value.keys() != names:
            for name in names:
                if name not in value:
                    return name, "is missing"
            return _key(next(key for key in value if key not in names)), "is not in the schema"
        for name, inner in checks:
            if (wrong := inner(value[name])) is not None:
                return _below(name, wrong)
        return None

    return check


def _union(branches: list[tuple[str, Check]]) -> Check:
    others = tuple(check for kind, check in branches if kind != "null")
    nullable = len(others) < len(branches)

    def check(value: Any) -> Wrong | None:
        if value is None and nullable:
            return None
        wrong: Wrong | None = ("", "must be null")
        for branch in others:
            if (wrong := branch(value)) is None:
                return None
        return wrong if len(others) < 2 else ("", f"{_shown(value)} fits no branch of the union")

    return check


def _array(item: Check) -> Check:
    def check(value: Any) -> Wrong | None:
        if not isinstance(value, list | tuple):
            return _not_a("list", value)
        for element in value:
            if (wrong := item(element)) is not None:
                return _below(f"[{next(i for i, one in enumerate(value) if one is element)}]", wrong)
        return None

    return check


def _map(inner: Check) -> Check:
    def check(value: Any) -> Wrong | None:
        if not isinstance(value, Mapping):
            return _not_a("map", value)
        for key, element in value.items():
            if (wrong := _string(key) or inner(element)) is not None:
                return _below(f"[{_shown(key)}]", wrong)
        return None

    return check


def _enum(symbols: tuple[str, ...]) -> Check:
    allowed = frozenset(symbols)

    def check(value: Any) -> Wrong | None:
        if isinstance(value, str) and value in allowed:
            return None
        return "", f"{_shown(value)} is none of {', '.join(symbols)}"

    return check


def _integer(limit: int) -> Check:
    def check(value: Any) -> Wrong | None:
        if not isinstance(value, int) or isinstance(value, bool):
            return _not_a("integer", value)
        return None if -limit <= value < limit else ("", f"{_shown(value)} is out of range")

    return check


def _double(value: Any) -> Wrong | None:
    if type(value) is float:
        return None if math.isfinite(value) else ("", f"{value} is not finite")
    if not isinstance(value, int) or isinstance(value, bool):
        return _not_a("number", value)
    return None if -_EXACT <= value <= _EXACT else ("", f"{_shown(value)} is out of range")


def _boolean(value: Any) -> Wrong | None:
    return None if value is True or value is False else _not_a("boolean", value)


def _string(value: Any) -> Wrong | None:
    if not isinstance(value, str):
        return _not_a("string", value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            return "", f"has a lone surrogate at {error.start}"
    return None


def _uuid(value: Any) -> Wrong | None:
    if type(value) is UUID or (isinstance(value, str) and _UUID(value)):
        return None
    return "", f"{_shown(value)} is no UUID in its canonical form"


def _time(value: Any) -> Wrong | None:
    if not isinstance(value, datetime):
        return _not_a("datetime", value)
    if value.tzinfo is not UTC:
        if value.utcoffset() is None:
            return "", "is a datetime without time zone"
        try:
            value.astimezone(UTC)
        except OverflowError:
            return "", f"{value} is out of range"
    return None


def _null(value: Any) -> Wrong | None:
    return None if value is None else _not_a("null", value)


_SCALARS: dict[str, Check] = {
    "null": _null,
    "boolean": _boolean,
    "double": _double,
    "string": _string,
    "uuid": _uuid,
    "timestamp-micros": _time,
}


def _below(step: str, wrong: Wrong) -> Wrong:
    path, reason = wrong
    return (step + path if path.startswith("[") or not path else f"{step}.{path}"), reason


def _key(key: object) -> str:
    """A field's name for a message; whoever sent it chose it."""
    return key[:80] if isinstance(key, str) and key.isascii() and key.isprintable() else _shown(key)


def _not_a(expected: str, value: Any) -> Wrong:
    return "", f"must be a {expected}, not {_shown(value)}"


def _shown(value: Any) -> str:
    """Short, and safe for values that cannot be printed (an integer of a million digits, a lone surrogate)."""
    if isinstance(value, str):
        return ascii(value[:40])
    if isinstance(value, int) and value.bit_length() > 128:
        return "an integer beyond 128 bits"
    return ascii(value)[:40] if value is None or isinstance(value, bool | int | float) else type(value).__name__
