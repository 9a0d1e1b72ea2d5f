"""Imports over real sockets: upserts on the url, sized or chunked, of any length, with clients that are slow, late, gone or many."""

import http.client
import json
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from common.testing.listings.api import NDJSON, Api, lines
from common.testing.listings.command_line import a_process_of_its_own, peak_memory
from common.testing.listings.tested import Body, Make, Tested
from common.testing.waiting import eventually


class TestImport:
    @pytest.fixture
    def listings(self, listing: Make) -> list[Body]:
        """1,100 listings: more than two batches."""
        return [listing(name=f"Number {number}") for number in range(1100)]

    @pytest.mark.parametrize("chunked", [False, True])
    def test_a_file_is_created_then_unchanged_then_updated(self, api: Api, listings: list[Body], chunked: bool) -> None:
        def sent(listings: list[Body]) -> Any:
            body = lines(listings)
            return iter([body[at : at + 1777] for at in range(0, len(body), 1777)]) if chunked else body

        created = api.imported(sent(listings))
        assert [(each["line"], each["outcome"], each["problem"]) for each in created] == [
            (n, "created", None) for n in range(1, 1101)
        ]
        there = api.listed()
        assert {each["id"]: each["url"] for each in there} == {
            each["id"]: given["url"] for each, given in zip(created, listings, strict=True)
        }
        events = api.events()
        assert sorted(events) == sorted(("Created", each["id"], 1) for each in created)

        unchanged = api.imported(sent(listings))
        assert [(each["outcome"], each["id"]) for each in unchanged] == [("unchanged", each["id"]) for each in created]
        assert api.imported(sent(there)) == unchanged, "what the API shows is what it was given"
        assert api.events() == events
        assert api.listed() == there

        changed = [each | {"name": "7"} if number % 10 == 0 else each for number, each in enumerate(listings)]
        assert Counter(each["outcome"] for each in api.imported(sent(changed))) == {"updated": 110, "unchanged": 990}
        assert Counter(api.events()[1100:]) == Counter(("Updated", each["id"], 2) for each in created[::10])
        assert Counter((each["name"] == "7", each["version"]) for each in api.listed()) == {(True, 2): 110, (False, 1): 990}

    def test_each_line_has_its_outcome_and_invalid_ones_leave_the_rest_alone(self, api: Api, listing: Make) -> None:
        known = api.create(listing())
        one, other = listing(), listing()
        body = [
            b"\xef\xbb\xbf" + orjson.dumps(one) + b"\r",
            b"",
            b" \t \r",
            b"{",
            known | {"name": "5"},
            other | {"name": ""},
            orjson.dumps(one | {"name": "again"}) + b"\r",
            one | {"name": "again"},
            other | {"surprise": True},
            other,
        ]
        outcomes = api.imported(body)
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
        assert [each["problem"]["errors"][0]["name"] for each in outcomes if each["problem"]] == ["", "name", "surprise"]
        assert Counter(event[0] for event in api.events()) == {"Created": 3, "Updated": 2}

    def test_a_withdrawn_listing_is_created_anew(self, api: Api, listing: Make) -> None:
        given = listing()
        (first,) = api.imported([given])
        api.client.delete(api.at(first))
        (second,) = api.imported([given])
        assert (second["outcome"], second["id"] != first["id"]) == ("created", True)

    def test_many_who_import_the_same_file_make_one_listing_per_url(self, api: Api, listings: list[Body]) -> None:
        body = lines([*listings[:600], *listings[:100]])
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(lambda _: api.imported(body), range(4)))
        there = {each["url"]: each["id"] for each in api.listed()}
        assert len(there) == 600
        created = Counter(each["id"] for answer in answers for each in answer if each["outcome"] == "created")
        assert created == Counter(there.values()), "each listing was created once"
        for answer in answers:
            assert {each["outcome"] for each in answer} <= {"created", "unchanged"}
            assert [each["id"] for each in answer] == [there[each["url"]] for each in (*listings[:600], *listings[:100])]
        assert sorted(api.events()) == sorted(("Created", id, 1) for id in there.values())

    def test_many_who_import_other_versions_in_another_order_leave_one_of_them(self, api: Api, listings: list[Body]) -> None:
        api.imported(listings[:300])
        bodies = [lines([each | {"name": str(n)} for each in listings[:400]][:: 1 if n % 2 else -1]) for n in range(1, 5)]
        with ThreadPoolExecutor(4) as pool:
            answers = list(pool.map(api.imported, bodies))
        assert Counter(each["outcome"] for answer in answers for each in answer) == {"created": 100, "updated": 1500}
        there = api.listed()
        assert Counter(each["version"] for each in there) == {5: 300, 4: 100}
        assert {each["name"] for each in there} <= {"1", "2", "3", "4"}
        # One event for each version, and the last one tells what is there.
        last = {told["id"]: told for told in sorted(api.told(), key=lambda told: int(told["version"]))}
        assert {id: told["name"] for id, told in last.items()} == {each["id"]: each["name"] for each in there}
        assert len(api.events()) == 300 + 1600

    def test_what_was_answered_before_the_client_left_is_there_and_the_service_goes_on(
        self, api: Api, listings: list[Body]
    ) -> None:
        talk = Talk(api)
        talk.send(lines(listings[:700]) + b'{"half": ')
        acknowledged: list[dict[str, Any]] = []
        while len(acknowledged) < 500:
            acknowledged += talk.answered()
        talk.close()
        ids = {each["id"] for each in api.listed()}
        assert {each["id"] for each in acknowledged} <= ids
        assert Counter(each["outcome"] for each in api.imported(listings))["invalid"] == 0
        assert len(api.listed()) == 1100

    def test_a_client_that_reads_late_gets_every_outcome(self, api: Api, listings: list[Body]) -> None:
        talk = Talk(api)
        for _ in range(10):
            talk.send(lines(listings))
        talk.send(b"")
        # Everything has been done, and more outcomes wait than any socket holds.
        eventually(lambda: len(api.listed()) == 1100)
        outcomes: list[dict[str, Any]] = []
        while answered := talk.answered():
            outcomes += answered
        talk.close()
        assert [each["line"] for each in outcomes] == list(range(1, 11_001))
        assert Counter(each["outcome"] for each in outcomes) == {"created": 1100, "unchanged": 9900}

    @pytest.mark.slow
    def test_200_000_lines_in_one_request_need_no_more_memory_than_a_few(
        self, tmp_path: Path, tested: Tested, listings: list[Body]
    ) -> None:
        """All are sent before the first outcome is read. What changes nothing is quickest; every other line is no JSON."""
        thousand = b"".join(lines([each]) + b'{"name": "broken",\n' for each in listings[:500])
        with a_process_of_its_own(tested, tmp_path) as (url, process):
            peaks = []
            for thousands in (10, 200):
                connection = http.client.HTTPConnection("127.0.0.1", httpx.URL(url).port, timeout=120)
                path = f"{tested.path}/import"
                connection.request("POST", path, iter([thousand] * thousands), NDJSON, encode_chunked=True)
                answer = connection.getresponse()
                assert answer.status == 200
                outcomes: Counter[str] = Counter()
                for number, line in enumerate(answer, 1):
                    outcome = orjson.loads(line)
                    assert outcome["line"] == number
                    outcomes[outcome["outcome"]] += 1
                connection.close()
                new = 500 if thousands == 10 else 0
                assert +outcomes == +Counter(created=new, unchanged=500 * thousands - new, invalid=500 * thousands)
                peaks.append(peak_memory(process.pid))
        assert peaks[1] - peaks[0] < 25_000, f"kB: {peaks}"  # 32 MB in and 55 MB out would show


class Talk:
    """An import whose client sends and reads as the test wants."""

    def __init__(self, api: Api) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(30)
        self._socket.connect((api.client.base_url.host, api.client.base_url.port))
        self._file = self._socket.makefile("rb")
        head = [f"POST {api.path}/import HTTP/1.1", "Host: x", "Content-Type: application/x-ndjson", "Transfer-Encoding: chunked"]
        self._socket.sendall("\r\n".join([*head, "", ""]).encode())

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
