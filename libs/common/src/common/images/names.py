"""What the copies of an image are called: known from its url alone, so that a listing can name them before they are there."""

import hashlib
import re
from urllib.parse import urlsplit

_NAME = re.compile(r"(?P<key>[0-9a-f]{64})(?:\.thumb)?\.jpg")


def image_key(url: str) -> str:
    """SHA-256 of the image's own url, in hex: its primary key, and the start of both names."""
    return hashlib.sha256(url.encode()).hexdigest()


def picture_name(key: str) -> str:
    return f"{key}.jpg"


def thumbnail_name(key: str) -> str:
    return f"{key}.thumb.jpg"


def key_of(name: str) -> str | None:
    """The key of the image that a copy's name belongs to; None for what is no such name."""
    match = _NAME.fullmatch(name)
    return match["key"] if match else None


def stored_url(base: str, url: str) -> str:
    """Where the copy of the image at `url` is, below `base`."""
    return f"{base.rstrip('/')}/{picture_name(image_key(url))}"


def thumbnail_url(base: str, url: str) -> str:
    return f"{base.rstrip('/')}/{thumbnail_name(image_key(url))}"


def host(url: str) -> str:
    """Whose server the url names, as far as it can be told: images of one host are fetched a few at a time."""
    try:
        return (urlsplit(url).hostname or "")[:255]
    except ValueError:
        return ""
