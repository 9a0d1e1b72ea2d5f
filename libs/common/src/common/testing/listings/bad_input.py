"""Bad input is a problem with a 4xx that names the field, never a 500, and the next good request is served."""

import json
import socket
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import orjson
import pytest

from common.testing.listings.api import JSON, NDJSON, Api, lines
from common.testing.listings.tested import Body, Make, Tested, put, with_raw
from common.web.pagination import encode_cursor

_LIMIT = 1_048_576
_IMAGES = [{"url": "https://a.example/1.jpg"}, {"url": "https://a.example/2.jpg"}]
#: What every kind has, and JSON that no value of it looks like.
_WRONG: Mapping[str, Sequence[str]] = {
    "url": ["5", "true", "[]", "{}", '""'],
    "is_visible": ["0", "1", '"true"', "[]"],
    "images": ["5", "{}", '"https://a.example"'],
}
#: Texts that say nothing once they are plain.
_NOTHING = ["<p> </p>", "\n\u0007&nbsp;", "<!-- hidden -->", "<script>x</script>", "&lt;b&gt;&lt;/b&gt;", " "]


def refused(answer: httpx.Response, *names: str, status: int = 400) -> dict[str, Any]:
    """The problem, once it is one of this status that names these fields."""
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert {error["name"] for error in problem.get("errors", [])} == set(names), problem
    return problem


def writes(api: Api) -> list[tuple[str, str]]:
    """Methods and paths that take a body."""
    return [("POST", api.path), ("PUT", api.nobody), ("PATCH", api.nobody)]


class ServedAfterwards:
    @pytest.fixture
    def whole(self, tested: Tested, listing: Make) -> Make:
        """Makes bodies that have everything."""
        return lambda **changes: listing(**tested.full, images=[dict(image) for image in _IMAGES]) | changes

    @pytest.fixture(autouse=True)
    def _served_afterwards(self, shared: Api, listing: Make) -> Iterator[None]:
        """Whatever a test has sent, a good write right after it works."""
        yield
        shared.create(listing())


