"""An issuer that never comes to an end holds up nobody for long: not who asks it, nor those who wait for that."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import httpx
import pytest

from common.deadline import Deadline
from common.errors import Unavailable
from common.events.catalogue import Catalogue
from common.events.container import Container
from common.listings.client import ListingsClient
from common.security import client as security
from common.security.client import ClientCredentials


@contextmanager
def issuing(answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a server that does this with each connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.recv(65536)
                answer(connection)

        def accept() -> None:
            with suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

        thread = threading.Thread(target=accept)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/token"
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def dripping(start: bytes) -> Callable[[socket.socket], None]:
    def drip(connection: socket.socket) -> None:
        connection.sendall(start)
        while not threading.Event().wait(0.02):
            connection.sendall(b" ")

    return drip


@pytest.mark.parametrize(
    "start", [b"HTTP/1.1 200 OK\r\nX-Long: ", b'HTTP/1.1 200 OK\r\n\r\n{"access_token": "t"'], ids=["head", "body"]
)
def test_one_that_drips_is_left_by_all_who_wait(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "_TIMEOUT", 0.3)
    with issuing(dripping(start)) as url, ThreadPoolExecutor(8) as pool:
        auth = ClientCredentials(url, "items", lambda: "secret", "admin")

        def ask(_: int) -> None:
            with pytest.raises(Unavailable, match="the issuer of tokens is not available: it takes too long"):
                httpx.get("http://rooms.example", auth=auth)

        list(pool.map(ask, range(8)))


def test_a_fetch_takes_no_longer_than_the_question_for_which_it_is() -> None:
    with issuing(dripping(b"HTTP/1.1 200 OK\r\nX-Long: ")) as url, Deadline(0.2) as deadline:
        auth = ClientCredentials(url, "items", lambda: "secret", "admin")
        with pytest.raises(Unavailable, match="it takes too long"), httpx.Client(auth=auth) as client:
            client.get("http://rooms.example", extensions=deadline.extensions)
        assert deadline.over


def test_who_has_less_time_does_not_wait_for_the_fetch_of_one_who_has_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(security, "_TIMEOUT", 30.0)
    asked, release = threading.Event(), threading.Event()

    def silent(_: socket.socket) -> None:
        asked.set()
        release.wait(20)

    with issuing(silent) as url, ThreadPoolExecutor(1) as pool, Deadline(0.2) as deadline:
        auth = ClientCredentials(url, "items", lambda: "secret", "admin")
        patient = pool.submit(httpx.get, "http://rooms.example", auth=auth)
        try:
            assert asked.wait(20)
            with pytest.raises(Unavailable, match="it takes too long"), httpx.Client(auth=auth) as client:
                client.get("http://rooms.example", extensions=deadline.extensions)
            assert not patient.done(), "it still has the lock"
        finally:
            release.set()
        with pytest.raises(Unavailable):
            patient.result()


def test_an_answer_without_end_is_not_read() -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(bytes(65536))

    with issuing(flood) as url, pytest.raises(Unavailable, match="more than 65536 bytes"):
        httpx.get("http://rooms.example", auth=ClientCredentials(url, "items", lambda: "secret", "admin"))


def test_who_asks_a_protected_service_without_a_token_is_told_the_settings() -> None:
    def refuse(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")

    with issuing(refuse) as url:
        client = ListingsClient("rooms", url, Container(Catalogue.load(), "RoomExported"))
        for ask in (client.versions, lambda: list(client.exported())):
            with pytest.raises(Unavailable, match=r"it answered 401.*set OAUTH_CLIENT_ID.*or OAUTH_TOKEN_FILE"):
                ask()
