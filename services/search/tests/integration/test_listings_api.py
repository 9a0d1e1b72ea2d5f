"""What a service of listings answers over HTTP, read as search needs it; and what is no answer."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from common.errors import NotFound, Unavailable
from common.events.catalogue import Catalogue
from common.events.container import Container
from common.listings.client import ListingsClient
from search.adapters.listings_api import ListingsApi
from search.domain import Written
from search.kinds import ROOMS

ID = "01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"
AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
ORIGIN = {"event_id": "e-7", "request_id": "r-7", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
CONTAINER = Container(Catalogue.load(), "RoomExported")
Answers = dict[str, tuple[int, bytes]]


def _api(url: str) -> ListingsApi:
    return ListingsApi(ROOMS, ListingsClient("rooms", url, CONTAINER, httpx.BasicAuth("search", "secret")))


def export(*rows: dict[str, Any]) -> bytes:
    return b"".join(
        CONTAINER.write({"room": None, "deleted_at": None, "derived": [], "owner": ""} | ORIGIN | row for row in rows)
    )


@pytest.fixture
def api() -> Iterator[tuple[ListingsApi, Answers]]:
    """A rooms service, and what it answers by path to who says who he is: 400 where nothing was put."""
    answers: Answers = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path.partition("?")[0], (400, b"")) if "Authorization" in self.headers else (401, b"")
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,)).start()
    yield _api(f"http://127.0.0.1:{server.server_address[1]}"), answers
    server.shutdown()
    server.server_close()


def test_the_export_tells_of_the_write_and_of_tombstones(api: tuple[ListingsApi, Answers]) -> None:
    rooms, answers = api
    known: dict[str, Any] = {"event_id": "e-7", "request_id": "r-7", "trace_id": "0af7651916cd43dd8448eb211c80319c"}
    answers["/v1.0/rooms/export"] = 200, export({"id": ID, "version": 8, "deleted_at": AT})
    assert rooms.written(ID) == Written(version=8, deleted=True, at=AT, **known)
    answers["/v1.0/rooms/export"] = 200, export()
    with pytest.raises(NotFound):
        rooms.written(ID)


@pytest.mark.parametrize(
    "answer",
    [(503, b""), (200, b"<html>"), (200, b""), (200, export({"id": ID, "version": 7, "deleted_at": AT})[:-20])],
    ids=["down", "a page", "nothing", "half an export"],
)
def test_an_export_that_is_none_is_said(api: tuple[ListingsApi, Answers], answer: tuple[int, bytes]) -> None:
    api[1]["/v1.0/rooms/export"] = answer
    with pytest.raises(Unavailable, match=r"http://127\.0\.0\.1"):
        api[0].written(ID)


def test_the_sum_of_versions_is_one_number_or_said_to_be_none(api: tuple[ListingsApi, Answers]) -> None:
    rooms, answers = api
    answers["/v1.0/rooms/summary"] = 200, b'{"living": 2, "tombstones": 1, "versions": 9}'
    assert rooms.versions() == 9
    for answer in ((503, b""), (200, b"<html>"), (200, b"[]"), (200, b"{}")):
        answers["/v1.0/rooms/summary"] = answer
        with pytest.raises(Unavailable):
            rooms.versions()


def test_a_service_that_is_away_is_said() -> None:
    rooms = _api("http://127.0.0.1:1")
    with pytest.raises(Unavailable):
        rooms.written(ID)
    with pytest.raises(Unavailable):
        rooms.versions()
