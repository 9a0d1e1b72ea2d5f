"""What the rooms service answers over HTTP, read as search needs it; and what is no answer."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import fastavro
import orjson
import pytest

from common.errors import NotFound, Unavailable
from search.adapters.rooms_api import RoomsApi
from search.domain import Written

ID = "01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"
AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
MICROS = {"type": "long", "logicalType": "timestamp-micros"}
#: What of an export matters here.
EXPORTED = {
    "type": "record",
    "name": "RoomExported",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "version", "type": "long"},
        {
            "name": "room",
            "type": ["null", {"type": "record", "name": "Room", "fields": [{"name": "updated_at", "type": MICROS}]}],
        },
        {"name": "deleted_at", "type": ["null", MICROS]},
        *({"name": name, "type": "string"} for name in ("event_id", "request_id", "traceparent")),
    ],
}
ORIGIN = {"event_id": "e-7", "request_id": "r-7", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
Answers = dict[str, tuple[int, bytes]]


def export(*rows: dict[str, Any]) -> bytes:
    file = BytesIO()
    fastavro.writer(file, EXPORTED, [{"room": None, "deleted_at": None} | ORIGIN | row for row in rows], codec="deflate")
    return file.getvalue()


@pytest.fixture
def api() -> Iterator[tuple[RoomsApi, Answers]]:
    """A rooms service, and what it answers by path: 400 where nothing was put."""
    answers: Answers = {}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path.partition("?")[0], (400, b""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.02,)).start()
    yield RoomsApi(f"http://127.0.0.1:{server.server_address[1]}/"), answers
    server.shutdown()
    server.server_close()


def test_the_export_tells_of_the_write_and_of_tombstones(api: tuple[RoomsApi, Answers]) -> None:
    rooms, answers = api
    known: dict[str, Any] = {"event_id": "e-7", "request_id": "r-7", "trace_id": "0af7651916cd43dd8448eb211c80319c"}
    answers["/v1.0/rooms/export"] = 200, export({"id": ID, "version": 7, "room": {"updated_at": AT}})
    assert rooms.written(ID) == Written(version=7, deleted=False, at=AT, **known)
    answers["/v1.0/rooms/export"] = 200, export({"id": ID, "version": 8, "deleted_at": AT})
    assert rooms.written(ID) == Written(version=8, deleted=True, at=AT, **known)
    answers["/v1.0/rooms/export"] = 200, export()
    with pytest.raises(NotFound):
        rooms.written(ID)


def test_without_an_export_the_room_itself_tells_its_version(api: tuple[RoomsApi, Answers]) -> None:
    rooms, answers = api
    answers[f"/v1.0/rooms/{ID}"] = 200, orjson.dumps({"version": 7, "updated_at": AT})
    assert rooms.written(ID) == Written(version=7, deleted=False, at=AT)
    answers[f"/v1.0/rooms/{ID}"] = 404, b"{}"
    with pytest.raises(NotFound):
        rooms.written(ID)


@pytest.mark.parametrize(
    "answer",
    [
        lambda answers: answers.update({f"/v1.0/rooms/{ID}": (503, b"")}),
        lambda answers: answers.update({f"/v1.0/rooms/{ID}": (200, b"<html>")}),
        lambda answers: answers.update({f"/v1.0/rooms/{ID}": (200, b"[]")}),
        lambda answers: answers.update({"/v1.0/rooms/export": (200, b"<html>")}),
        lambda answers: answers.update({"/v1.0/rooms/export": (200, export({"id": ID, "version": 7})[:-20])}),
    ],
    ids=["down", "a page", "a list", "no export", "half an export"],
)
def test_what_is_no_answer_is_said(api: tuple[RoomsApi, Answers], answer: Callable[[Answers], None]) -> None:
    answer(api[1])
    with pytest.raises(Unavailable):
        api[0].written(ID)


def test_a_service_that_is_away_is_said() -> None:
    with pytest.raises(Unavailable):
        RoomsApi("http://127.0.0.1:1").written(ID)
