"""The parameters of a search, as text in a URL has them, to a query and back to a cursor."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import replace
from math import isfinite
from uuid import UUID

from common.errors import FieldError, Invalid
from common.web.pagination import decode_cursor, encode_cursor
from search.domain import Query, Range, Sort, SortValues
from search.geo import Box, Circle, Point
from search.kinds import Kind

#: Metres around `near` where no radius is given.
RADIUS = 5000.0
#: A number as JSON has it, or with a plus or a bare point; what else float() takes is no number in a URL.
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_BY_NUMBER = (Sort.RELEVANCE, Sort.DISTANCE)


class Complaints:
    """Collects what is wrong with parameters, so that one answer names all of it."""

    def __init__(self) -> None:
        self._errors: list[FieldError] = []

    def about(self, name: str, detail: str) -> None:
        self._errors.append(FieldError("query", name, detail))

    def speak(self) -> None:
        """Raises Invalid if there were any."""
        if self._errors:
            raise Invalid(tuple(self._errors))


def bounds(name: str, low: float | None, high: float | None, complaints: Complaints) -> Range:
    """`<name>_min` and `<name>_max`."""
    if low is not None and high is not None and low > high:
        complaints.about(f"{name}_min", f"must not be greater than {name}_max")
    return Range(low, high)


def alternatives(given: Iterable[str] | None) -> tuple[str, ...]:
    """Values given by repetition or separated by commas. As a comma may be part of a name, a text that has one also counts whole."""
    found: dict[str, None] = {}
    for text in given or ():
        for value in (text, *(text.split(",") if "," in text else ())):
            if value.strip():
                found[value.strip()] = None
    return tuple(found)


def circle(near: str | None, radius: float | None, complaints: Complaints) -> Circle | None:
    """`near=lat,lon` with `radius` in metres."""
    if near is None:
        if radius is not None:
            complaints.about("radius", "needs near=lat,lon")
        return None
    numbers = _numbers(near)
    if len(numbers) != 2:
        complaints.about("near", "must be lat,lon in degrees, as in 52.52,13.405")
        return None
    lat, lon = numbers
    _check_place("near", lat, lon, complaints)
    return Circle(Point(lat, lon), RADIUS if radius is None else radius)


def box(given: str | None, complaints: Complaints) -> Box | None:
    """`bbox=lon_min,lat_min,lon_max,lat_max`, the order of GeoJSON (RFC 7946, section 5)."""
    if given is None:
        return None
    numbers = _numbers(given)
    if len(numbers) != 4:
        complaints.about("bbox", "must be lon_min,lat_min,lon_max,lat_max in degrees, as in 13.09,52.34,13.76,52.67")
        return None
    west, south, east, north = numbers
    _check_place("bbox", south, west, complaints)
    _check_place("bbox", north, east, complaints)
    if south > north:
        complaints.about("bbox", "its second number, the southern edge, must not be greater than its fourth, the northern one")
    return Box(west, south, east, north)


def order(sort: str | None, has_words: bool, near: Circle | None, complaints: Complaints) -> Sort:
    """The order asked for. Without words there is no relevance: the newest come first."""
    if sort is None or sort == Sort.RELEVANCE:
        return Sort.RELEVANCE if has_words else Sort.NEWEST
    if sort == Sort.DISTANCE and near is None:
        complaints.about("sort", "distance needs near=lat,lon")
    return Sort(sort)


def cursor_of(kind: Kind, query: Query, after: SortValues) -> str:
    """An opaque text that leads to the hits behind `after`."""
    return encode_cursor((_fingerprint(kind, query), *after))


def after(cursor: str | None, kind: Kind, query: Query) -> SortValues | None:
    """Where `cursor` leads. Raises Invalid for one that was not made for this query; page size and facets may differ."""
    if cursor is None:
        return None
    fingerprint, key, id = decode_cursor(cursor, (str, float if query.sort in _BY_NUMBER else int, str))
    try:
        canonical = str(UUID(id)) == id
    except ValueError:
        canonical = False
    if fingerprint != _fingerprint(kind, query) or not canonical:
        raise Invalid.field("cursor", "was given out for another search; leave it out to begin anew", "query")
    return key, id


def _fingerprint(kind: Kind, query: Query) -> str:
    asked = f"{kind} {replace(query, after=None, limit=0, facets=())!r}"
    return hashlib.blake2s(asked.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _numbers(text: str) -> list[float]:
    """Numbers separated by commas, blanks around them allowed; none where anything else is among them."""
    parts = [part.strip() for part in text.split(",")]
    numbers = [float(part) for part in parts if _NUMBER.fullmatch(part)]
    return numbers if len(numbers) == len(parts) and all(map(isfinite, numbers)) else []


def _check_place(name: str, lat: float, lon: float, complaints: Complaints) -> None:
    if not -90 <= lat <= 90:
        complaints.about(name, f"there is no latitude {lat:g}; it lies between -90 and 90")
    if not -180 <= lon <= 180:
        complaints.about(name, f"there is no longitude {lon:g}; it lies between -180 and 180")
