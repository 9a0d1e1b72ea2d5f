"""What the suites must know of a service of listings to test it: how its bodies look, and what is wrong with others."""

import copy
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from uuid_utils import uuid7

from common.listings.domain import Aggregate, Kind, Located
from common.listings.memory import MemoryListings
from common.listings.ports import Kept, Origin
from common.listings.service import Service
from common.listings.showing import Showing

Body = dict[str, Any]
#: Makes bodies as clients send them, each with a url of its own; what is given replaces what is usual.
Make = Callable[..., Body]
#: Makes listings likewise.
MakeListing = Callable[..., Aggregate]

#: Where the tests' services say that the copies of images are.
IMAGES = "http://images.example/kept"
SHOWING = Showing(IMAGES)
NOW = datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC)
LATER = datetime(2026, 5, 2, tzinfo=UTC)
WIDE = "😀"  # four bytes in UTF-8, two code units in UTF-16


@dataclass(frozen=True, kw_only=True)
class Tested:
    """A service. Values are as its answers show them; what every kind has (url, is_visible, images) the suites know by themselves."""

    service: Service
    main: Callable[[Sequence[str] | None], int]  # its command line
    required: Mapping[str, Any]  # what a body must have, perhaps beside a url; `name` at least
    optional: Mapping[str, Any] = field(default_factory=dict)  # what it may have: everything else
    url_required: bool = False
    texts: Mapping[str, int]  # the names (dotted) of free texts, and how many characters each may have
    wrong: Mapping[str, Sequence[str]]  # by name (dotted): JSON that no value of this field looks like
    senseless: Mapping[str, Sequence[str]] = field(default_factory=dict)  # by name: texts that mean nothing there
    filters: Mapping[str, tuple[Any, Any]] = field(default_factory=dict)  # by name: two values that lists are told apart by
    largest: Sequence[Mapping[str, Any]]  # bodies at all maxima at once
    smallest: Mapping[str, Any]  # as `required`
    moved: Mapping[str, Any] = field(default_factory=lambda: {"name": "Moved"})  # a patch after which derived values are others
    located: Located | None = None  # where a listing may have turned out to be

    @property
    def kind(self) -> Kind:
        return self.service.kind

    @property
    def path(self) -> str:
        return self.kind.path

    @property
    def names(self) -> set[str]:
        """What is missing in an empty body."""
        return {*self.required, *(["url"] if self.url_required else [])}

    @property
    def full(self) -> Body:
        """Everything but what every kind has."""
        return copy.deepcopy({**self.required, **self.optional})

    def event(self, what: str) -> str:
        return self.kind.event(what)

    def port(self, number: int | str) -> dict[str, str]:
        """The setting that says where its API listens."""
        return {f"{self.service.name.upper()}_PORT": str(number)}

    def listing(self, **given: Any) -> Aggregate:
        """A listing with an id and a url of its own."""
        body = self.full | {"url": f"https://a.example/{uuid7()}", "images": [{"url": "https://a.example/1.jpg"}]} | given
        return self.kind.listing(
            id=str(uuid7()),
            version=1,
            given=self.kind.given.parse({name: value for name, value in body.items() if value is not None}),
            located=self.located,
            created_at=NOW,
            updated_at=NOW,
        )

    def in_memory(self) -> MemoryListings:
        return MemoryListings(self.kind, SHOWING)


def with_raw(body: Body, name: str, raw: str) -> bytes:
    """The body as JSON, with the field of this (dotted) name holding `raw`."""
    mark = "\x02raw\x03"
    return json.dumps(put(body, name, mark)).encode().replace(json.dumps(mark).encode(), raw.encode())


def put(body: Body, name: str, value: Any) -> Body:
    """A copy with this value in the field of this name, as errors name fields: `area.city`, `images[1].url`."""
    whole: Any = copy.deepcopy(body)
    *way, last = [int(part) if part.isdecimal() else part for part in re.findall(r"[^.\[\]]+", name)]
    inner = whole
    for part in way:
        inner = inner[part]
    inner[last] = value
    return dict(whole)


def kept(listing: Aggregate, **origin: str) -> Kept:
    return Kept(id=listing.id, version=listing.version, what=listing, origin=Origin(**origin))


def tombstone(listing: Aggregate, version: int, **origin: str) -> Kept:
    return Kept(id=listing.id, version=version, what=LATER, origin=Origin(**origin))
