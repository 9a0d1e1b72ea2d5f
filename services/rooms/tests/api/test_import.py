"""Imports over real sockets: upserts on the url, sized or chunked, of any length, with clients that are slow, late, gone or many."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from common.testing.system import free_port
from common.testing.waiting import eventually

PATH = "/v1.0/rooms/import"
NDJSON = {"Content-Type": "application/x-ndjson"}


def lines(listings: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in listings)


def imported(api, content: Any) -> list[dict[str, Any]]:
    answer = api.client.post(PATH, content=content, headers=NDJSON)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/x-ndjson"), answer.text
    return [json.loads(line) for line in answer.content.splitlines()]


def listed(api, provider: str) -> list[dict[str, Any]]:
    """All rooms of a provider."""
    rooms: list[dict[str, Any]] = []
    page = api.client.get("/v1.0/rooms", params={"provider": provider, "limit": 100})
    while True:
        rooms += page.json()
        if "next" not in page.links:
            return rooms
        page = api.client.get(page.links["next"]["url"])


@pytest.fixture
def listings(listing, request) -> list[dict[str, Any]]:
    """1,100 listings of a provider of their own: more than two batches."""
    return [listing(provider=request.node.name[:100], name=f"Room {number}") for number in range(1100)]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_file_is_created_then_unchanged_then_updated(api, listings, chunked):
    provider = listings[0]["provider"]

    def sent(listings: list[dict[str, Any]]) -> Any:
        body = lines(listings)
        return iter([body[at : at + 1777] for at in range(0, len(body), 1777)]) if chunked else body

    created = imported(api, sent(listings))
    assert [(each["line"], each["outcome"], each["problem"]) for each in created] == [
        (n, "created", None) for n in range(1, 1101)
    ]
    rooms = listed(api, provider)
    assert {room["id"]: room["url"] for room in rooms} == {
        each["id"]: given["url"] for each, given in zip(created, listings, strict=True)
    }
    events = api.events()
    assert sorted(events) == sorted(("RoomCreated", each["id"], 1) for each in created)

    unchanged = imported(api, sent(listings))
    assert [(each["outcome"], each["id"]) for each in unchanged] == [("unchanged", each["id"]) for each in created]
    assert imported(api, sent(rooms)) == unchanged, "what the API shows is what it was given"
    assert api.events() == events
    assert listed(api, provider) == rooms

    changed = [each | {"price": 7} if number % 10 == 0 else each for number, each in enumerate(listings)]
    assert Counter(each["outcome"] for each in imported(api, sent(changed))) == {"updated": 110, "unchanged": 990}
    assert Counter(api.events()[1100:]) == Counter(("RoomUpdated", each["id"], 2) for each in created[::10])
    assert Counter((room["price"], room["version"]) for room in listed(api, provider)) == {(7, 2): 110, (650, 1): 990}


def test_each_line_has_its_outcome_and_invalid_ones_leave_the_rest_alone(api, listing):
    known = api.create(listing())
    one, other = listing(), listing()
    body = [
        b"\xef\xbb\xbf" + json.dumps(one).encode() + b"\r",
        b"",
        b" \t \r",
        b"{",
        json.dumps(known | {"price": 5}).encode(),
        json.dumps(other | {"price": -1}).encode(),
        json.dumps(one | {"name": "again"}).encode() + b"\r",
        json.dumps(one | {"name": "again"}).encode(),
        json.dumps(other | {"surprise": True}).encode(),
        json.dumps(other).encode(),
    ]
    outcomes = imported(api, b"\n".join(body))
    assert [(each["line"], each["outcome"]) for each in outcomes] == [
        (1, "created"),
        (4, "invalid"),
        (5, "updated"),
        (6, "invalid"),
        (7, "updated"),
        (8, "unchanged"),
        (9, "invalid"),
        (10, "created"),
    ]
    assert [each["id"] for each in outcomes if each["line"] == 5] == [known["id"]]
    assert len({each["id"] for each in outcomes if each["line"] in (1, 7, 8)}) == 1
    assert [each["problem"]["errors"][0]["name"] for each in outcomes if each["problem"]] == ["", "price", "surprise"]
    assert Counter(event[0] for event in api.events()) == {"RoomCreated": 3, "RoomUpdated": 2}


def test_an_import_that_says_whether_a_known_room_is_furnished_updates_it(api, listing):
    given = listing()
    lines = [given, given | {"furnished": None}, given | {"furnished": True}, given | {"furnished": True}, given]
    outcomes = imported(api, b"\n".join(json.dumps(line).encode() for line in lines))
    assert [each["outcome"] for each in outcomes] == ["created", "unchanged", "updated", "unchanged", "updated"]
    assert [told["furnished"] for told in api.told()] == [None, True, None]


def test_a_withdrawn_room_is_created_anew(api, listing):
    given = listing()
    (first,) = imported(api, lines([given]))
    api.client.delete(f"/v1.0/rooms/{first['id']}")
    (second,) = imported(api, lines([given]))
    assert (second["outcome"], second["id"] != first["id"]) == ("created", True)


def test_derived_values_follow_an_import_unless_they_are_given(api, listing):
    given = listing(price=100, recurrency="weekly", provider="derived")
    imported(api, lines([given]))
    (room,) = listed(api, "derived")
    assert (room["monthly_price"], room["area"]["city"]) == (433, "Berlin")
    imported(api, lines([room | {"price": 200, "coordinates": {"lat": 45.7578, "lon": 4.832}}]))
    (room,) = listed(api, "derived")
    assert (room["monthly_price"], room["area"]["city"]) == (867, "Lyon")
    imported(api, lines([room | {"monthly_price": 800}]))
    imported(api, lines([listed(api, "derived")[0] | {"price": 300}]))
    assert listed(api, "derived")[0]["monthly_price"] == 800


def test_many_who_import_the_same_file_make_one_room_per_url(api, listings):
    provider = listings[0]["provider"]
    body = lines([*listings[:600], *listings[:100]])
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: imported(api, body), range(4)))
    rooms = {room["url"]: room["id"] for room in listed(api, provider)}
    assert len(rooms) == 600
    created = Counter(each["id"] for answer in answers for each in answer if each["outcome"] == "created")
    assert created == Counter(rooms.values()), "each room was created once"
    for answer in answers:
        assert {each["outcome"] for each in answer} <= {"created", "unchanged"}
        assert [each["id"] for each in answer] == [rooms[each["url"]] for each in (*listings[:600], *listings[:100])]
    assert sorted(api.events()) == sorted(("RoomCreated", id, 1) for id in rooms.values())


def test_many_who_import_other_versions_in_another_order_leave_one_of_them(api, listings):
    provider = listings[0]["provider"]
    imported(api, lines(listings[:300]))
    bodies = [lines([each | {"price": price} for each in listings[:400]][:: 1 if price % 2 else -1]) for price in range(1, 5)]
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda body: imported(api, body), bodies))
    assert Counter(each["outcome"] for answer in answers for each in answer) == {"created": 100, "updated": 1500}
    rooms = listed(api, provider)
    assert Counter(room["version"] for room in rooms) == {5: 300, 4: 100}
    assert {room["price"] for room in rooms} <= {1, 2, 3, 4}
    # One event for each version, and the last one tells what is there.
    last = {told["id"]: told for told in sorted(api.told(), key=lambda told: told["version"])}
    assert {id: told["price"] for id, told in last.items()} == {room["id"]: room["price"] for room in rooms}
    assert len(api.events()) == 300 + 1600


class Talk:
    """An import whose client sends and reads as the test wants."""

    def __init__(self, api) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(30)
        self._socket.connect((api.client.base_url.host, api.client.base_url.port))
        self._file = self._socket.makefile("rb")
        head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"
        self._socket.sendall(head.encode())

    def send(self, data: bytes) -> None:
        """Nothing ends the body."""
        self._socket.sendall(b"%x\r\n%s\r\n" % (len(data), data))

    def answered(self) -> list[dict[str, Any]]:
        """The outcomes of the next chunk of the answer; none at its end."""
        line = self._file.readline()
        if line.startswith(b"HTTP/1.1 200"):
            while self._file.readline() != b"\r\n":
                pass
            line = self._file.readline()
        data = self._file.read(int(line, 16))
        self._file.readline()
        return [json.loads(each) for each in data.splitlines()]

    def close(self) -> None:
        self._file.close()
        self._socket.close()


def test_what_was_answered_before_the_client_left_is_there_and_the_service_goes_on(api, listings):
    provider = listings[0]["provider"]
    talk = Talk(api)
    talk.send(lines(listings[:700]) + b'{"half": ')
    acknowledged: list[dict[str, Any]] = []
    while len(acknowledged) < 500:
        acknowledged += talk.answered()
    talk.close()
    ids = {room["id"] for room in listed(api, provider)}
    assert {each["id"] for each in acknowledged} <= ids
    assert Counter(each["outcome"] for each in imported(api, lines(listings)))["invalid"] == 0
    assert len(listed(api, provider)) == 1100


def test_a_client_that_reads_late_gets_every_outcome(api, listings):
    provider = listings[0]["provider"]
    talk = Talk(api)
    for _ in range(10):
        talk.send(lines(listings))
    talk.send(b"")
    # Everything has been done, and more outcomes wait than any socket holds.
    eventually(lambda: len(listed(api, provider)) == 1100)
    outcomes: list[dict[str, Any]] = []
    while answered := talk.answered():
        outcomes += answered
    talk.close()
    assert [each["line"] for each in outcomes] == list(range(1, 11_001))
    assert Counter(each["outcome"] for each in outcomes) == {"created": 1100, "unchanged": 9900}


@contextmanager
def a_process_of_its_own(directory: Path) -> Iterator[tuple[str, int]]:
    """`python -m rooms api` on SQLite: its address and its process id."""
    port = free_port()
    environ = {"PATH": os.environ["PATH"], "DATA_DIR": str(directory), "ROOMS_PORT": str(port), "LOG_LEVEL": "WARNING"}
    subprocess.run([sys.executable, "-m", "rooms", "migrate"], env=environ, check=True, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([sys.executable, "-m", "rooms", "api"], env=environ) as process:
        try:
            eventually(lambda: answers(url), seconds=30)
            yield url, process.pid
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_200_000_lines_in_one_request_need_no_more_memory_than_a_few(tmp_path, listings):
    """All are sent before the first outcome is read. What changes nothing is quickest; every other line is no JSON."""
    valid = [json.dumps(each).encode() + b"\n" for each in listings[:500]]
    thousand = b"".join(line + b'{"name": "broken",\n' for line in valid)
    with a_process_of_its_own(tmp_path) as (url, pid):
        peaks = []
        for thousands in (10, 200):
            connection = http.client.HTTPConnection("127.0.0.1", httpx.URL(url).port, timeout=120)
            connection.request("POST", PATH, iter([thousand] * thousands), NDJSON, encode_chunked=True)
            answer = connection.getresponse()
            assert answer.status == 200
            outcomes: Counter[str] = Counter()
            for number, line in enumerate(answer, 1):
                outcome = json.loads(line)
                assert outcome["line"] == number
                outcomes[outcome["outcome"]] += 1
            connection.close()
            new = 500 if thousands == 10 else 0
            assert +outcomes == +Counter(created=new, unchanged=500 * thousands - new, invalid=500 * thousands)
            peaks.append(peak_memory(pid))
    assert peaks[1] - peaks[0] < 25_000, f"kB: {peaks}"  # 32 MB in and 55 MB out would show


def peak_memory(pid: int) -> int:
    """kB."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("there is no /proc here to tell the memory of a process")
    return int(status.read_text().partition("VmHWM:")[2].split()[0])
