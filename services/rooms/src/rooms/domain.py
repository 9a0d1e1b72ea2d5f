"""A room listing: what a client gives, what is derived from it, and the room that both become."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

from common.listings.domain import Aggregate, Given, Kind, Located
from common.listings.fields import DESCRIPTION, NAME, PROVIDER, Coordinates, Image, currency, images, plain_data, web_url
from common.text import plain

Recurrency = Literal["daily", "weekly", "monthly"]

#: Payments per month by recurrency, as a fraction.
PER_MONTH: dict[str, tuple[int, int]] = {"daily": (30, 1), "weekly": (52, 12), "monthly": (1, 1)}

#: Characters.
PLACE = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Area(Located):
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
        return plain_data(self) | {"coordinates": None if self.coordinates is None else plain_data(self.coordinates)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Given):
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
    furnished: bool | None = None  # None: nobody has said
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
            coordinates=Coordinates.parse(given["coordinates"]),
            monthly_price=given.get("monthly_price"),
            property_size=None if given.get("property_size") is None else float(given["property_size"]),
            currency=currency(given.get("currency") or "EUR"),
            area=None if area is None else _area(area),
            is_visible=given.get("is_visible", True),
            furnished=given.get("furnished"),
            images=images(given.get("images")),
        )

    @classmethod
    def restored(cls, document: dict[str, Any]) -> Self:
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
        return plain_data(self) | {
            "coordinates": plain_data(self.coordinates),
            "area": None if self.area is None else self.area.document(),
            "images": [plain_data(image) for image in self.images],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Room(Aggregate):
    """A listing, with the area that its coordinates lie in; that is kept even where the client gave another one."""

    given: Listing
    located: Area | None

    @property
    def monthly_price(self) -> int:
        if self.given.monthly_price is not None:
            return self.given.monthly_price
        times, per = PER_MONTH[self.given.recurrency]
        return (2 * self.given.price * times + per) // (2 * per)  # half up

    @property
    def area(self) -> Area | None:
        return self.given.area or self.located

    def told(self) -> dict[str, Any]:
        return {"monthly_price": self.monthly_price, "area": None if self.area is None else self.area.document()}

    def derived_values(self) -> dict[str, Any]:
        return {name: value for name, value in self.told().items() if getattr(self.given, name) is None}

    @classmethod
    def located_in(cls, shown: Mapping[str, Any], derived: Collection[str]) -> dict[str, Any] | None:
        return cast(dict[str, Any] | None, shown["area"]) if "area" in derived else None


ROOM = Kind("room", "rooms", given=Listing, located=Area, listing=Room, derivable=frozenset({"monthly_price", "area"}))


def _area(given: dict[str, Any]) -> Area:
    return Area(
        id=None if given.get("id") is None else plain(given["id"], "area.id", maximum=PLACE),
        name=plain(given["name"], "area.name", maximum=PLACE),
        city=plain(given["city"], "area.city", maximum=PLACE),
        country=plain(given["country"], "area.country", maximum=PLACE),
        coordinates=None if given.get("coordinates") is None else Coordinates.parse(given["coordinates"]),
    )
