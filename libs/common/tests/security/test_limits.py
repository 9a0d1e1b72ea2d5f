"""How often somebody may ask."""

import pytest

from common.security.limits import RateLimit


class Clock:
    now = 60_000.0  # a window begins

    def __call__(self) -> float:
        return self.now


def test_so_many_a_minute_and_the_rest_learns_when() -> None:
    limit = RateLimit(10, clock=(clock := Clock()))
    assert [limit.wait("ann") for _ in range(10)] == [0] * 10
    assert limit.wait("ann") > 0
    assert limit.wait("bob") == 0
    clock.now += 180
    assert limit.wait("ann") == 0


@pytest.mark.parametrize("amount", [1, 2, 7, 60])
@pytest.mark.parametrize("start", [0.0, 13.7, 59.9])
def test_who_waits_as_long_as_told_is_let_in_and_not_much_earlier(amount: int, start: float) -> None:
    limit = RateLimit(amount, clock=(clock := Clock()))
    clock.now += start
    for _ in range(3 * amount):
        while not (seconds := limit.wait("ann")):
            clock.now += 0.5
        clock.now += seconds - 1.01
        assert seconds == 1 or limit.wait("ann") > 0
        clock.now += 1.02
        assert limit.wait("ann") == 0


def test_a_full_window_cannot_be_spent_twice_at_its_edge() -> None:
    limit = RateLimit(10, clock=(clock := Clock()))
    clock.now += 59
    assert sum(not limit.wait("ann") for _ in range(20)) == 10
    clock.now += 2
    assert sum(not limit.wait("ann") for _ in range(20)) <= 1


def test_a_flood_of_addresses_makes_us_forget_the_silent_ones_alone() -> None:
    limit = RateLimit(2, kept=100, clock=Clock())
    assert [bool(limit.wait("busy")) for _ in range(3)] == [False, False, True]
    for number in range(1000):
        assert limit.wait(f"10.0.{number // 250}.{number % 250}") == 0
        assert limit.wait("busy") > 0
    assert len(limit._storage) == 100
