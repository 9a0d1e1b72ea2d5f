"""The broker port: what the relay and the consumer need of a message broker, and what they may rely on."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from common.errors import AtriumError
from common.messaging.topology import Queue, Topology


@dataclass(eq=False)
class NotEmpty(AtriumError):
    """The queue still holds messages."""

    queue: str
    reason: str

    def __str__(self) -> str:
        return f"{self.queue} is not removed: {self.reason}"


@dataclass(eq=False)
class Held(AtriumError):
    """Somebody else is at it."""

    name: str

    def __str__(self) -> str:
        return f"another process is at it already ({self.name})"


#: What a tap keeps of what nobody takes: so many messages, and so many bytes of bodies.
MOST_TAPPED, MOST_TAPPED_BYTES = 10_000, 64 << 20


@dataclass(frozen=True, slots=True)
class Message:
    """One message. `routing_key` is the event's type; `timestamp` counts seconds since 1970; headers are text or integers."""

    id: str
    routing_key: str
    body: bytes
    headers: Mapping[str, str | int]
    timestamp: int
    content_type: str = "application/avro"


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message that was handed to us and is ours until acked, buried or released.

    `tag` is the subscription's own, `attempts` how often it was handed out before (0 the first time).
    """

    message: Message
    tag: object
    attempts: int


@dataclass(frozen=True, slots=True)
class Burial:
    """A delivery that shall become a dead letter: `reason` a short stable word, `detail` a sentence for people."""

    delivery: Delivery
    reason: str
    detail: str


class Publisher(ABC):
    """Publishes batches. One thread at a time may use it."""

    @abstractmethod
    def publish(self, exchange: str, messages: Sequence[Message], timeout: float, *, mandatory: bool = True) -> list[bool]:
        """True for each message that the broker has confirmed as durable in at least one queue; False for one it returned or refused.

        Where it is not `mandatory` that there be a queue, none is returned: what no queue wants is gone, save for those who tap.
        Order within a batch is kept. Raises Unavailable when the broker cannot be asked or does not answer within `timeout`
        seconds: any of the messages may then have been published.
        """

    @abstractmethod
    def close(self) -> None:
        """Lets go of what it holds; a batch under way ends with Unavailable."""


class Subscription(ABC):
    """Messages of one queue. One thread at a time may use it.

    What was taken and neither acked nor buried is handed out again after a release, a close, a lost connection or a crash.
    Acting on a delivery that is no longer ours (the connection it came from is gone) does nothing: it will come again.
    """

    @abstractmethod
    def take(self, limit: int, linger: float, timeout: float) -> list[Delivery]:
        """Up to `limit` deliveries, oldest first; empty if none came within `timeout` seconds.

        After the first it waits at most `linger` seconds for more. Never raises for an absent broker: it waits (and the adapter
        reconnects by itself) until `timeout`.
        """

    @abstractmethod
    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """These are done with, for good. In any order, any subset of what was taken."""

    @abstractmethod
    def bury(self, burials: Sequence[Burial]) -> None:
        """Moves these to the queue's dead letters, durable there before they are acked here.

        A dead letter keeps body, id and headers and gains `dead_reason`, `dead_detail`, `dead_at` (ISO 8601), `dead_queue`,
        `dead_attempts`; headers too large to be sent along are left out and counted in `dead_headers_dropped`. Raises Unavailable
        if that cannot be done now: they are still ours.
        """

    @abstractmethod
    def release(self, deliveries: Sequence[Delivery]) -> None:
        """Gives these back; they come again, to us or to another."""

    @abstractmethod
    def close(self) -> None:
        """Gives everything back and stops taking."""


class Tap(ABC):
    """Copies of what passes an exchange; nothing is taken from anyone, and to a publisher a tap is no queue. One thread at a time.

    What nobody takes is bounded: beyond that the oldest are dropped. A tap ends with `close` or with its process, however that ends.
    Copies are for looking at: a publisher or a broker that dies may take some of the last with it.
    """

    @abstractmethod
    def take(self, timeout: float) -> list[Message]:
        """Copies that have come since, oldest first, some thousand at the most; empty if none came within `timeout` seconds.

        Never raises for an absent broker: it waits, and goes on with what passes after its return.
        """

    @property
    @abstractmethod
    def missed(self) -> int:
        """How many copies were dropped until the last `take`, because nobody took them in time."""

    @abstractmethod
    def close(self) -> None:
        """Removes the tap and ends a wait; `take` is empty afterwards."""


class Hold(ABC):
    """A name that is ours alone. Safe to share between threads."""

    @abstractmethod
    def check(self) -> None:
        """Raises Unavailable where it may be somebody else's by now."""

    @abstractmethod
    def free(self) -> None:
        """From now on anybody may have it."""


class Broker(ABC):
    """A message broker. Safe to share between threads; what it hands out is not."""

    @abstractmethod
    def declare(self, topology: Topology) -> None:
        """Makes exchanges, queues, bindings and dead-letter queues exist, durable. May be repeated. Raises Unavailable."""

    @abstractmethod
    def publisher(self) -> Publisher: ...

    @abstractmethod
    def subscribe(self, queue: Queue, prefetch: int) -> Subscription:
        """Starts taking from `queue` (declared with its bindings first, again after each reconnect), holding at most `prefetch`."""

    @abstractmethod
    def tap(self, exchange: str) -> Tap:
        """Copies of each message that is published to `exchange` once this has returned and was not returned.

        Raises Unavailable.
        """

    @abstractmethod
    def unbind(self, queue: Queue) -> None:
        """Takes these bindings away; the queue keeps what it holds. May be repeated. Raises Unavailable.

        No reconnect of this broker's publishers and subscriptions brings them back, only `declare` and `subscribe` with them do.
        """

    @abstractmethod
    def remove(self, queue: Queue, *, with_messages: bool = False) -> None:
        """Takes the queue away, its dead letters and the discarded ones too, for good as `unbind` does. May be repeated.

        Raises NotEmpty, and nothing has changed, while one of the three holds messages or (RabbitMQ, which does not tell what a
        consumer holds) is consumed, unless told `with_messages`; Unavailable.
        """

    @abstractmethod
    def hold(self, name: str) -> Hold:
        """Takes this name for ourselves, until we free it or our process ends, however it ends. Raises Held, Unavailable."""

    @abstractmethod
    def depth(self, queue: str) -> int:
        """Messages waiting in the queue of this name; 0 if there is none. Raises Unavailable."""

    @abstractmethod
    def browse(self, queue: str, limit: int) -> list[Message]:
        """Up to `limit` of the oldest messages of this queue, left where they are. Raises Unavailable."""

    @abstractmethod
    def ping(self) -> None:
        """Raises Unavailable if the broker does not answer within a second or two."""

    @abstractmethod
    def close(self) -> None:
        """Closes every connection; publishers and subscriptions of this broker end."""
