"""The kinds of listings that are searched, each described once: mapping, projection and queries of both engines follow from this."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from typing import Any

from search.relevance import LAST, NAME, SECOND, TEXT, THIRD, Points

Body = Mapping[str, Any]  # a listing as the API of its service shows it


class Column(StrEnum):
    """What an engine keeps in one column of a field."""

    KEYWORD = "keyword"
    ID = "id"
    INTEGER = "integer"
    FLOAT = "float"
    FLAG = "flag"


class Type(StrEnum):
    """What a field means. A facet counts names and values, the latter as they are; of a price it is a histogram."""

    NAME = "name"  # a proper name, filtered without case and accents, counted in its most frequent spelling
    KEY = "key"  # the same, never counted
    VALUE = "value"  # a text that is what it is
    ID = "id"  # of another listing; never counted
    PRICE = "price"  # an amount of money that has a histogram
    AMOUNT = "amount"  # from 0
    MOMENT = "moment"
    NUMBER = "number"
    FLAG = "flag"


#: The columns of a field, by what stands behind its name in theirs.
COLUMNS: Mapping[Type, Mapping[str, Column]] = {
    Type.NAME: {"": Column.KEYWORD, "_key": Column.KEYWORD},
    Type.KEY: {"_key": Column.KEYWORD},
    Type.VALUE: {"": Column.KEYWORD},
    Type.ID: {"": Column.ID},
    Type.PRICE: {"": Column.INTEGER, "_bucket": Column.INTEGER},
    Type.AMOUNT: {"": Column.INTEGER},
    Type.MOMENT: {"": Column.INTEGER},  # microseconds since 1970
    Type.NUMBER: {"": Column.FLOAT},
    Type.FLAG: {"": Column.FLAG},
}


@dataclass(frozen=True, slots=True)
class Content:
    """What a listing is found by: texts by field of words, values by field (None: it has none), and where it is."""

    texts: Mapping[str, Sequence[str]]
    values: Mapping[str, Any]
    position: Mapping[str, float] | None  # {"lat", "lon"} in degrees


@dataclass(frozen=True, eq=False, repr=False)
class Kind:
    """A kind of listing: `name` is that of its service, its exchange, its index; `singular` that of one in an answer.

    `words` are the fields of text with what a match there is worth; `fields` are filtered, sorted and counted. Each kind has `currency`,
    `price` and `created_at`. `read` raises KeyError, TypeError, ValueError or AttributeError for what is no such listing. Where a listing
    holds others, by which it is found too, `holds` is their kind and the field of theirs that has its id. No two columns share a name.

    A Tantivy folder keeps the columns that it was made with, also their order: a change here takes a rebuild (docs/adr/0017).
    """

    name: str
    singular: str
    words: Mapping[str, Points]
    fields: Mapping[str, Type]
    read: Callable[[Body], Content]
    holds: tuple[str, str] | None = None

    def generation(self, number: int) -> str:
        """What a generation of its index is called."""
        return f"{self.name}-g{number}"

    def columns(self, column: Column) -> tuple[str, ...]:
        return tuple(name for name, each in self._columns.items() if each is column)

    @cached_property
    def _columns(self) -> Mapping[str, Column]:
        own = {f"{name}{suffix}": each for name, type in self.fields.items() for suffix, each in COLUMNS[type].items()}
        return own | {"lat": Column.FLOAT, "lon": Column.FLOAT}

    def __str__(self) -> str:
        return self.name


def _room(room: Body) -> Content:
    area = room.get("area")
    return Content(
        texts={
            "name": (room["name"],),
            "place": () if area is None else (area["name"], area["city"], area["country"]),
            "description": (room["description"],),
        },
        values={
            **{name: room[name] for name in ("provider", "recurrency", "currency", "price", "monthly_price", "created_at")},
            **{name: None if area is None else area[name] for name in ("city", "country")},
            "property_size": room.get("property_size"),
            "furnished": room.get("furnished"),
        },
        position=room["coordinates"],
    )


ROOMS = Kind(
    name="rooms",
    singular="room",
    words={"name": NAME, "place": SECOND, "description": TEXT},
    fields={
        "provider": Type.NAME,
        "recurrency": Type.VALUE,
        "currency": Type.VALUE,
        "city": Type.NAME,
        "country": Type.KEY,
        "price": Type.PRICE,
        "monthly_price": Type.AMOUNT,
        "created_at": Type.MOMENT,
        "property_size": Type.NUMBER,
        "furnished": Type.FLAG,
    },
    read=_room,
    holds=("items", "room_id"),
)


def _item(item: Body) -> Content:
    room = item.get("room")
    return Content(
        texts={
            "name": (item["name"],),
            "category_text": _given(item["category"]),
            "place": () if room is None else (room["name"], *_given(room["city"])),
            "description": _given(item["description"]),
        },
        values={
            **{name: item[name] for name in ("provider", "category", "condition", "room_id", "price", "created_at")},
            # What has no price is in no currency: it matches no filter of prices, and is not there where they are the order.
            "currency": None if item["price"] is None else item["currency"],
            "city": None if room is None else room["city"],
        },
        position=None if room is None else room["coordinates"],
    )


def _given(text: str | None) -> tuple[str, ...]:
    return () if text is None else (text,)


ITEMS = Kind(
    name="items",
    singular="item",
    words={"name": NAME, "category_text": SECOND, "place": THIRD, "description": LAST},
    fields={
        "provider": Type.NAME,
        "category": Type.NAME,
        "condition": Type.VALUE,
        "currency": Type.VALUE,
        "city": Type.NAME,
        "room_id": Type.ID,
        "price": Type.PRICE,
        "created_at": Type.MOMENT,
    },
    read=_item,
)

KINDS: Mapping[str, Kind] = {kind.name: kind for kind in (ROOMS, ITEMS)}
