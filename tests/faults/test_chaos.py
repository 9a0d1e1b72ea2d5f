"""A short run of chaos on the real servers; `make chaos` runs longer ones."""

import pytest

from common.testing.chaos import Chaos
from common.testing.real_servers import ServerControl
from common.testing.system import System

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(400)]


@pytest.mark.parametrize("stack", ["real"], indirect=True)
@pytest.mark.parametrize("seed", [1, 2])
def test_whatever_happens_nothing_is_lost_made_up_or_brought_back(whole: System, server_control: ServerControl, seed: int):
    outcome = Chaos(whole, seed, print, server_control).run(seconds=15)
    assert outcome.faults == []
    assert outcome.verdict.found == outcome.verdict.acknowledged > 0
    assert outcome.items.found == outcome.items.acknowledged > 0
    assert outcome.tenants > 0
    assert outcome.dead == 0
