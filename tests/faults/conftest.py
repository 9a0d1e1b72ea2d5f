"""What the tests of faults have in common: a ledger, a room of their own beside the writers', the broker, and how each test ends."""

import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from uuid import uuid4

import pytest

from common.messaging.connect import connect
from common.messaging.port import Broker, Message
from common.messaging.topology import ROOMS, SEARCH_ROOMS
from common.testing.ledger import Ledger, State
from common.testing.settling import settle
from common.testing.system import System


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def broker(system: System) -> Iterator[Broker]:
    """The system's broker, for a look or a word of our own."""
    broker = connect(system.environ["BROKER_URL"], "test")
    yield broker
    broker.close()


@pytest.fixture
def published(system: System, ledger: Ledger) -> Callable[..., dict[str, Any]]:
    """Publishes a room and notes it in the ledger."""

    def publish(**given: Any) -> dict[str, Any]:
        listing = {"name": "Room", "description": "-", "price": 1, "recurrency": "daily", "provider": "test"}
        listing |= {"url": f"https://test.example/{uuid4()}", "coordinates": {"lat": 0, "lon": 0}} | given
        answer = system.rooms.post("/v1.0/rooms", json=listing)
        assert answer.status_code == 201, answer.text
        room: dict[str, Any] = answer.json()
        ledger.published(room["id"], room["url"], State(1, room=room))
        return room

    return publish


@pytest.fixture
def republish(broker: Broker) -> Iterator[Callable[[Sequence[Message]], None]]:
    """Sends events that were published before once more, past the outbox."""
    publisher = broker.publisher()

    def send(messages: Sequence[Message]) -> None:
        assert all(publisher.publish(ROOMS, messages, 10))

    yield send
    publisher.close()


@pytest.fixture
def dead(broker: Broker) -> Callable[[], dict[str, Message]]:
    """Answers the dead letters, by the subject that each is about."""
    return lambda: {str(letter.headers["cloudEvents_subject"]): letter for letter in broker.browse(SEARCH_ROOMS.dead, 100)}


@pytest.fixture
def all_is_well(system: System, ledger: Ledger, dead: Callable[[], dict[str, Message]]) -> Callable[[], None]:
    """Asserts that acknowledged is found, lost 0, phantom 0, resurrected 0, duplicated 0, and that no event is a dead letter."""

    def assert_it() -> None:
        verdict = settle(system, ledger)
        assert ledger.surprises == []
        assert verdict.faults == []
        assert verdict.found == verdict.acknowledged > 0
        kinds = [] if any(command[0] == "items" for command in system.commands) else ["rooms"]
        audit = [sys.executable, "-m", "search", "audit", *kinds, "--json"]
        audited = subprocess.run(audit, env=dict(system.environ), capture_output=True, text=True, timeout=120, check=False)
        assert audited.returncode == 0, audited.stdout + audited.stderr
        assert {subject: letter.headers["dead_detail"] for subject, letter in dead().items()} == {}

    return assert_it
