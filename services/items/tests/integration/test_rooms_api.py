"""What the rooms service answers over HTTP, as items need it; and what is no answer."""

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from sqlalchemy import Engine
from uuid_utils import uuid7

import rooms.bootstrap
import rooms.config
from common.config import load
from common.db.doorbell import Doorbell
from common.errors import Unavailable, WrongSetting
from common.events.catalogue import Catalogue
from common.events.container import Container
from common.security.client import ClientCredentials, FileToken
from common.testing.tokens import TestIssuer, bearer
from common.testing.waiting import eventually
from common.web.serve import running
from items.adapters import rooms_api
from items.adapters.rooms_api import HttpRoomsService
from items.domain import Coordinates, KnownRoom, Place

CONTAINER = Container(Catalogue.load(), "RoomExported")
AT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)
ID = "01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"
LISTING = {
    "name": "Attic",
    "description": "Bright.",
    "price": 650,
    "recurrency": "monthly",
    "provider": "nestly",
    "coordinates": {"lat": 52.4986, "lon": 13.4034},
}


def tombstone(id: str = ID, version: int = 2) -> dict[str, Any]:
    return {
        "id": id,
        "version": version,
        "room": None,
        "deleted_at": AT,
        "owner": "",
        "derived": [],
        "event_id": "",
        "request_id": "",
        "traceparent": "",
    }


def export(*rows: dict[str, Any]) -> bytes:
    return b"".join(CONTAINER.write(rows))


def asking(url: str, **settings: Any) -> HttpRoomsService:
    return HttpRoomsService(url, CONTAINER, **{"timeout": 5.0, "calls": 4} | settings)


@contextmanager
def rooms_service(directory: Any, **settings: str) -> Iterator[str]:
    """A real one, on SQLite."""
    config = load(rooms.config.Config, {"DATA_DIR": str(directory)} | settings)
    rooms.bootstrap.SERVICE.migrate(config)
    app = rooms.bootstrap.SERVICE.http(config)
    with running(app) as server:
        yield server.url
    app.injector.get(Doorbell).close()
    app.injector.get(Engine).dispose()


@dataclass
class Stand:
    """Stands where a rooms service should, and does with each question what it was told to."""

    answer: Callable[[BaseHTTPRequestHandler], None]
    asked: list[list[str]] = field(default_factory=list)
    url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)
    under_way: int = 0
    most: int = 0


@pytest.fixture
def stand() -> Iterator[Callable[[Callable[[BaseHTTPRequestHandler], None]], Stand]]:
    with ExitStack() as stack:

        def open(answer: Callable[[BaseHTTPRequestHandler], None]) -> Stand:
            made = Stand(answer)

            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    with made.lock:
                        made.asked.append(parse_qs(urlsplit(self.path).query)["id"])
                        made.under_way += 1
                        made.most = max(made.most, made.under_way)
                    try:
                        made.answer(self)
                    except (BrokenPipeError, ConnectionResetError):
                        pass  # who asked has gone
                    finally:
                        with made.lock:
                            made.under_way -= 1

                def log_message(self, *_: Any) -> None: ...

            server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
            threading.Thread(target=server.serve_forever, args=(0.02,)).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
            made.url = f"http://127.0.0.1:{server.server_address[1]}"
            return made

        yield open


