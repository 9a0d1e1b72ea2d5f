"""Fields that all kinds of listings have, and how each is sanitised. Errors are Invalid, and name the field."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import pycountry

from common.errors import Invalid
from common.text import plain

_NOT_IN_URLS = re.compile(r'[\x00-\x20\x7f<>"\\^`{|}]')
_NOT_IN_HOSTS = re.compile(r"[%*!$&'()+,;=]|^\.|\.\.")
_UPPER = {ord(letter): letter.lower() for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ"}  # of others some grow

#: Characters.
NAME, DESCRIPTION, PROVIDER, URL = 200, 20_000, 100, 2048


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinates:
    """WGS 84, degrees."""

    lat: float
    lon: float

    @classmethod
    def parse(cls, given: dict[str, Any]) -> "Coordinates":
        return cls(lat=float(given["lat"]), lon=float(given["lon"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    url: str


def images(given: Any) -> tuple[Image, ...]:
    """From a document's `images`, which may be absent; what else it says of an image is ignored."""
    return tuple(Image(url=web_url(image["url"], f"images[{i}].url")) for i, image in enumerate(given or ()))


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


def sanitised(text: str, field: str, maximum: int) -> str:
    """`text` as a listing would hold it in this field; left as it is where no listing could, so that a filter for it finds nothing."""
    try:
        return plain(text, field, maximum=maximum)
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


def plain_data(record: Any) -> dict[str, Any]:
    """The fields of a dataclass with slots, by name. (`asdict` copies deeply, which took a third of an import.)"""
    return {name: getattr(record, name) for name in record.__slots__}
