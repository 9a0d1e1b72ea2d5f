"""What an index needs to know of a document, the same for every engine: tokens, keys and numbers made from the listing."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any
from uuid import UUID

from search.domain import Document, Refused, price_bucket
from search.geo import Point
from search.kinds import Column, Kind, Type
from search.text import fold_name, indexed

Value = str | int | float | bool

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER = 2**63 - 1
#: Lucene refuses longer terms, in bytes.
_TERM = 32_766


@dataclass(frozen=True, slots=True)
class Fields:
    """The searchable side of a visible listing: `words` by field, as tokens separated by spaces; `columns` that have a value."""

    words: Mapping[str, str]
    columns: Mapping[str, Value]
    point: Point | None


def project(kind: Kind, document: Document) -> Fields | Refused | None:
    """The fields by which `document` is found; None where it must not be found; Refused where no engine can take it."""
    refused = _refused_identity(document)
    if refused or document.listing is None:
        return refused
    try:
        fields = _fields(kind, document.listing)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Refused("invalid", f"the {kind.singular} cannot be read: {type(error).__name__}: {error}")
    return _refused_fields(kind, fields) or (fields if document.visible else None)


def _fields(kind: Kind, listing: Mapping[str, Any]) -> Fields:
    content = kind.read(listing)
    columns: dict[str, Value] = {}
    for name, type in kind.fields.items():
        if content.values[name] is not None:
            columns |= _columns(name, type, content.values[name])
    point = None
    if content.position is not None:
        point = Point(float(content.position["lat"]), float(content.position["lon"]))
        columns |= {"lat": point.lat, "lon": point.lon}
    return Fields({name: indexed(*texts) for name, texts in content.texts.items()}, columns, point)


def _columns(name: str, type: Type, value: Any) -> dict[str, Value]:
    match type:
        case Type.NAME:
            return {name: value, f"{name}_key": fold_name(value)}
        case Type.KEY:
            return {f"{name}_key": fold_name(value)}
        case Type.PRICE:
            return {name: int(value), f"{name}_bucket": price_bucket(int(value))}
        case Type.AMOUNT:
            return {name: int(value)}
        case Type.MOMENT:
            return {name: microseconds(datetime.fromisoformat(value))}
        case Type.NUMBER:
            return {name: float(value)}
        case Type.ID:
            return {name: str(UUID(value))}
        case Type.VALUE | Type.FLAG:
            return {name: value}


def microseconds(at: datetime) -> int:
    """Since 1970, exactly."""
    return (at - _EPOCH) // timedelta(microseconds=1)


def moment(microseconds: int) -> datetime:
    """The other way round, in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def _refused_identity(document: Document) -> Refused | None:
    try:
        canonical = str(UUID(document.id)) == document.id
    except ValueError:
        canonical = False
    if not canonical:
        return Refused("invalid", f"the id {document.id[:80]!r} is not a UUID in canonical form")
    if not 0 < document.version <= _INTEGER:
        return Refused("invalid", f"the version {document.version} is out of range")
    return None


def _refused_fields(kind: Kind, fields: Fields) -> Refused | None:
    point, columns = fields.point, fields.columns
    if point is not None and not (-90 <= point.lat <= 90 and -180 <= point.lon <= 180):
        return Refused("invalid", f"there is no place at latitude {point.lat}, longitude {point.lon}")
    for name, type in kind.fields.items():
        if type in (Type.PRICE, Type.AMOUNT) and not 0 <= columns.get(name, 0) <= _INTEGER:  # type: ignore[operator]
            return Refused("invalid", f"{name} is out of range")
        if type is Type.NUMBER and not isfinite(columns.get(name, 0.0)):  # type: ignore[arg-type]
            return Refused("invalid", f"{name} is not a number")
    for name in kind.columns(Column.KEYWORD):
        if len(str(columns.get(name, "")).encode()) > _TERM:
            return Refused("invalid", f"{name} is longer than {_TERM} bytes")
    return None
