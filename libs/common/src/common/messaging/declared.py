"""What a broker was told to declare and has not been told to take away, kept so that it can be declared again after a reconnect."""

import threading
from dataclasses import replace

from common.messaging.topology import Queue, Topology


class Declared:
    """Safe for any thread."""

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

    def unbind(self, queue: Queue) -> None:
        """From now on without these bindings of it."""
        with self._lock:
            left = [
                replace(each, bindings=tuple(bound for bound in each.bindings if bound not in queue.bindings))
                if each.name == queue.name
                else each
                for each in self._topology.queues
            ]
            self._topology = replace(self._topology, queues=tuple(left))

    def remove(self, queue: Queue) -> None:
        """From now on without this queue and those beside it."""
        gone = {queue.name, queue.dead, queue.discarded}
        with self._lock:
            self._topology = replace(
                self._topology, queues=tuple(each for each in self._topology.queues if each.name not in gone)
            )

    def of(self, queue: Queue) -> Topology:
        """What its subscriber declares again: what is left of it."""
        left = [each for each in self._topology.queues if each.name == queue.name]
        return of_queue(left[0]) if left else Topology((), ())

    def __call__(self) -> Topology:
        return self._topology


def of_queue(queue: Queue) -> Topology:
    """The least that a subscriber of this queue needs."""
    return Topology(tuple(dict.fromkeys(exchange for exchange, _ in queue.bindings)), (queue,))


def holds_dead_letters(name: str) -> bool:
    """Whether a queue of this name holds dead letters, discarded ones too, and so has none of its own."""
    return name.endswith((".dead", ".discarded"))


def names(queue: Queue) -> list[str]:
    """The queues that make up this one: itself, and its dead letters."""
    return [queue.name] if holds_dead_letters(queue.name) else [queue.name, queue.dead]
