"""What can go wrong, in the domain's words. The docstring is the message; the fields say which."""

from dataclasses import dataclass
from typing import Self


class AtriumError(Exception):
    """Something went wrong."""

    def __str__(self) -> str:
        return self.__doc__ or type(self).__name__


@dataclass(eq=False)
class NotFound(AtriumError):
    """There is no such listing, or it has been deleted."""

    id: str


@dataclass(eq=False)
class Conflict(AtriumError):
    """Another listing already has this value."""

    field: str
    existing_id: str  # empty where it is gone again, or hidden from who asks

    def __str__(self) -> str:
        return f"another listing already has this {self.field}"


@dataclass(eq=False)
class Stale(AtriumError):
    """The listing has changed since it was read."""

    id: str
    version: int  # the current one


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong with one field: where it stands (`body`, `query`, `path`, `header`), its dotted name, and why."""

    where: str
    name: str
    detail: str


@dataclass(eq=False)
class Invalid(AtriumError):
    """The input is not valid."""

    errors: tuple[FieldError, ...]

    @classmethod
    def field(cls, name: str, detail: str, where: str = "body") -> Self:
        return cls((FieldError(where, name, detail),))

    def __str__(self) -> str:
        return "; ".join(f"{error.name}: {error.detail}" if error.name else error.detail for error in self.errors)


@dataclass(eq=False)
class Unprocessable(Invalid):
    """The input is valid by itself, but does not fit what is there."""


@dataclass(eq=False)
class Forbidden(AtriumError):
    """You may not do this."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class MissingScope(Forbidden):
    """The token does not carry the scope that this needs."""

    scopes: tuple[str, ...] = ()

    @classmethod
    def of(cls, *scopes: str) -> Self:
        return cls(f"the token lacks the scope {' '.join(scopes)}", scopes)


@dataclass(eq=False)
class Unavailable(AtriumError):
    """A neighbour does not answer; try again later."""

    neighbour: str
    reason: str = ""
    retry_after: int = 1  # seconds

    def __str__(self) -> str:
        return f"{self.neighbour} is not available{f': {self.reason}' if self.reason else ''}"


@dataclass(eq=False)
class Full(Unavailable):
    """A neighbour has no room for more; try again later. Its reason holds no addresses: anybody may read it."""

    def __str__(self) -> str:
        return f"{self.neighbour} is full ({self.reason})"


@dataclass(eq=False)
class WrongSetting(AtriumError):
    """A setting has a value that cannot be used."""

    name: str
    reason: str

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"
