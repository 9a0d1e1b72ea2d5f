"""Wakes the relay when something was written, in this process or in another, at no cost to the write."""

import threading
import time
from abc import ABC, abstractmethod
from typing import Any, cast

import psycopg
from sqlalchemy import Engine

from common.errors import Unavailable

#: Seconds: between two looks at SQLite's change counter, at least between two NOTIFY of one process, to end.
LOOK, COALESCE = 0.01, 0.01
CLOSE = 2.0
CHANNEL = "outbox"


class Doorbell(ABC):
    """Rings are coalesced and may be missed: who waits must also look from time to time."""

    @abstractmethod
    def ring(self) -> None:
        """Something was written. Returns at once; any thread may call it."""

    @abstractmethod
    def wait(self, timeout: float) -> None:
        """Returns after a ring since the last wait, or after `timeout` seconds. One thread may wait."""

    @abstractmethod
    def close(self) -> None:
        """Ends what runs in the background."""


def doorbell(engine: Engine) -> Doorbell:
    return PostgresDoorbell(engine) if engine.dialect.name == "postgresql" else SqliteDoorbell(engine)


class SqliteDoorbell(Doorbell):
    """Every commit by another connection moves SQLite's `data_version`, also across processes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rung = threading.Event()
        self._looking: Any = None
        self._seen: int | None = None

    def ring(self) -> None:
        self._rung.set()

    def wait(self, timeout: float) -> None:
        deadline = time.monotonic() + timeout
        if self._looking is None:
            # The counter is a connection's own: it must be the same one each time.
            self._looking = _out_of_the_pool(self._engine)
        while time.monotonic() < deadline and not self._rung.wait(LOOK):
            (version,) = self._looking.execute("PRAGMA data_version").fetchone()
            if version != self._seen:
                self._seen = version
                break
        self._rung.clear()

    def close(self) -> None:
        if self._looking is not None:
            self._looking.close()


class PostgresDoorbell(Doorbell):
    """LISTEN and NOTIFY. NOTIFY comes from a thread of its own, so that no commit waits for its global lock."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._rung, self._closed = threading.Event(), threading.Event()
        self._notifier: threading.Thread | None = None
        self._starting = threading.Lock()
        self._listening: psycopg.Connection[Any] | None = None

    def ring(self) -> None:
        self._rung.set()
        if self._notifier is None:
            with self._starting:
                if self._notifier is None:
                    self._notifier = threading.Thread(target=self._notify, name="doorbell", daemon=True)
                    self._notifier.start()

    def _notify(self) -> None:
        while not self._closed.is_set():
            self._rung.wait()
            self._rung.clear()
            try:
                with self._engine.connect() as connection:
                    connection.exec_driver_sql(f"NOTIFY {CHANNEL}")
            except Unavailable:
                pass  # the relay looks by itself
            self._closed.wait(COALESCE)

    def wait(self, timeout: float) -> None:
        try:
            if self._listening is None:
                self._listening = self._listen()
            for patience, enough in ((timeout, 1), (0, None)):  # wait for one, then take all that have come
                for _ in self._listening.notifies(timeout=patience, stop_after=enough):
                    pass
        except (Unavailable, psycopg.Error):
            if self._listening is not None:
                self._listening.close()
            self._listening = None
            self._closed.wait(timeout)  # the database is away: the caller will notice

    def _listen(self) -> "psycopg.Connection[Any]":
        connection = cast("psycopg.Connection[Any]", _out_of_the_pool(self._engine))
        connection.autocommit = True
        connection.execute(f"LISTEN {CHANNEL}")
        return connection

    def close(self) -> None:
        self._closed.set()
        self._rung.set()
        if self._notifier is not None:
            self._notifier.join(CLOSE)
        if self._listening is not None:
            self._listening.close()


def _out_of_the_pool(engine: Engine) -> Any:
    """A driver's connection of our own, with everything that the engine sets up."""
    pooled = engine.raw_connection()
    connection = pooled.driver_connection
    pooled.detach()
    return connection
