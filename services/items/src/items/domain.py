"""Things that belong to a room or stand alone: what a client gives, what is known of the room, and the item that both become."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, cast
from uuid import UUID

from common.listings.domain import Aggregate, Given, Kind, Located
from common.listings.fields import DESCRIPTION, NAME, PROVIDER, Coordinates, Image, currency, images, plain_data, web_url
from common.text import plain

Condition = Literal["new", "good", "used"]

#: Characters.
CATEGORY = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Place(Located):
    """What an item knows of its room, as of the room's `version`."""

    version: int
    name: str
    coordinates: Coordinates
    city: str | None
    is_visible: bool

    @classmethod
    def of(cls, room: Mapping[str, Any]) -> Self:
        """From a room as its events and exports tell it."""
        area = room["area"]
        return cls(
            version=room["version"],
            name=room["name"],
            coordinates=Coordinates(lat=room["coordinates"]["lat"], lon=room["coordinates"]["lon"]),
            city=None if area is None else area["city"],
            is_visible=room["is_visible"],
        )

    @classmethod
    def restored(cls, document: dict[str, Any]) -> Self:
        return cls(**document | {"coordinates": Coordinates(**document["coordinates"])})

    def document(self) -> dict[str, Any]:
        return plain_data(self) | {"coordinates": plain_data(self.coordinates)}

    def says_the_same_as(self, other: "Place") -> bool:
        """Whether nothing but the version differs."""
        return self.said == other.said

    @property
    def said(self) -> tuple[object, ...]:
        """All but the version."""
        return tuple(getattr(self, each.name) for each in fields(self) if each.name != "version")


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownRoom:
    """The newest that is known of a room; its place is None once it has been deleted."""

    id: str
    version: int
    place: Place | None

    @classmethod
    def nowhere(cls, id: str) -> Self:
        """A room that has never been: whatever is heard of it is newer."""
        return cls(id=id, version=0, place=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """A room whose items may not tell yet where it is. The mark is another one each time that this may have become so."""

    room: KnownRoom
    mark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Given):
    """What the client gives, sanitised. The price in whole units of `currency` (ISO 4217)."""

    name: str
    description: str | None = None
    category: str | None = None
    price: int | None = None
    currency: str = "EUR"
    quantity: int = 1
    condition: Condition | None = None
    provider: str | None = None
    url: str | None = None
    room_id: str | None = None
    is_visible: bool = True
    images: tuple[Image, ...] = ()

    @classmethod
    def parse(cls, given: dict[str, Any]) -> Self:
        def text(field: str, maximum: int, *, lines: bool = False) -> str | None:
            value = given.get(field)
            return None if value is None else plain(value, field, maximum=maximum, lines=lines)

        return cls(
            name=plain(given["name"], "name", maximum=NAME),
            description=text("description", DESCRIPTION, lines=True),
            category=text("category", CATEGORY),
            price=given.get("price"),
            currency=currency(given.get("currency") or "EUR"),
            quantity=1 if given.get("quantity") is None else given["quantity"],
            condition=None if given.get("condition") is None else given["condition"].strip().lower(),
            provider=text("provider", PROVIDER),
            url=None if given.get("url") is None else web_url(given["url"], "url"),
            room_id=None if given.get("room_id") is None else str(UUID(given["room_id"])),
            is_visible=True if given.get("is_visible") is None else given["is_visible"],
            images=images(given.get("images")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Item(Aggregate):
    """A thing, with what is known of the room that it belongs to."""

    given: Listing
    located: Place | None

    @property
    def is_visible(self) -> bool:
        """What stands in a hidden room would give it away."""
        return self.given.is_visible and (self.located is None or self.located.is_visible)

    def told(self) -> dict[str, Any]:
        return {"room": None if self.located is None else self.located.document()}

    @classmethod
    def located_in(cls, shown: Mapping[str, Any], _derived: Collection[str]) -> dict[str, Any] | None:
        return cast(dict[str, Any] | None, shown["room"])


ITEM = Kind("item", "items", given=Listing, located=Place, listing=Item)