class TestBadBodies(ServedAfterwards):
    @pytest.mark.parametrize(
        "body",
        [
            b"{",
            b"[}",
            b"hello",
            b'{"name": "a",}',
            b"{'name': 'a'}",
            b'{"name": "a"} {"name": "b"}',
            b"   ",
            b"\xef\xbb\xbf{",
            b'{"name": "\xff\xfe"}',
            b'{"name": "\xed\xa0\x80"}',
            b'{"name": "\xc0\x80"}',
            b'{"name": "\\ud800"}',
            b'{"\\udfff": 1}',
            b'{"price": NaN}',
            b'{"price": Infinity}',
            b'{"price": -Infinity}',
            b'{"price": 1e999}',
            b'{"price": 1' + b"0" * 400 + b"}",
            b'{"price": 0x10}',
            b'{"price": 01}',
            b'{"name": "tab\tin"}',
            b"[" * 100_000,
            b"[" * 100_000 + b"]" * 100_000,
            b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
            b'{"name": ' + b"[" * 30_000 + b"]" * 30_000 + b"}",
        ],
        ids=lambda body: body[:20].decode("latin-1").encode("unicode_escape").decode(),
    )
    def test_what_is_no_json_is_refused(self, shared: Api, body: bytes) -> None:
        for method, path in writes(shared):
            answer = shared.client.request(method, path, content=body, headers=JSON)
            problem = refused(answer, *{error["name"] for error in answer.json()["errors"]})
            assert problem["type"] == "/problems/invalid"
            assert len(problem["detail"]) < 1000

    @pytest.mark.parametrize("body", [b"null", b"5", b"true", b'"text"', b"[]", b"[{}]"])
    def test_json_that_is_no_object_is_refused(self, shared: Api, body: bytes) -> None:
        for method, path in writes(shared):
            refused(shared.client.request(method, path, content=body, headers=JSON), "")

    def test_what_is_missing_is_named(self, shared: Api, tested: Tested) -> None:
        refused(shared.client.post(shared.path, content=b"{}", headers=JSON), *tested.names)
        refused(shared.client.put(shared.nobody, content=b"{}", headers=JSON), *tested.names)
        refused(shared.client.post(shared.path, headers=JSON), "")

    def test_a_value_of_another_type_or_out_of_range_is_refused_by_name(self, shared: Api, tested: Tested, whole: Make) -> None:
        texts = {name: ["5", "true", "[]", "{}", '""'] for name in tested.texts}
        nulls = {name: ["null"] for name in tested.names}
        for each in (_WRONG, texts, nulls, tested.wrong):
            for field, values in each.items():
                for value in values:
                    body = with_raw(whole(), field, value)
                    refused(shared.client.post(shared.path, content=body, headers=JSON), field)
                    if (field, value) != ("url", '""'):  # which no schema refuses: PUT looks for the listing first
                        refused(shared.client.put(shared.nobody, content=body, headers=JSON), field)

    @pytest.mark.parametrize("field", ["id_", "Name", "constructor", "__proto__", "images[0].alt"])
    def test_an_unknown_property_is_refused_by_name(self, shared: Api, whole: Make, field: str) -> None:
        refused(shared.client.post(shared.path, json=put(whole(), field, 1)), field)

    def test_an_unknown_property_further_in_is_refused_by_name(self, shared: Api, tested: Tested, whole: Make) -> None:
        for name, value in tested.full.items():
            if isinstance(value, dict):
                refused(shared.client.post(shared.path, json=put(whole(), f"{name}.surprise", 1)), f"{name}.surprise")

    def test_nul_is_refused_in_every_text(self, shared: Api, tested: Tested, whole: Make) -> None:
        texts = [name for name, values in tested.senseless.items() if values]
        for field in (*tested.texts, *texts, "url", "images[1].url", "id", "created_at"):
            refused(shared.client.post(shared.path, json=put(whole(), field, "https://a.example/a\0b")), field)

    def test_nul_is_refused_in_names_and_raw(self, shared: Api, listing: Make) -> None:
        refused(shared.client.post(shared.path, json=listing() | {"na\0me": 1}), "na\0me")
        refused(shared.client.post(shared.path, content=with_raw(listing(), "name", '"a\0b"'), headers=JSON), "name")

    @pytest.mark.parametrize(
        "url",
        [
            "javascript:alert(1)",
            "JaVaScRiPt://a.example/%0aalert(1)",
            "data:text/html,<script>alert(1)</script>",
            "ftp://a.example/x",
            "file:///etc/passwd",
            "//a.example/x",
            "/x",
            "x",
            "https:",
            "https://",
            "https:///x",
            "https:a.example",
            "https://a.example:99999/",
            "https://a.example:x/",
            "https://[::1/",
            "https://user:secret@a.example/",
            "https://user@a.example/",
            "https://a.example/a b",
            "https://a.example/\nx",
            "https://a.example/<script>",
            'https://a.example/"x',
            "https://a.example\\@b.example/",
            " ",
            "java\nscript:alert(1)",
            "\u0000https://a.example/",
            "http\u200bs://a.example/",
        ],
    )
    def test_only_absolute_web_addresses_are_urls(self, shared: Api, listing: Make, url: str) -> None:
        refused(shared.client.post(shared.path, json=listing(url=url)), "url")
        images = [{"url": "https://a.example/1.jpg"}, {"url": url}]
        refused(shared.client.post(shared.path, json=listing(images=images)), "images[1].url")
        refused(shared.client.patch(shared.at(shared.create(listing())), json={"url": url}), "url")

    def test_a_text_beyond_its_maximum_is_refused_by_name(self, shared: Api, tested: Tested, whole: Make) -> None:
        for field, maximum in tested.texts.items():
            for letter in ("x", "😀"):
                refused(shared.client.post(shared.path, json=put(whole(), field, letter * (maximum + 1))), field)
                shared.create(put(whole(), field, letter * maximum))
            # One character that NFC makes two of: too long only once it is plain.
            refused(shared.client.post(shared.path, json=put(whole(), field, "\u0958" * maximum)), field)

    @pytest.mark.parametrize("field", ["url", "images[0].url"])
    def test_an_url_beyond_its_maximum_is_refused_by_name(self, shared: Api, whole: Make, field: str) -> None:
        refused(shared.client.post(shared.path, json=put(whole(), field, "https://a.example/".ljust(2049, "ü"))), field)

    def test_a_text_that_says_nothing_or_is_none_of_its_kind_is_refused_by_name(
        self, shared: Api, tested: Tested, whole: Make
    ) -> None:
        for each in (dict.fromkeys(tested.texts, _NOTHING), tested.senseless):
            for field, values in each.items():
                for value in values:
                    refused(shared.client.post(shared.path, json=put(whole(), field, value)), field)

    def test_too_many_images_are_refused(self, shared: Api, listing: Make) -> None:
        images = [{"url": f"https://a.example/{number}"} for number in range(51)]
        refused(shared.client.post(shared.path, json=listing(images=images)), "images")
        shared.create(listing(images=images[:50]))

    def test_a_name_twice_in_one_object_is_refused(self, shared: Api, listing: Make) -> None:
        twice = json.dumps(listing()).encode()[:-1] + b', "name": "again"}'
        refused(shared.client.post(shared.path, content=twice, headers=JSON), "name")

    @pytest.mark.parametrize(
        "content_type",
        [
            None,
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "multipart/form-data; boundary=x",
            "application/jsonx",
            "application/json; charset=latin-1",
            "application/xml",
            "nonsense",
            "application/x-ndjson",
        ],
    )
    def test_another_content_type_is_refused(self, shared: Api, listing: Make, content_type: str | None) -> None:
        headers = {} if content_type is None else {"Content-Type": content_type}
        body = json.dumps(listing()).encode()
        for method, path in writes(shared):
            problem = refused(shared.client.request(method, path, content=body, headers=headers), status=415)
            assert "application/json" in problem["accepted"]
        if content_type != "application/x-ndjson":
            refused(shared.client.post(f"{shared.path}/import", content=body, headers=headers), status=415)

    def test_merge_patch_is_only_for_patch(self, shared: Api, listing: Make) -> None:
        body, headers = json.dumps(listing()).encode(), {"Content-Type": "application/merge-patch+json"}
        refused(shared.client.post(shared.path, content=body, headers=headers), status=415)

    def test_postgresql_never_sees_what_it_could_not_store(self, postgresql_api: Api, tested: Tested, whole: Make) -> None:
        """The same validation stands before both databases; what reaches the real one is stored or refused, never a 500."""
        client = postgresql_api.client
        for text in (
            "a\0b",
            "\ud800",
            "&#0;&#xD800;&#x110000;",
            "\x01\x02",
            "\U0010ffff",
            "\ufffe",
            "%00",
            "\\u0000",
            f"'; DROP TABLE {tested.kind.plural}; --",
        ):
            for field in (*tested.texts, *tested.senseless, "url", "images[0].url"):
                url = whole()["url"] if field == "url" else "https://a.example/"
                body = put(whole(), field, url + text if field.endswith("url") else text)
                answer = client.post(postgresql_api.path, content=json.dumps(body), headers=JSON)
                assert answer.status_code in (201, 400), (field, text, answer.text)
                if answer.status_code == 201:
                    assert client.get(answer.headers["Location"]).json() == answer.json()
            if text != "\ud800":
                query = str(httpx.QueryParams({"": text}))[1:]
                for below in (*(f"?{name}={query}" for name in tested.filters), f"?cursor={query}", f"/{query}"):
                    assert client.get(postgresql_api.path + below).status_code in (200, 400, 404)