def answering(status: int, body: bytes = b"", **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def test_a_real_rooms_service_tells_of_rooms_hidden_and_deleted_ones_too(tmp_path):
    with rooms_service(tmp_path) as url, httpx.Client(base_url=url) as client:

        def published(**given: Any) -> dict[str, Any]:
            answer = client.post("/v1.0/rooms", json=LISTING | {"url": f"https://rooms.example/{uuid7()}"} | given)
            assert answer.status_code == 201, answer.text
            room: dict[str, Any] = answer.json()
            return room

        here, hidden, gone = published(), published(is_visible=False), published()
        client.patch(f"/v1.0/rooms/{here['id']}", json={"name": "Cellar"})
        client.delete(f"/v1.0/rooms/{gone['id']}")
        place = Place(version=2, name="Cellar", coordinates=Coordinates(lat=52.4986, lon=13.4034), city="Berlin", is_visible=True)
        hidden_place = Place(version=1, name="Attic", coordinates=place.coordinates, city="Berlin", is_visible=False)
        told = asking(url).ask([here["id"], hidden["id"], gone["id"], ID])
        assert told == {
            here["id"]: KnownRoom(id=here["id"], version=2, place=place),
            hidden["id"]: KnownRoom(id=hidden["id"], version=1, place=hidden_place),
            gone["id"]: KnownRoom(id=gone["id"], version=2, place=None),
        }
        many = [published()["id"] for _ in range(3)]
        assert asking(f"{url}/").ask([*many, *(str(uuid7()) for _ in range(250))]).keys() == set(many)


def test_a_protected_rooms_service_wants_a_token(tmp_path):
    issuer = TestIssuer()
    token = tmp_path / "token"
    with rooms_service(tmp_path, **issuer.environment(tmp_path / "jwks.json")) as url:
        headers = bearer(issuer.token(scopes="rooms:write"))
        room = httpx.post(f"{url}/v1.0/rooms", json=LISTING | {"url": "https://rooms.example/1"}, headers=headers).json()
        with pytest.raises(Unavailable, match="it answered 401"):
            asking(url).ask([room["id"]])
        token.write_text(issuer.token(scopes="rooms:write"))
        service = asking(url, auth=FileToken(token))
        with pytest.raises(Unavailable, match="it answered 403"):
            service.ask([room["id"]])
        token.write_text(issuer.token(scopes="admin"))
        assert service.ask([room["id"]]).keys() == {room["id"]}
        token.unlink()
        with pytest.raises(Unavailable, match="the token of this service"):
            service.ask([str(uuid7())])


def test_one_that_is_away_is_said_after_a_few_tries():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        with pytest.raises(Unavailable, match="the rooms service is not available") as unavailable:
            asking(f"http://127.0.0.1:{listener.getsockname()[1]}").ask([ID])
    assert unavailable.value.retry_after >= 1
    with pytest.raises(WrongSetting, match="ROOMS_URL"):
        asking("http://[::1/")


WHOLE = export(tombstone())


@pytest.mark.parametrize(
    ("answer", "tries"),
    [
        (answering(500, b"<html>"), 3),
        (answering(503, b"", Retry_After="1"), 3),
        (answering(429), 3),
        (answering(401), 1),
        (answering(403), 1),
        (answering(404), 1),
        (answering(302, b"", Location="http://127.0.0.1:1/"), 1),
        (answering(204), 1),
        (answering(200), 3),
        (answering(200, b"<html>nginx</html>"), 3),
        (answering(200, WHOLE[:-20]), 3),
        (answering(200, WHOLE[:-40] + bytes(20) + WHOLE[-20:]), 3),
        (answering(200, WHOLE, Content_Encoding="gzip"), 3),
        (answering(200, WHOLE[:-20], Content_Length=str(len(WHOLE))), 3),
        (answering(200, b"".join(Container(Catalogue.load(), "ItemExported").write([]))), 3),
        (lambda handler: handler.wfile.write(b"\x00\xff not HTTP\r\n\r\n"), 3),
        (lambda handler: handler.connection.shutdown(socket.SHUT_RDWR), 3),
    ],
    ids=[
        *(
            "500",
            "503",
            "429",
            "401",
            "403",
            "404",
            "redirect",
            "204",
            "empty",
            "a page",
            "half an export",
            "damaged",
            "not gzip",
        ),
        *("too short", "an export of items", "not HTTP", "cut off"),
    ],
)
def test_what_is_no_answer_is_said_and_asked_again_where_that_is_of_use(stand, answer, tries):
    made = stand(answer)
    with pytest.raises(Unavailable, match="the rooms service"):
        asking(made.url).ask([ID])
    assert made.asked == [[ID]] * tries
    with pytest.raises(Unavailable):  # nothing was learnt from it
        asking(made.url).ask([ID])


def test_it_may_fail_twice(stand):
    answers = iter([answering(500), answering(200, b"<html>"), answering(200, export(tombstone()))])
    made = stand(lambda handler: next(answers)(handler))
    assert asking(made.url).ask([ID]) == {ID: KnownRoom(id=ID, version=2, place=None)}


def test_one_that_is_slow_is_not_waited_for(stand):
    release = threading.Event()
    silent = stand(lambda handler: release.wait(30))
    begun = time.monotonic()
    with pytest.raises(Unavailable, match="the rooms service"):
        asking(silent.url, timeout=0.2).ask([ID])
    assert time.monotonic() - begun < 15
    assert len(silent.asked) == 3
    release.set()


def test_one_that_never_ends_is_not_listened_to(stand, monkeypatch):
    gone = threading.Event()

    def dripping(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(WHOLE[:50])
        while not gone.wait(0.02):
            handler.wfile.write(b"\x80")

    made = stand(dripping)
    with pytest.raises(Unavailable, match="the rooms service"):
        asking(made.url, timeout=0.3).ask([ID])

    def flooding(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"".join(CONTAINER.write([]))[:-17])  # without its end
        while True:
            handler.wfile.write(export(tombstone()) * 1000)

    monkeypatch.setattr(rooms_api, "LONGEST", 300_000)
    with pytest.raises(Unavailable):
        asking(stand(flooding).url).ask([ID])
    gone.set()


def test_rooms_that_nobody_asked_for_are_not_told(stand):
    made = stand(answering(200, export(tombstone(), tombstone(str(uuid7())))))
    assert asking(made.url).ask([ID]).keys() == {ID}


def test_it_is_asked_for_a_hundred_at_a_time(stand):
    made = stand(answering(200, export()))
    ids = {str(uuid7()) for _ in range(250)}
    assert asking(made.url).ask(ids) == {}
    assert [len(each) for each in made.asked] == [100, 100, 50]
    assert {id for each in made.asked for id in each} == ids


def test_a_room_that_does_not_exist_is_not_asked_for_again_soon(stand):
    made = stand(answering(200, export()))
    now = [1000.0]
    service = asking(made.url, clock=lambda: now[0])
    for _ in range(3):
        assert service.ask([ID]) == {}
    assert len(made.asked) == 1
    now[0] += rooms_api.REMEMBERED + 1
    made.answer = answering(200, export(tombstone()))
    assert service.ask([ID]).keys() == {ID}
    assert len(made.asked) == 2


def test_only_so_many_absent_rooms_are_remembered(stand, monkeypatch):
    monkeypatch.setattr(rooms_api, "MOST_REMEMBERED", 3)
    made = stand(answering(200, export()))
    service = asking(made.url)
    ids = sorted(str(uuid7()) for _ in range(4))
    for id in ids:
        service.ask([id])
    service.ask(ids[1:])
    assert len(made.asked) == 4
    service.ask(ids)
    assert made.asked[4:] == [[ids[0]]]


def test_no_more_questions_than_allowed_are_under_way_and_the_others_wait_their_turn(stand, threads):
    full = threading.Event()

    def answer(handler: BaseHTTPRequestHandler) -> None:
        full.wait(20)
        answering(200, export())(handler)

    made = stand(answer)
    service = asking(made.url, calls=2, timeout=30, patience=30)

    def ask(number: int) -> object:
        if number == 0:
            eventually(lambda: made.under_way == 2)
            full.set()
        return service.ask([str(uuid7())])

    assert threads(ask, range(8)) == [{}] * 8
    assert made.most == 2
    assert len(made.asked) == 8


def test_as_long_as_others_are_answered_each_gets_its_turn(stand, threads):
    def answer(handler: BaseHTTPRequestHandler) -> None:
        threading.Event().wait(0.2)
        answering(200, export())(handler)

    made = stand(answer)
    service = asking(made.url, calls=1, timeout=30, patience=1.0)
    assert threads(lambda _: service.ask([str(uuid7())]), range(10)) == [{}] * 10  # the last one waits for twice its patience
    assert made.most == 1


def test_an_answer_that_is_cut_off_when_the_time_is_over_does_not_say_that_a_room_is_absent(stand):
    gone = threading.Event()

    def unfinished(handler: BaseHTTPRequestHandler) -> None:
        answering(200, export())(handler)  # whole as it stands, and of no length: it ends with the connection
        handler.wfile.flush()
        gone.wait(30)

    made = stand(unfinished)
    service = asking(made.url, timeout=0.3)
    try:
        with pytest.raises(Unavailable, match="takes too long"):
            service.ask([ID])
    finally:
        gone.set()


def test_one_that_was_silent_is_left_alone_and_then_asked_by_one(stand):
    release, now = threading.Event(), [1000.0]
    made = stand(lambda handler: release.wait(30))
    service = asking(made.url, timeout=0.2, clock=lambda: now[0])
    with pytest.raises(Unavailable, match="takes too long"):
        service.ask([ID])
    assert len(made.asked) == 3
    for _ in range(20):
        with pytest.raises(Unavailable, match="did not answer in time") as refused:
            service.ask([ID])
    assert 1 <= refused.value.retry_after <= rooms_api.REST
    assert len(made.asked) == 3 and re.search(r"takes too long \(asked at \d{4}-.*Z\)", service.trouble())
    now[0] += rooms_api.REST + 1
    with pytest.raises(Unavailable, match="takes too long"):
        service.ask([ID])
    assert len(made.asked) == 4  # one try
    release.set()
    made.answer = answering(200, export(tombstone()))
    now[0] += rooms_api.REST + 1
    assert service.ask([ID]).keys() == {ID}
    assert service.ask([ID]).keys() == {ID}
    assert service.trouble() == ""


def test_one_that_refuses_is_not_silent(stand):
    made = stand(answering(503))
    service = asking(made.url)
    for _ in range(2):
        with pytest.raises(Unavailable, match="503"):
            service.ask([ID])
    assert len(made.asked) == 6


def test_heads_that_never_end_are_not_listened_to(stand):
    gone = threading.Event()

    def dripping(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
        while not gone.wait(0.02):
            handler.wfile.write(b"x")

    with pytest.raises(Unavailable, match="takes too long"):
        asking(stand(dripping).url, timeout=0.3).ask([ID])
    gone.set()


def test_an_issuer_that_drips_counts_into_the_time_of_a_question(stand):
    gone = threading.Event()
    silent = threading.Event()

    class Issuer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Long: ")
            while not gone.wait(0.02):
                try:
                    self.wfile.write(b"x")
                except OSError:
                    silent.set()
                    return

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Issuer) as issuer:
        threading.Thread(target=issuer.serve_forever, args=(0.02,)).start()
        try:
            url = f"http://127.0.0.1:{issuer.server_address[1]}/token"
            auth = ClientCredentials(url, "items", lambda: "secret", "admin")
            made = stand(answering(200, export()))
            service = asking(made.url, timeout=0.3, auth=auth)
            with pytest.raises(Unavailable, match="the issuer of tokens"):
                service.ask([ID])
            with pytest.raises(Unavailable, match="did not answer in time"):
                service.ask([ID])
            assert made.asked == [] and silent.wait(20)
        finally:
            gone.set()
            issuer.shutdown()


def test_a_protected_one_says_which_settings_are_missing(stand):
    service = asking(stand(answering(401)).url)
    with pytest.raises(Unavailable, match=r"set OAUTH_CLIENT_ID, .* or OAUTH_TOKEN_FILE"):
        service.ask([ID])
    assert "OAUTH_CLIENT_ID" in service.trouble()


def test_who_waits_too_long_for_a_turn_is_told_so(stand):
    release = threading.Event()
    made = stand(lambda handler: (release.wait(30), answering(200, export())(handler))[1])
    service = asking(made.url, calls=1, timeout=30)
    thread = threading.Thread(target=service.ask, args=([str(uuid7())],))
    thread.start()
    eventually(lambda: made.under_way == 1)
    with pytest.raises(Unavailable, match="too many questions are under way"):
        service.ask([ID])
    release.set()
    thread.join(20)
    assert len(made.asked) == 1
