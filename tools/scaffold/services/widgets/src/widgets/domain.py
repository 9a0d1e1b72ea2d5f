"""A listing of a widget: what a client gives, and the widget that it becomes."""

from dataclasses import dataclass
from typing import Any, Self

from common.listings.domain import Aggregate, Given, Kind
from common.listings.fields import DESCRIPTION, NAME, PROVIDER, Image, currency, images, web_url
from common.text import plain


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing(Given):
    """What the client gives, sanitised. The price in whole units of `currency` (ISO 4217)."""

    name: str
    description: str | None = None
    price: int | None = None
    currency: str = "EUR"
    provider: str | None = None
    url: str | None = None
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
            price=given.get("price"),
            currency=currency(given.get("currency") or "EUR"),
            provider=text("provider", PROVIDER),
            url=None if given.get("url") is None else web_url(given["url"], "url"),
            is_visible=True if given.get("is_visible") is None else given["is_visible"],
            images=images(given.get("images")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Widget(Aggregate):
    given: Listing


WIDGET = Kind("widget", "widgets", given=Listing, listing=Widget)