class TestBadAddresses(ServedAfterwards):
    @pytest.mark.parametrize(
        ("query", "name"),
        [
            (f"limit={value}", "limit")
            for value in ("-1", "0", "101", "abc", "1_0", "1.0", "", "%20", "1e1", "٣", "99999999999999999999")
        ]
        + [("limit=1&limit=2", "limit"), ("order=price", "order")]
        + [
            (f"cursor={value}", "cursor")
            for value in ("", "x", "AAAA", "%00", "é", "WyJ4Il0", "x" * 513, "../../etc", "eyJhIjoxfQ==")
        ],
    )
    def test_a_query_that_cannot_be_understood_is_refused_by_name(self, shared: Api, query: str, name: str) -> None:
        refused(shared.client.get(f"{shared.path}?{query}"), name)

    def test_a_filter_that_cannot_be_understood_is_refused_by_name(self, shared: Api, tested: Tested) -> None:
        flags = ["is_visible", *(name for name, (one, _) in tested.filters.items() if isinstance(one, bool))]
        asked = [(name, value) for name in flags for value in ("yes", "1", "", "TRUE ")]
        for name in tested.filters.keys() & tested.texts.keys():
            asked += [(name, value) for value in ("", "x" * (tested.texts[name] + 1), "%FF", "a%00b")]
        for name, value in asked:
            refused(shared.client.get(f"{shared.path}?{name}={value}"), name)

    def test_a_cursor_that_the_list_did_not_give_is_refused(self, shared: Api, listing: Make) -> None:
        for _ in range(2):
            shared.create(listing())
        given = shared.client.get(shared.path, params={"limit": 1}).links["next"]["url"]
        cursor = httpx.URL(given).params["cursor"]
        assert shared.client.get(given).status_code == 200
        flipped = [cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :] for at in range(0, len(cursor), 7)]
        others = [encode_cursor(values) for values in ((), (1,), ("x",), ("", 1.5, "id"), (None,), ("' OR 1=1 --",))]
        for forged in [cursor[:-1], cursor[1:], cursor + "A", cursor + "=", cursor.upper(), *flipped, *others]:
            refused(shared.client.get(shared.path, params={"cursor": forged}), "cursor")

    @pytest.mark.parametrize(
        "id",
        [
            "1",
            "none",
            "%20",
            "01938b6e5f0a7c1e8a550d6d1f6c2b11",
            "{01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11}",
            "é",
            "%FF",
            "..%2f",
            "a%00b",
        ],
    )
    def test_an_id_that_is_none_is_refused(self, shared: Api, listing: Make, id: str) -> None:
        bodies: list[tuple[str, Body | None]] = [("GET", None), ("PUT", listing()), ("PATCH", {}), ("DELETE", None)]
        for method, body in bodies:
            refused(shared.client.request(method, f"{shared.path}/{id}", json=body), "id")

    def test_an_id_in_capitals_is_the_same(self, shared: Api, listing: Make) -> None:
        made = shared.create(listing())
        assert shared.client.get(f"{shared.path}/{made['id'].upper()}").json() == made

    @pytest.mark.parametrize("key", ["", "x" * 256])
    def test_an_idempotency_key_that_is_none_is_refused(self, shared: Api, listing: Make, key: str) -> None:
        answer = shared.client.post(shared.path, json=listing(), headers={"Idempotency-Key": key})
        (error,) = refused(answer, "Idempotency-Key")["errors"]
        assert error["in"] == "header"


