"""Housekeeping forgets idempotency keys after a day, again and again, whatever the database does meanwhile."""

import threading
from datetime import UTC, datetime, timedelta

import pytest

from common.errors import Unavailable
from common.listings import housekeeping
from common.listings.housekeeping import Housekeeping
from common.listings.ports import Clock, Listings
from common.testing.waiting import eventually, in_background

NOW = datetime(2026, 5, 2, 12, tzinfo=UTC)


class Noon(Clock):
    def now(self) -> datetime:
        return NOW


class Keys:
    """Keeps when keys came, and says now and then that it is away."""

    def __init__(self, *came: datetime) -> None:
        self.came, self.asked, self.away = list(came), 0, 0

    def forget_keys(self, before: datetime) -> int:
        self.asked += 1
        if self.away:
            self.away -= 1
            raise Unavailable("the database", "it is night")
        old = [each for each in self.came if each < before]
        self.came = [each for each in self.came if each >= before]
        return len(old)


def kept(keys: Keys) -> Housekeeping:
    listings: Listings = keys  # type: ignore[assignment]
    return Housekeeping(listings, Noon())


def test_keys_are_forgotten_after_a_day():
    fresh, old = NOW - timedelta(hours=23, minutes=59), NOW - timedelta(hours=24, minutes=1)
    keys = Keys(fresh, old, NOW)
    assert kept(keys)() == 1
    assert keys.came == [fresh, NOW]
    assert kept(keys)() == 0


def test_it_looks_again_and_again_and_waits_for_a_database_that_is_away(monkeypatch, caplog):
    monkeypatch.setattr(housekeeping, "EVERY", 0.001)
    monkeypatch.setattr(housekeeping, "AGAIN", 0.001)
    keys = Keys(NOW - timedelta(days=2))
    keys.away = 3
    with in_background(kept(keys).run):
        eventually(lambda: not keys.came)
        keys.came.append(NOW - timedelta(days=3))
        eventually(lambda: not keys.came)
    assert caplog.text.count("housekeeping is put off: the database is not available: it is night") == 3


def test_it_ends_when_it_is_told_however_long_it_would_wait():
    keys, stop = Keys(), threading.Event()
    thread = threading.Thread(target=kept(keys).run, args=(stop,))
    thread.start()
    eventually(lambda: keys.asked == 1)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize("service", ["rooms", "items"])
def test_it_runs_beside_the_relay(service, sqlite_url, embedded_broker_url):
    from importlib import import_module

    from injector import Injector

    from common.config import load
    from common.db.doorbell import Doorbell
    from common.messaging.port import Broker

    made = import_module(f"{service}.bootstrap").SERVICE
    injector = Injector(made.modules(load(made.config, {"DATABASE_URL": sqlite_url, "BROKER_URL": embedded_broker_url})))
    try:
        assert set(made.running(injector, "relay")) == {"relay", "housekeeping"}
    finally:
        injector.get(Doorbell).close()
        injector.get(Broker).close()
