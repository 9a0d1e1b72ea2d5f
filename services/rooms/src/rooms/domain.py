"""A room listing: what a client gives, what is derived from it, and the room that both become."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cache
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import pycountry

from common.errors import Invalid
from common.text import plain

Recurrency = Literal["daily", "weekly", "monthly"]

#: Payments per month by recurrency, as a fraction.
PER_MONTH: dict[str, tuple[int, int]] = {"daily": (30, 1), "weekly": (52, 12), "monthly": (1, 1)}

_NOT_IN_URLS = re.compile(r'[\x00-\x20\x7f<>"\\^`{|}]')
_NOT_IN_HOSTS = re.compile(r"[%*!$&'()+,;=]|^\.|\.\.")
_UPPER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}  # of others some grow

#: Characters.
NAME, DESCRIPTION, PROVIDER, PLACE, URL = 200, 20_000, 100, 200, 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinates:
    """WGS 84, degrees."""

    lat: float
    lon: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """Where a room is, in words."""

    id: str | None = None
    name: str
    city: str
    country: str
    coordinates: Coordinates | None = None

    @classmethod
    def restored(cls, document: dict[str, Any]) -> Self:
        """Reads `document()` back."""
        at = document.get("coordinates")
        return cls(**document | {"coordinates": None if at is None else Coordinates(**at)})

    def document(self) -> dict[str, Any]:
        return _plain_data(self) | {"coordinates": None if self.coordinates is None else _plain_data(self.coordinates)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    url: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What the client gives, sanitised. Prices in whole units of `currency` (ISO 4217), `property_size` in m²."""

    name: str
    description: str
    price: int
    recurrency: Recurrency
    provider: str
    url: str
    coordinates: Coordinates
    monthly_price: int | None = None
    property_size: float | None = None
    currency: str = "EUR"
    area: Area | None = None
    is_visible: bool = True
    images: tuple[Image, ...] = ()

    @classmethod
    def parse(cls, given: dict[str, Any]) -> Self:
        """From a document that the API's schema has accepted; what else it holds is ignored. Raises Invalid, naming the field."""
        area = given.get("area")
        return cls(
            name=plain(given["name"], "name", maximum=NAME),
            description=plain(given["description"], "description", maximum=DESCRIPTION, lines=True),
            price=given["price"],
            recurrency=given["recurrency"].strip().lower(),
            provider=plain(given["provider"], "provider", maximum=PROVIDER),
            url=web_url(given["url"], "url"),
            coordinates=_coordinates(given["coordinates"]),
            monthly_price=given.get("monthly_price"),
            property_size=None if given.get("property_size") is None else float(given["property_size"]),
            currency=currency(given.get("currency") or "EUR"),
            area=None if area is None else _area(area),
            is_visible=given.get("is_visible", True),
            images=tuple(
                Image(url=web_url(image["url"], f"images[{i}].url")) for i, image in enumerate(given.get("images") or ())
            ),
        )

    @classmethod
    def restored(cls, document: dict[str, Any]) -> Self:
        """Reads `document()` back, as it was sanitised once."""
        area = document.get("area")
        return cls(
            **document
            | {
                "coordinates": Coordinates(**document["coordinates"]),
                "area": None if area is None else Area.restored(area),
                "images": tuple(Image(**image) for image in document["images"]),
            }
        )

    def document(self) -> dict[str, Any]:
        """What was given as plain data, with lists for tuples."""
        return _plain_data(self) | {
            "coordinates": _plain_data(self.coordinates),
            "area": None if self.area is None else self.area.document(),
            "images": [_plain_data(image) for image in self.images],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """A listing that we vouch for. Every change makes the next `version`; a deleted one keeps only that."""

    id: str
    version: int
    given: Listing
    located: Area | None  # derived from the coordinates; kept even where the client gave an area
    created_at: datetime
    updated_at: datetime

    @property
    def monthly_price(self) -> int:
        if self.given.monthly_price is not None:
            return self.given.monthly_price
        times, per = PER_MONTH[self.given.recurrency]
        return (2 * self.given.price * times + per) // (2 * per)  # half up

    @property
    def area(self) -> Area | None:
        return self.given.area or self.located

    def revised(self, given: Listing, located: Area | None, now: datetime) -> Self:
        return replace(self, version=self.version + 1, given=given, located=located, updated_at=now)

    def shown(self) -> dict[str, Any]:
        """Everything that people and events see, as plain data; the times are datetimes."""
        return self.given.document() | {
            "id": self.id,
            "version": self.version,
            "monthly_price": self.monthly_price,
            "area": None if self.area is None else self.area.document(),
            "created_at": self.created_at,
            "updated_at": self.updated_at,
        }

    def unechoed(self, document: dict[str, Any], touched: frozenset[str] = frozenset()) -> dict[str, Any]:
        """`document` without the derived values that it only repeats from what we showed, save those in `touched`.

        Who reads a room, changes its price and sends it back has not given the monthly price.
        """
        derived: dict[str, Any] = {}
        if self.given.monthly_price is None:
            derived["monthly_price"] = self.monthly_price
        if self.given.area is None:
            derived["area"] = None if self.located is None else self.located.document()
        echoed = {name for name, value in derived.items() if name not in touched and document.get(name) == value}
        return {name: value for name, value in document.items() if name not in echoed}


def web_url(text: str, field: str) -> str:
    """`text` trimmed, scheme and host in lower case. Raises Invalid for anything but an absolute http(s) URL without credentials."""
    text = text.strip()
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError:
        raise Invalid.field(field, "is not a URL") from None
    if parts.scheme not in ("http", "https"):
        raise Invalid.field(field, "must start with http:// or https://")
    if not parts.hostname or _NOT_IN_HOSTS.search(parts.hostname) or _NOT_IN_URLS.search(text) or not text.isprintable():
        raise Invalid.field(field, "is not a URL")
    if parts.username is not None:
        raise Invalid.field(field, "must not hold a user name or password")
    head = len(parts.scheme) + len("://") + len(parts.netloc)
    return text[:head].translate(_UPPER) + text[head:]


def provider_name(text: str) -> str:
    """`text` as a listing would hold it; left as it is where no listing could, so that it names nobody."""
    try:
        return plain(text, "provider", maximum=PROVIDER)
    except Invalid:
        return text


def currency(text: str) -> str:
    """The code in upper case. Raises Invalid where ISO 4217 has none."""
    code = text.strip().upper()
    if code not in _currencies():
        raise Invalid.field("currency", "is not an ISO 4217 code")
    return code


@cache
def _currencies() -> frozenset[str]:
    return frozenset(each.alpha_3 for each in pycountry.currencies)


def _plain_data(record: Any) -> dict[str, Any]:
    """The fields of a dataclass by name. (`asdict` copies deeply, which took a third of an import.)"""
    return {name: getattr(record, name) for name in record.__slots__}


def _coordinates(given: dict[str, Any]) -> Coordinates:
    return Coordinates(lat=float(given["lat"]), lon=float(given["lon"]))


def _area(given: dict[str, Any]) -> Area:
    return Area(
        id=None if given.get("id") is None else plain(given["id"], "area.id", maximum=PLACE),
        name=plain(given["name"], "area.name", maximum=PLACE),
        city=plain(given["city"], "area.city", maximum=PLACE),
        country=plain(given["country"], "area.country", maximum=PLACE),
        coordinates=None if given.get("coordinates") is None else _coordinates(given["coordinates"]),
    )
