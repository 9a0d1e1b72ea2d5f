"""What is done with rooms beside what is done with all listings."""

from collections.abc import Sequence
from dataclasses import dataclass

from common.listings.domain import Given
from common.listings.ports import Locator
from rooms.domain import Area, Listing
from rooms.ports import Areas


@dataclass(frozen=True)
class LocateRooms(Locator):
    """Finds the areas of rooms by their coordinates."""

    areas: Areas

    def locate(self, given: Sequence[Given]) -> Sequence[Area | None]:
        return [self.areas.locate(each.coordinates) if isinstance(each, Listing) else None for each in given]

    def stays(self, before: Given, after: Given) -> bool:
        return isinstance(before, Listing) and isinstance(after, Listing) and before.coordinates == after.coordinates
