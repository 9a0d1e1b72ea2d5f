"""Killed at every step of the way of the data, under writes, and started again: nothing is lost, nothing is made up."""

import signal

import pytest

from common.failpoints import NAMES
from common.testing.ledger import Ledger
from common.testing.settling import settle
from common.testing.system import Command, System
from common.testing.tenants import Tenants, tenancy
from common.testing.waiting import eventually
from common.testing.writers import Writers

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(400)]

#: Whose process passes a step: `index` is the consumer's of search; the publisher is the relay's, and a consumer's for its dead letters.
OWNERS = {
    "api": ("rooms", "api"),
    "relay": ("rooms", "relay"),
    "publisher": ("rooms", "relay"),
    "consumer": ("search", "consumer"),
    "index": ("search", "consumer"),
    "items": ("items", "consumer"),
    "images": ("rooms", "images"),
}
#: Steps that are only taken for an event that cannot be applied.
BURIAL = ("consumer.bury", "consumer.buried")


@pytest.fixture
def system(whole: System) -> System:
    """With items: they have steps of their own."""
    return whole


def owner(system: System, name: str) -> Command:
    """The process that passes this point."""
    service, task = OWNERS[name.partition(".")[0]]
    return next(command for command in system.commands if command[0] == service and command[1] in (task, "all"))


def armed_with(name: str | None) -> dict[str, str]:
    return {} if name is None else {"FAILPOINTS": f"{name}=kill@3"}


def test_killed_at_each_step_it_loses_nothing(system: System, ledger: Ledger, all_is_well):
    waiting: dict[Command, list[str]] = {command: [] for command in system.commands}
    for name in NAMES:
        if name not in BURIAL:
            waiting[owner(system, name)].append(name)
    killed: list[str] = []
    things = Ledger()
    with Writers(system, ledger), Writers(system, things, 1, service="items"), Tenants(system, ledger) as tenants:
        system.end(signal.SIGKILL)
        armed = {command: names.pop(0) for command, names in waiting.items() if names}
        for command in system.commands:
            system.launch(command, **armed_with(armed.get(command)))
        while armed:
            command = eventually(lambda: next((each for each in armed if system.processes[each].poll()), None), seconds=60)
            name = armed.pop(command)
            assert system.processes[command].returncode == -signal.SIGKILL, name
            killed.append(name)
            if waiting[command]:
                armed[command] = waiting[command].pop(0)
            system.launch(command, **armed_with(armed.get(command)))
    assert sorted(killed) == sorted(set(NAMES) - set(BURIAL)), "each was passed, and none survived"
    all_is_well()
    assert settle(system, things, service="items", counts=lambda item: item["room_id"] is None).faults == []
    assert (things.surprises, tenants.surprises, tenancy(system)) == ([], [], [])
    assert "came again" in system.log(), "what the dead had in their hands"


def test_killed_while_it_buries_a_poison_event_it_keeps_it_and_its_neighbours(system: System, ledger, published, dead, republish):
    consumer = owner(system, "consumer.bury")
    reject = "consumer.apply=reject:Poison"
    poison = []
    with Writers(system, ledger):
        for name in BURIAL:
            system.end(signal.SIGKILL, consumer)
            system.launch(consumer, FAILPOINTS=f"{reject},{name}=kill")
            poison.append(published(name=f"Poison for {name}")["id"])
            assert eventually(system.processes[consumer].poll, seconds=60) == -signal.SIGKILL
        system.launch(consumer, FAILPOINTS=reject)
        eventually(lambda: dead().keys() >= set(poison), seconds=60)
    letters = dead()
    assert {letter.headers["dead_reason"] for letter in letters.values()} == {"failpoint"}
    verdict = settle(system, ledger, seconds=10)  # which it takes, as the poison never comes
    assert sorted(fault.partition(":")[0] for fault in verdict.lost) == sorted(letters) == sorted(poison)
    assert len(verdict.faults) == len(poison), "all but the poison are found"

    system.end(signal.SIGKILL, consumer)
    system.start(consumer)  # the cause is gone
    republish(list(letters.values()))
    assert settle(system, ledger).faults == []
