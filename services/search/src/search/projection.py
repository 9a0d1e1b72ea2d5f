"""What an index needs to know of a document, the same for every engine: tokens, keys and numbers made from the room."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from math import isfinite
from typing import Any
from uuid import UUID

from search.domain import Document, Refused, price_bucket
from search.geo import Point
from search.text import fold_name, indexed

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTEGER = 2**63 - 1
#: Lucene refuses longer terms, in bytes.
_TERM = 32_766


@dataclass(frozen=True, slots=True, kw_only=True)
class Fields:
    """The searchable side of a visible room. `name`, `place` and `description` are tokens separated by spaces; keys are folded names."""

    name: str
    place: str
    description: str
    provider: str
    provider_key: str
    recurrency: str
    currency: str
    city: str | None
    city_key: str | None
    country_key: str | None
    price: int
    price_bucket: int
    monthly_price: int
    property_size: float | None
    furnished: bool | None
    lat: float
    lon: float
    created_at: int  # microseconds since 1970

    @property
    def point(self) -> Point:
        return Point(self.lat, self.lon)


def project(document: Document) -> Fields | Refused | None:
    """The fields by which `document` is found; None where it must not be found; Refused where no engine can take it."""
    refused = _refused_identity(document)
    if refused or document.room is None:
        return refused
    try:
        fields = _fields(document.room)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return Refused("invalid", f"the room cannot be read: {type(error).__name__}: {error}")
    return _refused_fields(fields) or (fields if document.visible else None)


def _fields(room: Mapping[str, Any]) -> Fields:
    area = room.get("area")
    places = () if area is None else (area["name"], area["city"], area["country"])
    size = room.get("property_size")
    return Fields(
        name=indexed(room["name"]),
        place=indexed(*places),
        description=indexed(room["description"]),
        provider=room["provider"],
        provider_key=fold_name(room["provider"]),
        recurrency=room["recurrency"],
        currency=room["currency"],
        city=None if area is None else area["city"],
        city_key=None if area is None else fold_name(area["city"]),
        country_key=None if area is None else fold_name(area["country"]),
        price=int(room["price"]),
        price_bucket=price_bucket(int(room["price"])),
        monthly_price=int(room["monthly_price"]),
        property_size=None if size is None else float(size),
        furnished=room.get("furnished"),
        lat=float(room["coordinates"]["lat"]),
        lon=float(room["coordinates"]["lon"]),
        created_at=microseconds(datetime.fromisoformat(room["created_at"])),
    )


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


def _refused_fields(fields: Fields) -> Refused | None:
    if not (-90 <= fields.lat <= 90 and -180 <= fields.lon <= 180):
        return Refused("invalid", f"there is no place at latitude {fields.lat}, longitude {fields.lon}")
    for name in ("price", "monthly_price"):
        if not 0 <= getattr(fields, name) <= _INTEGER:
            return Refused("invalid", f"{name} is out of range")
    if fields.property_size is not None and not isfinite(fields.property_size):
        return Refused("invalid", "property_size is not a number")
    for name in ("provider", "provider_key", "recurrency", "currency", "city", "city_key", "country_key"):
        if len((getattr(fields, name) or "").encode()) > _TERM:
            return Refused("invalid", f"{name} is longer than {_TERM} bytes")
    return None
