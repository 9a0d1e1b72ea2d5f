"""Dead letters: looking at them, sending them back to their queue, discarding them with a reason. Nothing ever vanishes.

Each step is published and confirmed before its letter is acked: who is killed in between leaves a duplicate, never a gap.
"""

import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from common.errors import AtriumError
from common.messaging.port import Broker, Delivery, Message, Subscription
from common.messaging.topology import Queue, Topology

#: So often a letter is redriven unless told to force it: what dies a third time will not be healed by a fourth.
MOST_REDRIVES = 2
_CONFIRM = 30.0  # seconds for a portion to be confirmed
#: Seconds to wait for letters that must be there; and for one more.
_PATIENCE, _QUIET = 10.0, 0.3
#: Letters taken together; and letters held by one subscription, which bounds what the broker sends ahead.
_PORTION, _WINDOW = 500, 2000
#: What a death adds. (What redrives add stays: how often, and what it died of before.)
_OF_A_DEATH = frozenset({"dead_reason", "dead_detail", "dead_at", "dead_queue", "dead_attempts"})
_OF_THE_BROKER = ("x-first-death-", "x-last-death-")
_LONGEST_PAST, _MOST_PASTS = 300, 5


@dataclass(eq=False)
class NoSuchLetter(AtriumError):
    """There is no such dead letter."""

    queue: str
    id: str

    def __str__(self) -> str:
        return f"no message in {self.queue} has the id {self.id!r}"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that could not be brought into effect, and what its headers tell of that. Texts are empty where they tell nothing."""

    message: Message

    @property
    def type(self) -> str:
        return self.text("cloudEvents_type") or self.message.routing_key

    @property
    def subject(self) -> str:
        return self.text("cloudEvents_subject")

    @property
    def reason(self) -> str:
        """A short stable word: a consumer's, or RabbitMQ's own (`delivery_limit`, `rejected`)."""
        return self.text("dead_reason") or self.text("x-first-death-reason")

    @property
    def redrives(self) -> int:
        """How often it was sent back."""
        count = self.message.headers.get("dead_redrives", 0)
        return count if isinstance(count, int) else 0

    @property
    def past(self) -> list[str]:
        """What it died of before it was sent back, a line each, the oldest first."""
        return self.text("dead_history").splitlines()

    def text(self, header: str) -> str:
        return str(self.message.headers.get(header, ""))


@dataclass(slots=True)
class Redriven:
    """What became of the letters that were chosen."""

    done: int = 0
    guarded: int = 0  # redriven too often already
    refused: int = 0  # by their queue


def letters(broker: Broker, queue: str) -> Generator[DeadLetter]:
    """All letters in this queue, oldest first, left where they are. Streams: none of them is kept. Raises Unavailable."""
    with closing(_Sweep(broker, queue)) as sweep:
        while taken := sweep.take():
            yield from (DeadLetter(delivery.message) for delivery in taken)


def find(broker: Broker, queue: str, id: str) -> DeadLetter:
    """The oldest letter in this queue with this message id. Raises NoSuchLetter, Unavailable."""
    with closing(letters(broker, queue)) as found:
        for letter in found:
            if letter.message.id == id:
                return letter
    raise NoSuchLetter(queue, id)


def redrive(
    broker: Broker,
    queue: Queue,
    wanted: Callable[[DeadLetter], bool],
    *,
    force: bool = False,
    report: Callable[[Redriven], None] = lambda _: None,
) -> Redriven:
    """Sends the dead letters of `queue` that are wanted back to it; tells `report` after each portion how far it is.

    Left where they are: those redriven MOST_REDRIVES times already, unless `force`; those the queue does not take; and those that
    die again while this runs. Any number may run beside each other and beside consumers. Raises Unavailable: what was not sent yet stays.
    """
    run, outcome = uuid.uuid4().hex, Redriven()
    publisher = broker.publisher()
    try:
        with closing(_Sweep(broker, queue.dead)) as sweep:
            while taken := sweep.take():
                chosen = []
                for delivery in taken:
                    letter = DeadLetter(delivery.message)
                    if letter.text("dead_redriven_by") == run or not wanted(letter):
                        continue
                    if force or letter.redrives < MOST_REDRIVES:
                        chosen.append(delivery)
                    else:
                        outcome.guarded += 1
                accepted = publisher.publish("", [_sent_back(each.message, queue, run) for each in chosen], _CONFIRM)
                sweep.ack([delivery for delivery, ok in zip(chosen, accepted, strict=True) if ok])
                outcome.done += accepted.count(True)
                outcome.refused += accepted.count(False)
                report(outcome)
    finally:
        publisher.close()
    return outcome


def discard(broker: Broker, queue: Queue, id: str, *, why: str, who: str) -> int:
    """Moves the dead letters of `queue` with this message id to those that were discarded; answers how many.

    There they stay, with `discarded_why`, `discarded_by` and `discarded_at`. Raises NoSuchLetter, Unavailable.
    """
    broker.declare(Topology((), (Queue(queue.discarded, ()),)))
    publisher, done = broker.publisher(), 0
    try:
        with closing(_Sweep(broker, queue.dead)) as sweep:
            while taken := sweep.take():
                chosen = [delivery for delivery in taken if delivery.message.id == id]
                accepted = publisher.publish("", [_given_up(each.message, queue, why, who) for each in chosen], _CONFIRM)
                sweep.ack([delivery for delivery, ok in zip(chosen, accepted, strict=True) if ok])
                done += accepted.count(True)
    finally:
        publisher.close()
    if not done:
        raise NoSuchLetter(queue.dead, id)
    return done


class _Sweep:
    """Goes through a queue once. What is not acked is held until the end, so that it does not come again; its content is not kept."""

    def __init__(self, broker: Broker, queue: str) -> None:
        self._broker, self._queue = broker, Queue(queue, ())
        self._expected = broker.depth(queue)
        self._held = 0  # by the last of the subscriptions
        self._subscriptions: list[Subscription] = []

    def take(self) -> list[Delivery]:
        """The next portion, empty at the end."""
        if not self._subscriptions or self._held == _WINDOW:
            self._subscriptions.append(self._broker.subscribe(self._queue, prefetch=_WINDOW))
            self._held = 0
        timeout = _PATIENCE if self._expected > 0 else _QUIET
        taken = self._subscriptions[-1].take(min(_PORTION, _WINDOW - self._held), linger=0.05, timeout=timeout)
        self._held += len(taken)
        self._expected -= len(taken)
        return taken

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Of the portion that was taken last."""
        self._subscriptions[-1].ack(deliveries)
        self._held -= len(deliveries)

    def close(self) -> None:
        for subscription in self._subscriptions:
            subscription.close()


def _sent_back(message: Message, queue: Queue, run: str) -> Message:
    """The message it was, with what it has been through."""
    letter = DeadLetter(message)
    past = " ".join(f"{letter.text('dead_at')} {letter.reason}: {letter.text('dead_detail')}".split())[:_LONGEST_PAST]
    kept = {name: value for name, value in message.headers.items() if name not in _OF_A_DEATH}
    return replace(
        message,
        routing_key=queue.name,
        headers={
            **{name: value for name, value in kept.items() if not name.startswith(_OF_THE_BROKER)},
            "dead_routing_key": message.routing_key,
            "dead_redrives": letter.redrives + 1,
            "dead_redriven_at": _now(),
            "dead_redriven_by": run,
            "dead_history": "\n".join([*letter.past, past][-_MOST_PASTS:]),
        },
    )


def _given_up(message: Message, queue: Queue, why: str, who: str) -> Message:
    headers = {"dead_routing_key": message.routing_key, "discarded_why": why, "discarded_by": who, "discarded_at": _now()}
    return replace(message, routing_key=queue.discarded, headers={**message.headers, **headers})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