class TestTooLarge(ServedAfterwards):
    """413 comes before the body is sent, let alone held in memory."""

    @pytest.fixture
    def raw(self, shared: Api) -> Iterator[socket.socket]:
        with socket.create_connection((shared.client.base_url.host, shared.client.base_url.port), 10) as raw:
            yield raw

    def head(self, method: str, path: str, *more: bytes) -> bytes:
        lines = [f"{method} {path} HTTP/1.1".encode(), b"Host: x", b"Content-Type: application/json", *more]
        return b"\r\n".join([*lines, b"", b""])

    def answer(self, raw: socket.socket) -> bytes:
        received = b""
        while b"\r\n\r\n" not in received:
            received += raw.recv(65536)
        return received

    @pytest.mark.parametrize("number", range(3))
    def test_by_its_length(self, shared: Api, raw: socket.socket, number: int) -> None:
        raw.sendall(self.head(*writes(shared)[number], f"Content-Length: {_LIMIT + 1}".encode()))
        answer = self.answer(raw)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"application/problem+json" in answer

    def test_by_a_length_beyond_all_measure(self, shared: Api, raw: socket.socket) -> None:
        raw.sendall(self.head("POST", shared.path, b"Content-Length: 9999999999999999"))
        assert self.answer(raw).startswith(b"HTTP/1.1 413")

    def test_with_expect_continue(self, shared: Api, raw: socket.socket) -> None:
        raw.sendall(self.head("POST", shared.path, b"Content-Length: 5000000", b"Expect: 100-continue"))
        assert self.answer(raw).startswith(b"HTTP/1.1 413")

    def test_in_chunks_as_soon_as_there_are_too_many(self, shared: Api, raw: socket.socket) -> None:
        raw.sendall(self.head("POST", shared.path, b"Transfer-Encoding: chunked"))
        for _ in range(17):  # 17 × 64 KiB, and no end
            raw.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        assert self.answer(raw).startswith(b"HTTP/1.1 413")

    def test_not_at_the_limit(self, shared: Api, listing: Make) -> None:
        body = json.dumps(listing()).encode().ljust(_LIMIT)
        for content in (body, iter([body[:600_000], body[600_000:]])):
            answer = shared.client.post(shared.path, content=content, headers=JSON)
            assert answer.status_code in (201, 409)

    @pytest.mark.parametrize("length", [b"-1", b"1.5", b"0x10", b"1, 2", b"", b"abc"])
    def test_a_length_that_is_none_is_refused(self, shared: Api, raw: socket.socket, length: bytes) -> None:
        raw.sendall(self.head("POST", shared.path, b"Content-Length: " + length) + b"{}")
        assert self.answer(raw).split()[1] == b"400"


