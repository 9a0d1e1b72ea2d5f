"""While a neighbour is down or the outbox is full: 503 with Retry-After, never a 500, and all is well again afterwards."""

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlalchemy import delete, make_url

from common.db.engine import open_engine, transaction
from common.testing.listings.api import NDJSON, NOWHERE, Api, Serve, lines
from common.testing.listings.tested import Body, Make, Tested
from common.testing.waiting import eventually


def unavailable(answer: httpx.Response) -> dict[str, Any]:
    assert (answer.status_code, answer.headers["Content-Type"]) == (503, "application/problem+json"), answer.text
    assert int(answer.headers["Retry-After"]) >= 1
    problem: dict[str, Any] = answer.json()
    assert problem["type"] == "/problems/unavailable"
    return problem


def every_operation(api: Api, listing: Make) -> Iterator[httpx.Response]:
    yield api.client.post(api.path, json=listing())
    yield api.client.get(api.path)
    yield api.client.get(api.nobody)
    yield api.client.put(api.nobody, json=listing())
    yield api.client.patch(api.nobody, json={})
    yield api.client.delete(api.nobody)
    yield sent(api, listing())
    yield api.client.get(f"{api.path}/summary")
    yield api.client.get(f"{api.path}/export")


def sent(api: Api, body: Body) -> httpx.Response:
    """An import."""
    return api.client.post(f"{api.path}/import", content=lines([body]), headers=NDJSON)


class TestUnavailable:
    def test_a_full_outbox_refuses_writes_and_reads_go_on(
        self, serve: Serve, database_url: str, tested: Tested, listing: Make
    ) -> None:
        api = serve(database_url, OUTBOX_MAX="3")
        keyed, headers = listing(), {"Idempotency-Key": "k-1"}
        made = [api.create(keyed, **headers), *(api.create(listing()) for _ in range(2))]
        path = api.at(made[0])
        for refused in (
            api.client.post(api.path, json=listing()),
            api.client.put(path, json=listing()),
            api.client.patch(path, json={"name": "1"}),
            api.client.delete(path),
            sent(api, listing()),
        ):
            assert unavailable(refused)["detail"] == "the outbox is full (3 of at most 3 events wait for the broker)"
            assert refused.headers["Retry-After"] == "5"
        assert api.client.get(api.path).json() == made
        assert api.client.get(path).json() == made[0]
        assert len(api.events()) == 3
        health = api.client.get("/health-check").json()
        assert (health["status"], health["checks"]["outbox"]["status"], health["checks"]["outbox"]["pending"]) == (
            "degraded",
        ) * 2 + (3,)
        assert health["checks"]["outbox"]["detail"] == "the outbox is full (3 of at most 3 events wait for the broker)"
        assert health["checks"]["outbox"]["oldest_seconds"] > 0
        assert api.client.get("/readyz").status_code == 200
        # What changes nothing needs no room.
        assert sent(api, made[1]).json()["outcome"] == "unchanged"
        assert api.create(keyed, **headers) == made[0]
        assert api.client.post(api.path, json={}).status_code == 400

        engine = open_engine(database_url)
        with transaction(engine) as connection:
            connection.execute(delete(tested.service.tables.outbox))
        engine.dispose()
        # A full outbox is counted again ten times a second, not for each write.
        eventually(lambda: api.client.post(api.path, json=listing()).status_code == 201, seconds=2)
        outbox_now = api.client.get("/health-check").json()["checks"]["outbox"]
        assert (outbox_now["status"], outbox_now["pending"], outbox_now["detail"]) == ("ok", 1, "")

    @pytest.mark.parametrize("url", [NOWHERE, "sqlite:///{tmp}/a-file/database.db"])
    def test_a_database_that_is_away_makes_everything_wait(self, serve: Serve, listing: Make, tmp_path: Path, url: str) -> None:
        if url.startswith("sqlite"):
            (tmp_path / "a-file").mkdir()
            (tmp_path / "a-file" / "database.db").write_text("not a database, but a text of some length: " * 100)
        api = serve(url.format(tmp=tmp_path), migrate=False)
        for answer in every_operation(api, listing):
            assert "secret" not in answer.text
            assert unavailable(answer)["detail"] == "the database is not available"
        assert api.client.get("/livez").status_code == 200
        assert api.client.get("/readyz").status_code == 503
        health = api.client.get("/health-check")
        assert (health.status_code, health.json()["checks"]["database"]["status"]) == (503, "down")
        assert "secret" not in health.text
        assert api.client.post(api.path, json={}).status_code == 400

    def test_a_database_that_comes_back_is_used_again(self, serve: Serve, postgres_url: str, listing: Make) -> None:
        real = make_url(postgres_url)
        with Gate(real.host or "127.0.0.1", real.port or 5432) as gate:
            api = serve(real.set(host="127.0.0.1", port=gate.port).render_as_string(hide_password=False))
            made = api.create(listing())
            for _ in range(2):
                gate.shut()
                for answer in every_operation(api, listing):
                    unavailable(answer)
                gate.open()
                assert api.client.get(api.at(made)).json() == made
                api.create(listing())
            assert len(api.client.get(api.path).json()) == 3

    def test_a_broker_that_is_away_stops_nothing(self, serve: Serve, database_url: str, listing: Make) -> None:
        api = serve(database_url, BROKER_URL="amqp://guest:guest@127.0.0.1:1/")
        api.create(listing())
        health = api.client.get("/health-check")
        assert (health.status_code, health.json()["status"], health.json()["checks"]["broker"]["status"]) == (
            200,
            "degraded",
            "down",
        )
        assert api.client.get("/readyz").status_code == 200

    def test_a_database_without_tables_is_no_reason_for_a_500(self, serve: Serve, database_url: str, listing: Make) -> None:
        api = serve(database_url, migrate=False)
        for answer in every_operation(api, listing):
            unavailable(answer)


class Gate:
    """A TCP proxy that can be shut: connections are cut, new ones refused."""

    def __init__(self, host: str, port: int) -> None:
        self._behind = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._open = True
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Gate":
        return self

    def __exit__(self, *_: object) -> None:
        self.shut()
        self._listener.close()

    def shut(self) -> None:
        with self._lock:
            self._open = False
            for connection in self._connections:
                close(connection)
            self._connections.clear()

    def open(self) -> None:
        with self._lock:
            self._open = True

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                if not self._open:
                    close(client)
                    continue
                server = socket.create_connection(self._behind)
                self._connections |= {client, server}
            for source, target in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
        for each in (source, target):
            close(each)


def close(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.close()
