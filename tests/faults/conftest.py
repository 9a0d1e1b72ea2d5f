"""What the tests of faults have in common: a ledger, and the end that each of them comes to."""

from collections.abc import Callable, Iterator

import pytest

from common.messaging.connect import connect
from common.messaging.port import Broker
from common.messaging.topology import SEARCH_ROOMS
from common.testing.ledger import Ledger
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
def all_is_well(system: System, ledger: Ledger, broker: Broker) -> Callable[[], None]:
    """Asserts that acknowledged is found, lost 0, phantom 0, resurrected 0, duplicated 0, and no event is a dead letter."""

    def assert_it() -> None:
        verdict = settle(system, ledger)
        assert ledger.surprises == []
        assert verdict.faults == []
        assert verdict.found == verdict.acknowledged > 0
        assert [(each.routing_key, each.headers["dead_detail"]) for each in broker.browse(SEARCH_ROOMS.dead, 10)] == []

    return assert_it
