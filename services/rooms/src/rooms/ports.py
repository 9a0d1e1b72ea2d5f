"""What rooms need from the outside beside what all listings do."""

from abc import ABC, abstractmethod

from common.listings.fields import Coordinates
from rooms.domain import Area


class Areas(ABC):
    """Knows the world's places. Safe to share between threads; asks nobody."""

    @abstractmethod
    def locate(self, at: Coordinates) -> Area | None:
        """The area around these coordinates; None where there is none, as on the high seas."""
