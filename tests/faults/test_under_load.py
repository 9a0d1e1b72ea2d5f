"""Under writes: more processes than one, a full outbox, the order to end. Nothing is lost."""

import signal

import pytest

from common.testing.ledger import Ledger
from common.testing.system import System
from common.testing.waiting import eventually
from common.testing.writers import Writers

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("stack", ["real"], indirect=True)
def test_two_relays_and_two_indexers_share_the_work_and_lose_nothing(system: System, ledger: Ledger, all_is_well):
    seconds = [("rooms", "relay", "second"), ("search", "consumer", "second")]
    for command in seconds:
        system.launch(command)
    with Writers(system, ledger, count=4, pause=0):
        eventually(lambda: ledger.writes > 300)
        system.end(signal.SIGKILL, ("rooms", "relay"), seconds[1])  # the others carry on, with what these held
        enough = ledger.writes + 300
        eventually(lambda: ledger.writes > enough)
    all_is_well()


def test_a_full_outbox_refuses_and_drains_with_nothing_lost(system: System, ledger: Ledger, published, all_is_well):
    commands = [command for command in system.commands if command[0] == "rooms"]
    system.end(signal.SIGTERM, *commands)
    for command in commands:
        system.launch(command, FAILPOINTS="relay.taken=error", OUTBOX_MAX="50")
    system.wait_until_ready()
    with Writers(system, ledger):
        eventually(lambda: ledger.refused[503] > 10)
        room = eventually(lambda: next(iter(system.rooms.get("/v1.0/rooms").json()), None))
        refusal = system.rooms.patch(f"/v1.0/rooms/{room['id']}", json={"price": 7})
        assert refusal.status_code == 503
        assert int(refusal.headers["Retry-After"]) > 0
        assert refusal.json()["type"].endswith("unavailable")
        assert system.rooms.get(f"/v1.0/rooms/{room['id']}").json() == room, "refused means not done"
        assert system.rooms.get("/readyz").status_code == 200
        system.end(signal.SIGTERM, *commands)
        system.start(*commands)
        enough = ledger.writes + 50
        eventually(lambda: ledger.writes > enough)
    all_is_well()


def test_told_to_end_under_load_each_process_ends_in_order(system: System, ledger: Ledger, all_is_well):
    with Writers(system, ledger, count=4, pause=0):
        for _ in range(3):
            enough = ledger.writes + 100
            eventually(lambda enough=enough: ledger.writes > enough)
            statuses = system.end(signal.SIGTERM)
            assert set(statuses.values()) == {0}, statuses
            system.start()
    assert set(ledger.refused) <= {0, 503}, "cut off, or told to come again"
    all_is_well()
    assert "Traceback" not in system.log()
