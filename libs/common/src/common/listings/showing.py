"""Listings as people and events see them."""

from dataclasses import dataclass
from typing import Any

from common.images.names import stored_url, thumbnail_url
from common.listings.domain import Aggregate


@dataclass(frozen=True)
class Showing:
    """Makes what an API answers and an event tells of a listing: plain data; the times are datetimes.

    Where the copies of its images are is known before they are: below `images_url`.
    """

    images_url: str

    def __call__(self, listing: Aggregate) -> dict[str, Any]:
        shown = listing.shown()
        if shown["images"]:
            shown["images"] = [self._image(image) for image in shown["images"]]
        return shown

    def _image(self, image: dict[str, Any]) -> dict[str, Any]:
        base, url = self.images_url, image["url"]
        return {"url": url, "stored_url": stored_url(base, url), "thumbnail_url": thumbnail_url(base, url)}
