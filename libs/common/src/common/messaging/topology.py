"""Who publishes where, and who listens: declared by relays and consumers alike, before anything is published.

`mandatory` tells a publisher only that *no* queue took a message. That one of two queues is missing it cannot see, so every known
subscriber's queue stands here.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

from common.errors import WrongSetting


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable queue: bound to each (exchange, pattern of routing keys), with its dead letters beside it."""

    name: str
    bindings: tuple[tuple[str, str], ...]

    @property
    def subscriber(self) -> str:
        """The service that listens."""
        return self.name.partition(".")[0]

    @property
    def dead(self) -> str:
        return f"{self.name}.dead"

    @property
    def discarded(self) -> str:
        """Where dead letters are kept that somebody has given up on; made when the first is."""
        return f"{self.name}.discarded"


@dataclass(frozen=True, slots=True)
class Topology:
    """Durable topic exchanges, and the queues bound to them."""

    exchanges: tuple[str, ...]
    queues: tuple[Queue, ...]

    def hears(self, exchange: str) -> bool:
        """Whether anybody listens. What is published where nobody does need not find a queue."""
        return any(exchange == bound for queue in self.queues for bound, _ in queue.bindings)

    def heard_by(self, subscribers: Collection[str]) -> "Topology":
        """With the queues of these services alone."""
        return replace(self, queues=tuple(queue for queue in self.queues if queue.subscriber in subscribers))

    def publishing(self, exchange: str) -> "Topology":
        """With this exchange, which may be one that nobody listens to yet."""
        return self if exchange in self.exchanges else replace(self, exchanges=(*self.exchanges, exchange))


#: One exchange per producing service; here are those to which somebody listens.
ROOMS, ITEMS = "rooms", "items"

#: The queues that feed the indices. (A generation that is being built has one of its own; see docs/adr/0010.)
SEARCH_ROOMS = Queue("search.rooms", ((ROOMS, "#"),))
SEARCH_ITEMS = Queue("search.items", ((ITEMS, "#"),))

#: What items hear of their rooms; not heartbeats.
ITEMS_ROOMS = Queue("items.rooms", tuple((ROOMS, type) for type in ("RoomCreated", "RoomUpdated", "RoomDeleted")))

TOPOLOGY = Topology(exchanges=(ROOMS, ITEMS), queues=(SEARCH_ROOMS, SEARCH_ITEMS, ITEMS_ROOMS))

#: The services that listen. What is published waits for each of them, however long that is not there.
SUBSCRIBERS = tuple(dict.fromkeys(queue.subscriber for queue in TOPOLOGY.queues))


def check_subscribers(subscribers: Collection[str], *, running: str = "") -> None:
    """Raises WrongSetting where SUBSCRIBERS names others, or not the one whose consumer is `running`."""
    if unknown := [name for name in subscribers if name not in SUBSCRIBERS]:
        raise WrongSetting("SUBSCRIBERS", f"must be among {', '.join(SUBSCRIBERS)}, not {unknown[0]!r}")
    if running and running not in subscribers:
        raise WrongSetting("SUBSCRIBERS", f"must name {running}, whose consumer this is: relays keep nothing for others")