class TestBadLines(ServedAfterwards):
    @pytest.mark.parametrize(
        ("line", "names"),
        [
            (b"not json", [""]),
            (b"{", [""]),
            (b"5", [""]),
            (b"null", [""]),
            (b'["a"]', [""]),
            (b'"text"', [""]),
            (b'{"name": "\xff"}', [""]),
            (b'{"name": "\\ud800"}', ["name"]),
            (b'{"name": NaN}', ["name"]),
            (b"[" * 100_000, None),
            (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, None),
            (b'{"name": "' + b"x" * _LIMIT + b'"}', [""]),
            (b'{"name": "a\\u0000"}', ["name"]),
            (b"\x00", [""]),
            (b"\xef\xbb\xbf{}", [""]),
        ],
        ids=lambda each: each[:16].decode("latin-1").encode("unicode_escape").decode() if isinstance(each, bytes) else "",
    )
    def test_a_line_that_is_no_listing_is_answered_and_its_neighbours_are_imported(
        self, shared: Api, listing: Make, line: bytes, names: list[str] | None
    ) -> None:
        outcomes = shared.imported([listing(), line, listing()])
        assert [(each["line"], each["outcome"]) for each in outcomes] == [(1, "created"), (2, "invalid"), (3, "created")]
        problem = outcomes[1]["problem"]
        assert (problem["type"], problem["status"], outcomes[1]["id"]) == ("/problems/invalid", 400, None)
        if names is not None:
            assert [error["name"] for error in problem["errors"]] == names
        assert len(json.dumps(problem)) < 3000

    def test_what_a_line_lacks_is_named(self, shared: Api, tested: Tested) -> None:
        (outcome,) = shared.imported(b"{}")
        assert {error["name"] for error in outcome["problem"]["errors"]} == tested.names

    def test_an_imported_listing_is_judged_as_a_posted_one(self, shared: Api, tested: Tested, whole: Make) -> None:
        wrong: list[tuple[str, Any]] = [
            ("url", "javascript:alert(1)"),
            ("images[0].url", "data:x"),
            ("surprise", 1),
            *((name, "x" * (maximum + 1)) for name, maximum in tested.texts.items()),
            *((name, orjson.loads(values[0])) for name, values in tested.wrong.items()),
            *((name, values[0]) for name, values in tested.senseless.items()),
        ]
        for field, value in wrong:
            body = put(whole(), field, value)
            errors = refused(shared.client.post(shared.path, json=body), field)["errors"]
            answer = shared.client.post(f"{shared.path}/import", content=lines([body]), headers=NDJSON)
            assert (answer.json()["outcome"], answer.json()["problem"]["errors"]) == ("invalid", errors)
