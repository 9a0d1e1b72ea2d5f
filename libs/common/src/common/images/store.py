"""The port of the image store: where the copies are kept."""

from abc import ABC, abstractmethod


class Store(ABC):
    """Copies by name. A name's bytes never change in a way that matters. Any thread may call, any number of processes may share one.

    Raises Unavailable where the store is away, full, or not as it should be; its `reason` is for the log, as it may hold addresses.
    """

    @abstractmethod
    def put(self, name: str, data: bytes) -> None:
        """Durable on return. Replaces what is there, whole: no reader ever sees a part of it."""

    @abstractmethod
    def get(self, name: str) -> bytes | None:
        """The bytes, None where there are none of that name."""

    @abstractmethod
    def ping(self) -> None:
        """Returns if it answers."""
