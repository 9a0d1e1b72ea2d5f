"""Images that listings name and that nobody noted: those of an older release, which may write beside this one while it is replaced."""

import logging
import threading
from dataclasses import dataclass

from common.errors import Unavailable
from common.images.table import Images
from common.listings.ports import Listings

log = logging.getLogger(__name__)

#: Listings that are read at a time, and seconds for others between two such pages.
PAGE, BREATH = 500, 0.05
#: Seconds until all are read anew: the first time, then twice as long each time, up to a day; and until the next try where the database
#: was away.
SOON, SELDOM, AGAIN = 600.0, 86_400.0, 30.0


@dataclass(frozen=True)
class NamedImages:
    """Notes them, to be fetched. Any number may do it at a time: what is known is left alone.

    Every write of this release notes its images itself. Which rows another one wrote, and when the last process of it ends, nothing here
    can tell, so all are read: at the start, often while releases are likely to change, and seldom after that.
    """

    listings: Listings
    images: Images

    def run(self, stop: threading.Event) -> None:
        """A worker. It goes on behind the last page that it read, whatever the database does meanwhile."""
        pause, after, noted = SOON, None, 0
        while not stop.is_set():
            try:
                after, new = self.page(after)
            except Unavailable as error:
                log.warning("looking for images that listings name is put off: %s", error)
                stop.wait(AGAIN)
                continue
            noted += new
            if after is not None:
                stop.wait(BREATH)
                continue
            if noted:
                log.info("noted %d images that listings of another release name", noted)
            stop.wait(pause)
            pause, noted = min(2 * pause, SELDOM), 0

    def page(self, after: str | None) -> tuple[str | None, int]:
        """(the id behind which to go on, None at the end; how many images were noted). Raises Unavailable."""
        page = self.listings.kept(None, after, PAGE)
        living = [each.listing for each in page if each.listing is not None]
        noted = self.images.want(image.url for each in living for image in each.given.images)
        return page[-1].id if len(page) == PAGE else None, noted
