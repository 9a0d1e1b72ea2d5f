"""A neighbour is away: what can go on goes on, and once it is back all that was acknowledged is found, nothing as a dead letter."""

import time

import pytest

from common.testing.ledger import Ledger
from common.testing.real_servers import ServerControl
from common.testing.system import System
from common.testing.waiting import eventually
from common.testing.writers import Writers

pytestmark = [
    pytest.mark.faults,
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.parametrize("stack", ["real"], indirect=True),
]

OUTAGE = 60.0  # seconds


@pytest.mark.parametrize(
    ("server", "how"), [("rabbitmq", "stop"), ("elasticsearch", "stop"), ("rabbitmq", "kill"), ("elasticsearch", "kill")]
)
def test_writes_go_on_and_all_are_found_afterwards(
    system: System, ledger: Ledger, server_control: ServerControl, all_is_well, server: str, how: str
) -> None:
    with Writers(system, ledger, pause=0.05):
        eventually(lambda: ledger.writes > 20)
        getattr(server_control, how)(server)
        before = ledger.writes
        time.sleep(OUTAGE if how == "stop" else OUTAGE / 6)
        assert ledger.writes > before + 20
        assert system.rooms.get("/readyz").status_code == 200
        assert system.search.get("/readyz").status_code == 200
        neighbours = system.rooms.get("/health-check").json()["checks"] | system.search.get("/health-check").json()["checks"]
        assert neighbours["broker" if server == "rabbitmq" else "index"]["status"] != "ok"
        server_control.start(server)
        after = ledger.writes
        eventually(lambda: ledger.writes > after + 20)
    assert not ledger.refused, "every write was acknowledged"
    all_is_well()


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_without_the_database_writes_are_refused_and_what_was_acknowledged_stays(
    system: System, ledger: Ledger, server_control: ServerControl, all_is_well, how: str
) -> None:
    with Writers(system, ledger, pause=0.05):
        eventually(lambda: ledger.writes > 20)
        getattr(server_control, how)("postgresql")
        eventually(lambda: ledger.refused[503] > 3)
        time.sleep(OUTAGE if how == "stop" else OUTAGE / 6)
        refusal = system.rooms.get("/v1.0/rooms")
        assert (refusal.status_code, system.rooms.get("/readyz").status_code) == (503, 503)
        assert int(refusal.headers["Retry-After"]) > 0
        assert system.search.get("/v1.0/search/rooms").status_code == 200, "search does not need it"
        server_control.start("postgresql")
        after = ledger.writes
        eventually(lambda: ledger.writes > after + 20)
    assert set(ledger.refused) <= {0, 503}
    all_is_well()


def test_restarts_of_every_server_in_turn_cost_nothing(
    system: System, ledger: Ledger, server_control: ServerControl, all_is_well
) -> None:
    with Writers(system, ledger, pause=0.05):
        for server in ("rabbitmq", "postgresql", "elasticsearch"):
            server_control.stop(server)
            server_control.start(server)
            after = ledger.writes
            eventually(lambda after=after: ledger.writes > after + 20)
    all_is_well()
