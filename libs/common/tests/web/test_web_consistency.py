"""Read your writes: tokens and preferences are read as they were written, and who waits costs nobody else anything."""

import socket
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import ModuleType
from uuid import uuid4

import httpx
import pytest

from common.errors import Invalid, Unavailable
from common.testing.waiting import eventually
from common.web import consistency, waiting
from common.web.consistency import asked_for, preferred_wait, written
from common.web.serve import HttpServer, running
from common.web.waiting import Consistency

ID = "01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"
HEADER = "Atrium-Consistency"


def test_what_a_write_answers_is_what_a_search_may_send():
    (header,) = written("toys", ID, 7).items()
    assert header == (HEADER, f"toys/{ID}@7")
    assert [str(token) for token in asked_for(header[1], ["toys"])] == [header[1]]
    several = asked_for(f"toys/{ID.upper()}@7,\t toys/{ID}@7 , toys/{ID}@8", ["desks", "toys"])
    assert [str(token) for token in several] == [f"toys/{ID}@7", f"toys/{ID}@8"]


@pytest.mark.parametrize(
    "header",
    [
        *("", ",", "7", f"toys/{ID}", f"toys/{ID}@1,", f"toys/{ID}@1;toys/{ID}@2", f"desks/{ID}@1", f"toys/{ID}@1\n"),
        *(f"toys/{ID}@{version}" for version in ("0", "07", "-1", "1.0", 10**18, "７", "")),
        *(f"toys/{id}@1" for id in (ID[:-1], f"{{{ID}}}", ID.replace("-", ""), "")),
        ", ".join(f"toys/{ID}@{version}" for version in range(1, 22)),
    ],
)
def test_a_malformed_token_is_refused_by_the_headers_name(header):
    with pytest.raises(Invalid) as refused:
        asked_for(header, ["toys"])
    (error,) = refused.value.errors
    assert (error.where, error.name) == ("header", HEADER)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        *(("wait=2", 2), ("WAIT=2", 2), ("wait=10", 10), ("wait=11", 10), (f"wait={10**20}", 10), ("wait=0", 0), ('wait="3"', 3)),
        *((" respond-async , wait = 4 ", 4), ("wait=5; foo=bar, wait=6", 5), ('x="a, wait=1", wait=7', 7), ("x; y=1,wait=8", 8)),
        *(
            (text, None)
            for text in ("", "wait", "wait=", "wait=-1", "wait=2s", "wait=1.5", "wait=٣", "waiting=2", "=,wait=2", '"')
        ),
    ],
)
def test_a_preference_is_read_as_rfc_7240_has_it(header, seconds):
    assert preferred_wait(header) == seconds


@dataclass
class Shelf:
    """Versions that a test sets, and what was asked for them."""

    versions: dict[str, int] = field(default_factory=dict)
    looks: list[Sequence[str]] = field(default_factory=list)
    away: bool = False
    open: threading.Event = field(default_factory=threading.Event)

    def __call__(self, ids: Sequence[str]) -> dict[str, int]:
        self.looks.append(ids)
        self.open.wait(30)
        if self.away:
            raise Unavailable("the shelf")
        return {id: self.versions[id] for id in ids if id in self.versions}


@pytest.fixture
def shelf() -> Shelf:
    shelf = Shelf()
    shelf.open.set()
    return shelf


@pytest.fixture
def served(toys: ModuleType, shelf: Shelf) -> Iterator[HttpServer]:
    """Toys on two threads, the list and each toy waiting for their versions on the shelf."""
    waits = Consistency(frozenset({"list_toys", "read_toy"}), {"toys": shelf})
    with running(toys.toy_app(consistency=waits, threads=2, cors_origins=("https://shop.example",))) as server:
        yield server


@pytest.fixture
def client(served: HttpServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.url, timeout=30, limits=httpx.Limits(max_connections=None)) as client:
        yield client


def ask(client: httpx.Client, *tokens: str, path: str = "/v1.0/toys", **headers: str) -> httpx.Response:
    return client.get(path, headers={HEADER: ", ".join(tokens), **headers})


def test_without_prefer_nothing_waits_but_the_answer_says(client, shelf):
    shelf.versions[ID] = 7
    answer = ask(client, f"toys/{ID}@6", f"toys/{ID}@7", f"toys/{ID}@8", f"toys/{uuid4()}@1")
    assert answer.status_code == 200
    assert [token.rpartition("@")[2] for token in answer.json()["pending"]] == ["8", "1"]
    assert "Preference-Applied" not in answer.headers
    assert len(shelf.looks) == 1
    assert ask(client, f"toys/{ID}@7").json()["pending"] == []


def test_who_does_not_ask_makes_nobody_look(client, shelf):
    answer = client.get("/v1.0/toys", headers={"Prefer": "wait=2"})
    assert "pending" not in answer.json() and "Preference-Applied" not in answer.headers
    assert shelf.looks == []


def test_it_answers_as_soon_as_what_it_waits_for_is_there(client, shelf):
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, client, f"toys/{ID}@7", Prefer="wait=99")
        eventually(lambda: len(shelf.looks) > 2)
        assert not answer.done()
        shelf.versions[ID] = 8
        assert answer.result().json()["pending"] == []
    assert answer.result().headers["Preference-Applied"] == "wait=10"


def test_when_the_time_is_over_it_answers_all_the_same(client, shelf):
    answer = ask(client, f"toys/{ID}@7", Prefer="wait=1")
    assert answer.json()["pending"] == [f"toys/{ID}@7"]
    assert answer.headers["Preference-Applied"] == "wait=1"
    assert len(shelf.looks) > 2
    assert ask(client, f"toys/{ID}@7", Prefer="wait=0").headers["Preference-Applied"] == "wait=0"


