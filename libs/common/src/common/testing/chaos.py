"""Chaos: writers, and at random moments the death, the sleep and the doubling of everything they rely on. A seed repeats the choices."""

import json
import random
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event, Lock

from common.errors import Unavailable
from common.messaging.connect import connect
from common.messaging.port import Broker, Message
from common.messaging.topology import ITEMS, ROOMS, TOPOLOGY, Queue
from common.testing.ledger import Ledger, Verdict
from common.testing.real_servers import ServerControl
from common.testing.settling import not_pictured, settle
from common.testing.system import Command, System
from common.testing.tenants import Tenants, tenancy
from common.testing.waiting import eventually, in_background
from common.testing.writers import Writers

#: Sees what is published, so that it can be published again.
WITNESS = Queue("chaos", ((ROOMS, "#"), (ITEMS, "#")))
_REMEMBERED = 2000  # events
_SERVERS = {"postgresql": 4, "rabbitmq": 4, "elasticsearch": 1}  # how often; the last takes its time to come back


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run. `unclean` names the processes that did not end as they were told to, `surprises` the answers that are never right."""

    seed: int
    verdict: Verdict
    writes: int
    dead: int
    redelivered: int
    unclean: list[str]
    surprises: list[str]
    items: Verdict
    tenants: int = 0  # items that were put into rooms
    tenancy: Sequence[str] = ()  # what is wrong with those
    not_pictured: Sequence[str] = ()  # images that were not fetched in the end

    @property
    def faults(self) -> list[str]:
        of_items = [f"items, {fault}" for fault in self.items.faults]
        return [
            *self.verdict.faults,
            *of_items,
            *self.tenancy,
            *(f"not fetched: {image}" for image in self.not_pictured),
            *self.unclean,
            *self.surprises,
        ]


@dataclass
class Chaos:
    """`servers` are taken away too, where they are given. Each deed is told to `say`."""

    system: System
    seed: int
    say: Callable[[str], None]
    servers: ServerControl | None = None
    _unclean: list[str] = field(default_factory=list)
    _away: dict[str, float] = field(default_factory=dict)  # until when

    def __post_init__(self) -> None:
        self._chance = random.Random(self.seed)
        self._deeds: list[tuple[Callable[[], None], int]] = [
            (self._kill, 4),
            (self._terminate, 3),
            (self._suspend, 3),
            (self._double, 3),
            (self._repeat, 3),
        ]
        if self.servers is not None:
            self._deeds += [(self._take_server_away, 2)]

    def run(self, seconds: float) -> Outcome:
        """Rages for so long, puts everything right again, and compares."""
        ledger, of_items = Ledger(), Ledger()
        self._broker = connect(self.system.environ["BROKER_URL"], "chaos")
        try:
            with (
                self._witnessed(),
                Writers(self.system, ledger, seed=self.seed),
                Writers(self.system, of_items, count=1, seed=self.seed, service="items"),
                Tenants(self.system, ledger, seed=self.seed) as tenants,
            ):
                deadline = time.monotonic() + seconds
                eventually(lambda: ledger.writes > 20 and of_items.writes > 5 and tenants.moved_in > 5)
                deeds, weights = zip(*self._deeds, strict=True)
                while time.monotonic() < deadline:
                    self._bring_back(time.monotonic())
                    self._chance.choices(deeds, weights)[0]()
                    time.sleep(self._chance.uniform(0, 1))
                self._bring_back(float("inf"))
                for command in set(self.system.processes) - set(self.system.commands):
                    self._end(command)
            self.say(f"{ledger.writes} writes were acknowledged; waiting until all is found")
            verdict = settle(self.system, ledger)
            items = settle(self.system, of_items, service="items", counts=lambda item: item["room_id"] is None)
            wrong = tenancy(self.system)
            missing = [path for service in ("rooms", "items") for path in not_pictured(self.system, service)]
            dead = sum(self._broker.depth(queue.dead) for queue in TOPOLOGY.queues)
        finally:
            self._broker.close()
        return Outcome(
            seed=self.seed,
            verdict=verdict,
            writes=ledger.writes + of_items.writes + tenants.moved_in,
            dead=dead,
            redelivered=_redelivered(self.system.log()),
            unclean=self._unclean,
            surprises=[*ledger.surprises, *of_items.surprises, *tenants.surprises],
            items=items,
            tenants=tenants.moved_in,
            tenancy=wrong,
            not_pictured=missing,
        )

    # What can happen

    def _kill(self) -> None:
        command = self._anyone()
        self.say(f"SIGKILL to {' '.join(command)}")
        self.system.end(signal.SIGKILL, command)
        self._relaunch(command)

    def _terminate(self) -> None:
        command = self._anyone()
        self.say(f"SIGTERM to {' '.join(command)}")
        self._end(command)
        self._relaunch(command)

    def _suspend(self) -> None:
        command = self._anyone()
        seconds = self._chance.uniform(0.2, 3)
        self.say(f"SIGSTOP to {' '.join(command)} for {seconds:.1f} s")
        process = self.system.processes[command]
        process.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        process.send_signal(signal.SIGCONT)

    def _double(self) -> None:
        """A second relay or, where more than one may write to the index, a second indexer; or the end of it."""
        kinds = [("rooms", "relay"), ("items", "relay")]
        if self.servers is not None:
            kinds += [("search", "consumer"), ("items", "consumer")]
        second = (*self._chance.choice(kinds), "second")
        if second in self.system.processes:
            self.say(f"the end of a second {' '.join(second[:2])}")
            self._end(second)
        else:
            self.say(f"a second {' '.join(second[:2])}")
            self.system.launch(second)

    def _repeat(self) -> None:
        """Old events come again, twice each and in any order."""
        with self._seeing:
            chosen = self._chance.sample(self._seen, min(len(self._seen), 200))
        again = chosen * 2
        self._chance.shuffle(again)
        self.say(f"{len(again)} old events are published again")
        publisher = self._broker.publisher()
        try:
            for exchange, type in ((ROOMS, "Room"), (ITEMS, "Item")):
                publisher.publish(exchange, [each for each in again if each.routing_key.startswith(type)], 5)
        except Unavailable as error:
            self.say(f"… or perhaps not: {error}")
        finally:
            publisher.close()

    def _take_server_away(self) -> None:
        """For some seconds, in which other things happen too."""
        assert self.servers is not None
        (name,) = self._chance.choices(list(_SERVERS), list(_SERVERS.values()))
        how = self._chance.choice(("stop", "kill"))
        if name not in self._away:
            self.say(f"{how} {name}")
            getattr(self.servers, how)(name)
            self._away[name] = time.monotonic() + self._chance.uniform(0, 6)

    def _bring_back(self, now: float) -> None:
        for name in [name for name, due in self._away.items() if due < now]:
            assert self.servers is not None
            self.say(f"start {name}")
            self.servers.start(name)
            del self._away[name]

    # How

    def _anyone(self) -> Command:
        return self._chance.choice(sorted(self.system.processes))

    def _end(self, command: Command) -> None:
        """In order. One that was told while it was still being loaded has had no time for manners."""
        (status,) = self.system.end(signal.SIGTERM, command, seconds=25).values()
        if status not in (0, -signal.SIGTERM):
            self._unclean.append(f"{' '.join(command)} ended with {status} when it was told to end")

    def _relaunch(self, command: Command) -> None:
        time.sleep(self._chance.uniform(0, 1))
        self.system.launch(command)

    @contextmanager
    def _witnessed(self) -> Iterator[None]:
        self._seen: list[Message] = []
        self._seeing = Lock()
        self._forgetting = random.Random(self.seed)
        with in_background(lambda stop: _watch(self._broker, self._see, stop)):
            yield

    def _see(self, message: Message) -> None:
        with self._seeing:
            if len(self._seen) < _REMEMBERED:
                self._seen.append(message)
            else:
                self._seen[self._forgetting.randrange(_REMEMBERED)] = message


def _watch(broker: Broker, see: Callable[[Message], None], stop: Event) -> None:
    subscription = broker.subscribe(WITNESS, prefetch=500)
    while not stop.is_set():
        deliveries = subscription.take(500, 0.05, 0.5)
        for delivery in deliveries:
            see(delivery.message)
        subscription.ack(deliveries)
    subscription.close()


def _redelivered(log: str) -> int:
    """How often a consumer was handed what had been handed out before."""
    lines = (json.loads(line) for line in log.splitlines() if '"redelivered"' in line and line.endswith("}"))
    return sum(int(line["redelivered"]) for line in lines)
