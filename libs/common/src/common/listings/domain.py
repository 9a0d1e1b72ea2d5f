"""What all kinds of listings have in common: what a client gives, where it turns out to be, and the listing that both become."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from common.listings.fields import Image, plain_data

#: The header by which a client says that what it sends again is still the same.
IDEMPOTENCY_KEY = "Idempotency-Key"


class Given(ABC):
    """What the client gives, sanitised: a frozen dataclass with slots."""

    __slots__ = ()
    name: str
    url: str | None
    is_visible: bool
    images: tuple[Image, ...]

    @classmethod
    @abstractmethod
    def parse(cls, given: dict[str, Any]) -> Self:
        """From a document that the API's schema has accepted; what else it holds is ignored. Raises Invalid, naming the field."""

    @classmethod
    def restored(cls, document: dict[str, Any]) -> Self:
        """Reads `document()` back, as it was sanitised once."""
        return cls(**document | {"images": tuple(Image(**image) for image in document["images"])})

    def document(self) -> dict[str, Any]:
        """What was given as plain data, with lists for tuples."""
        return plain_data(self) | {"images": [plain_data(image) for image in self.images]}


class Located(ABC):
    """Where a listing is, as far as we find out by ourselves: a frozen dataclass with slots."""

    __slots__ = ()

    @classmethod
    @abstractmethod
    def restored(cls, document: dict[str, Any]) -> Self:
        """Reads `document()` back."""

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """As plain data."""


@dataclass(frozen=True, slots=True)
class Nowhere(Located):
    """Of kinds that are nowhere in particular; none of their listings has one."""

    @classmethod
    def restored(cls, document: dict[str, Any]) -> Self:
        return cls(**document)

    def document(self) -> dict[str, Any]:
        return {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Aggregate:
    """A listing that we vouch for. Every change makes the next `version`; a deleted one keeps only that.

    `owner` is `issuer|subject` of who published it, empty where nobody had to say who they are.
    """

    id: str
    version: int
    owner: str = ""
    given: Given
    located: Located | None
    created_at: datetime
    updated_at: datetime

    def told(self) -> dict[str, Any]:
        """What people and events see beside what was given, as plain data."""
        return {}

    def derived_values(self) -> Mapping[str, Any]:
        """Of what `shown` shows, the fields that could be given, that nobody has given, and what follows for them."""
        return {}

    @classmethod
    def located_in(cls, shown: Mapping[str, Any], derived: Collection[str]) -> dict[str, Any] | None:
        """From what `shown` shows, where it was located, as `Located.document` has it; None where that does not tell."""
        return None

    @property
    def derived(self) -> tuple[str, ...]:
        """The fields of `shown()` whose values nobody has given."""
        return tuple(sorted(self.derived_values()))

    @property
    def is_visible(self) -> bool:
        """Whether everybody may see it."""
        return self.given.is_visible

    def revised(self, given: Given, located: Located | None, now: datetime) -> Self:
        return replace(self, version=self.version + 1, given=given, located=located, updated_at=now)

    def shown(self) -> dict[str, Any]:
        """Everything that people and events see, as plain data; the times are datetimes."""
        return (
            self.given.document()
            | {"id": self.id, "version": self.version}
            | self.told()
            | {"created_at": self.created_at, "updated_at": self.updated_at}
        )

    def unechoed(self, document: dict[str, Any], touched: frozenset[str] = frozenset()) -> dict[str, Any]:
        """`document` without the derived values that it only repeats from what we showed, save those in `touched`.

        Who reads a room, changes its price and sends it back has not given the monthly price.
        """
        derived = self.derived_values().items()
        echoed = {name for name, value in derived if name not in touched and document.get(name) == value}
        return {name: value for name, value in document.items() if name not in echoed}


@dataclass(frozen=True)
class Kind:
    """What tells one kind of listings from the others, for everything that is shared.

    `plural` names the service, its path, its exchange and its tokens; `singular` the field of its exports and, with a capital, its
    events. `derivable` are the fields whose values are derived unless they are given.
    """

    singular: str
    plural: str
    given: type[Given]
    listing: type[Aggregate]
    located: type[Located] = Nowhere
    derivable: frozenset[str] = frozenset()

    @property
    def path(self) -> str:
        return f"/v1.0/{self.plural}"

    def location(self, id: str) -> str:
        """The path of a listing."""
        return f"{self.path}/{id}"

    def event(self, what: str) -> str:
        """A type of event: `RoomCreated` for `Created`."""
        return f"{self.singular.capitalize()}{what}"