def test_what_is_not_there_yet_is_waited_for_before_it_is_404(client, shelf):
    answer = ask(client, f"toys/{ID}@1", path=f"/v1.0/toys/{ID}", Prefer="wait=1")
    assert (answer.status_code, answer.headers["Preference-Applied"]) == (404, "wait=1")
    assert len(shelf.looks) > 2


def test_a_malformed_header_is_named_and_waits_for_nothing(client, shelf):
    answer = ask(client, "toys/7", Prefer="wait=10")
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/invalid")
    assert [(error["in"], error["name"]) for error in answer.json()["errors"]] == [("header", HEADER)]
    lines = client.get("/v1.0/toys", headers=[(HEADER, f"toys/{ID}@1"), (HEADER, f"toys/{ID}@2")])
    assert len(lines.json()["pending"]) == 2


def test_hundreds_that_wait_share_one_look_and_slow_nobody(client, shelf):
    ids = [str(uuid4()) for _ in range(200)]
    with ThreadPoolExecutor(200) as pool:
        answers = [pool.submit(ask, client, f"toys/{id}@1", Prefer="wait=10") for id in ids]
        eventually(lambda: shelf.looks and set(shelf.looks[-1]) == set(ids))
        # They are a hundred times as many as there are threads; others are answered all the same.
        for _ in range(20):
            assert client.get("/v1.0/toys").status_code == 200
        assert client.post("/v1.0/toys", json={"name": "Train", "price": 1}).status_code == 201
        assert not any(answer.done() for answer in answers)
        shelf.versions |= dict.fromkeys(ids, 1)
        assert all(answer.result().json()["pending"] == [] for answer in answers)


def test_one_too_many_is_answered_at_once_as_pending(toys, shelf, monkeypatch):
    monkeypatch.setattr(waiting, "MAX_WAITING", 1)
    shelf.versions[ID] = 1
    waits = Consistency(frozenset({"list_toys"}), {"toys": shelf})
    with (
        running(toys.toy_app(consistency=waits)) as server,
        httpx.Client(base_url=server.url, timeout=30) as client,
        ThreadPoolExecutor() as pool,
    ):
        first = pool.submit(ask, client, f"toys/{ID}@2", Prefer="wait=10")
        eventually(lambda: shelf.looks)
        second = ask(client, f"toys/{ID}@1", Prefer="wait=10")
        assert second.json()["pending"] == [f"toys/{ID}@1"]
        assert "Preference-Applied" not in second.headers
        shelf.versions[ID] = 2
        assert first.result().json()["pending"] == []
        assert ask(client, f"toys/{ID}@1").json()["pending"] == []


def test_a_client_that_goes_away_is_forgotten(served, client, shelf, monkeypatch):
    monkeypatch.setattr(consistency, "MAX_WAIT", 3600)
    with socket.create_connection((served.host, served.port)) as caller:
        caller.sendall(f"GET /v1.0/toys HTTP/1.1\r\nHost: x\r\n{HEADER}: toys/{ID}@1\r\nPrefer: wait=3600\r\n\r\n".encode())
        eventually(lambda: shelf.looks)
    gone = len(shelf.looks)
    other = str(uuid4())
    with ThreadPoolExecutor() as pool:
        answer = pool.submit(ask, client, f"toys/{other}@1", Prefer="wait=10")
        eventually(lambda: [other] in shelf.looks[gone:])
        shelf.versions[other] = 1
        answer.result()


def test_where_nobody_can_look_it_is_503_as_ever_and_the_next_one_looks_again(client, shelf):
    shelf.away = True
    for prefer in ({}, {"Prefer": "wait=10"}):
        answer = ask(client, f"toys/{ID}@1", **prefer)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    shelf.away = False
    assert ask(client, f"toys/{ID}@1").status_code == 200


def test_a_look_that_hangs_holds_nobody_beyond_the_time(client, shelf):
    shelf.open.clear()
    assert ask(client, f"toys/{ID}@1", Prefer="wait=1").json()["pending"] == [f"toys/{ID}@1"]
    assert ask(client, f"toys/{ID}@1").json()["pending"] == [f"toys/{ID}@1"]
    shelf.open.set()


def test_a_server_that_stops_answers_who_waits(toys, shelf):
    waits = Consistency(frozenset({"list_toys"}), {"toys": shelf})
    with ThreadPoolExecutor() as pool:
        with running(toys.toy_app(consistency=waits)) as server:
            client = httpx.Client(base_url=server.url, timeout=30)
            shelf.open.clear()  # not even a look that hangs is waited for
            answer = pool.submit(ask, client, f"toys/{ID}@1", Prefer="wait=10")
            eventually(lambda: shelf.looks)
            server.stop()
            assert answer.result().json()["pending"] == [f"toys/{ID}@1"]
        shelf.open.set()
        client.close()


def test_a_page_from_elsewhere_may_send_and_read_the_headers(client):
    headers = {"Origin": "https://shop.example", "Access-Control-Request-Method": "GET"}
    allowed = client.options("/v1.0/toys", headers=headers).headers["Access-Control-Allow-Headers"]
    assert {HEADER, "Prefer"} <= set(allowed.split(", "))
    exposed = client.get("/v1.0/toys", headers=headers).headers["Access-Control-Expose-Headers"]
    assert {HEADER, "Preference-Applied"} <= set(exposed.split(", "))
