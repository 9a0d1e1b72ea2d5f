"""Which servers are left alone for a while."""

from common.images import hosts
from common.images.hosts import Hosts


def test_of_hosts_that_let_us_wait_the_last_ones_are_remembered(monkeypatch):
    monkeypatch.setattr(hosts, "MOST", 3)
    resting = Hosts(rest=3600)
    for number in (1, 2, 3, 1, 4, 4):
        resting.silent(f"{number}.example")
    assert resting.busy() == ["3.example", "1.example", "4.example"]
