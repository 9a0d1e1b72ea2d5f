"""Killed at every step of the way of the data, under writes, and started again: nothing is lost, nothing is made up."""

import signal
from typing import Any
from uuid import uuid4

import pytest

from common.failpoints import NAMES
from common.messaging.port import Broker, Message
from common.messaging.topology import ROOMS, SEARCH_ROOMS
from common.testing.ledger import Ledger, State
from common.testing.settling import settle
from common.testing.system import Command, System
from common.testing.waiting import eventually
from common.testing.writers import Writers

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(400)]

#: What a step is part of: `index` and the publisher of dead letters are the consumer's, the other publisher is the relay's.
TASKS = {"api": "api", "relay": "relay", "publisher": "relay", "consumer": "consumer", "index": "consumer"}
#: Steps that are only taken for an event that cannot be applied.
POISONED = {"consumer.bury", "consumer.buried"}


def owner(system: System, name: str) -> Command:
    """The process that passes this point."""
    task = TASKS[name.partition(".")[0]]
    service = "search" if task == "consumer" else "rooms"
    return next(command for command in system.commands if command[0] == service and command[1] in (task, "all"))


def arming(name: str | None) -> dict[str, str]:
    return {} if name is None else {"FAILPOINTS": f"{name}=kill@3"}


def published(system: System, ledger: Ledger, name: str) -> dict[str, Any]:
    """A room of ours beside those of the writers."""
    listing = {"name": name, "description": "-", "price": 1, "recurrency": "daily", "provider": "test"}
    answer = system.rooms.post(
        "/v1.0/rooms", json=listing | {"url": f"https://test.example/{uuid4()}", "coordinates": {"lat": 0, "lon": 0}}
    )
    room: dict[str, Any] = answer.json()
    ledger.published(room["id"], room["url"], State(1, room=room))
    return room


def dead(broker: Broker) -> dict[str, Message]:
    """The dead letters, by the room that each is about."""
    return {str(letter.headers["cloudEvents_subject"]): letter for letter in broker.browse(SEARCH_ROOMS.dead, 100)}


def republish(broker: Broker, messages: list[Message]) -> None:
    publisher = broker.publisher()
    assert all(publisher.publish(ROOMS, messages, 10))
    publisher.close()


def test_killed_at_each_step_it_loses_nothing(system: System, ledger: Ledger, all_is_well):
    waiting: dict[Command, list[str]] = {command: [] for command in system.commands}
    for name in NAMES:
        if name not in POISONED:
            waiting[owner(system, name)].append(name)
    killed: list[str] = []
    with Writers(system, ledger):
        system.end(signal.SIGKILL)
        armed = {command: names.pop(0) for command, names in waiting.items() if names}
        for command in system.commands:
            system.launch(command, **arming(armed.get(command)))
        while armed:
            command = eventually(
                lambda: next((each for each in armed if system.processes[each].poll() is not None), None), seconds=60
            )
            name = armed.pop(command)
            assert system.processes[command].returncode == -signal.SIGKILL, name
            killed.append(name)
            if waiting[command]:
                armed[command] = waiting[command].pop(0)
            system.launch(command, **arming(armed.get(command)))
    assert sorted(killed) == sorted(set(NAMES) - POISONED)
    all_is_well()


def test_killed_while_it_buries_a_poison_event_it_keeps_the_event_and_its_neighbours(
    system: System, ledger: Ledger, broker: Broker
):
    consumer = owner(system, "consumer.bury")
    reject = "consumer.apply=reject:Poison"
    poison = []
    with Writers(system, ledger):
        for name in sorted(POISONED):
            system.end(signal.SIGKILL, consumer)
            system.launch(consumer, FAILPOINTS=f"{reject},{name}=kill")
            poison.append(published(system, ledger, name=f"Poison for {name}"))
            assert eventually(system.processes[consumer].poll, seconds=60) == -signal.SIGKILL
        system.launch(consumer, FAILPOINTS=reject)
        letters = eventually(lambda: found if len(found := dead(broker)) >= len(poison) else None, seconds=60)
    assert set(letters) == {room["id"] for room in poison}
    assert {letter.headers["dead_reason"] for letter in letters.values()} == {"failpoint"}
    verdict = settle(system, ledger, seconds=1)
    assert sorted(fault.partition(":")[0] for fault in verdict.lost) == sorted(letters), "all but the poison are found"
    assert len(verdict.faults) == len(letters)

    system.end(signal.SIGKILL, consumer)
    system.start(consumer)  # the cause is gone
    republish(broker, list(letters.values()))
    assert settle(system, ledger).faults == []
