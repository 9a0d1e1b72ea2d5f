"""What a broker was told to declare, kept so that a publisher can declare it again to a broker that comes back empty."""

import threading

from common.messaging.topology import Queue, Topology


class Declared:
    """Grows only. Safe for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._topology = Topology((), ())

    def add(self, topology: Topology) -> None:
        """From now on part of it; a queue that is told twice has the bindings of both."""
        with self._lock:
            bindings = {queue.name: dict.fromkeys(queue.bindings) for queue in self._topology.queues}
            for queue in topology.queues:
                bindings.setdefault(queue.name, {}).update(dict.fromkeys(queue.bindings))
            exchanges = dict.fromkeys(self._topology.exchanges + topology.exchanges)
            self._topology = Topology(tuple(exchanges), tuple(Queue(name, tuple(bound)) for name, bound in bindings.items()))

    def __call__(self) -> Topology:
        return self._topology


def of_queue(queue: Queue) -> Topology:
    """The least that a subscriber of this queue needs."""
    return Topology(tuple(dict.fromkeys(exchange for exchange, _ in queue.bindings)), (queue,))


def holds_dead_letters(name: str) -> bool:
    """Whether a queue of this name holds dead letters, and so has none of its own."""
    return name.endswith(".dead")


def names(queue: Queue) -> list[str]:
    """The queues that make up this one: itself, and its dead letters."""
    return [queue.name] if holds_dead_letters(queue.name) else [queue.name, queue.dead]
