"""Bad input is a problem with a 4xx that names the field, never a 500, and the next good request is served."""

import json
import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from common.web.pagination import encode_cursor

JSON = {"Content-Type": "application/json"}
NOBODY = "/v1.0/rooms/01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"
AREA = {"name": "X", "city": "Y", "country": "Z"}
STRINGS = ["name", "description", "recurrency", "provider", "url", "currency"]


@pytest.fixture(autouse=True)
def _served_afterwards(shared, listing) -> Iterator[None]:
    """Whatever a test has sent, a good write right after it works."""
    yield
    shared.create(listing())


def refused(answer: httpx.Response, *names: str, status: int = 400) -> dict[str, Any]:
    """The problem, once it is one of this status that names these fields."""
    assert answer.status_code == status, answer.text[:500]
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert {error["name"] for error in problem.get("errors", [])} == set(names), problem
    return problem


def document(listing: dict[str, Any], field: str, raw: bytes) -> bytes:
    """The listing as JSON, with the field (dotted) holding `raw`."""
    for name in reversed(field.split(".")[1:]):
        raw = b'{"%s": %s}' % (name.encode(), raw)
    field = field.split(".")[0]
    text = json.dumps({name: value for name, value in listing.items() if name != field}).encode()
    return text[:-1] + b', "%s": %s}' % (field.encode(), raw)


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
def test_what_is_no_json_is_refused(shared, body):
    for method, path in (("POST", "/v1.0/rooms"), ("PUT", NOBODY), ("PATCH", NOBODY)):
        answer = shared.client.request(method, path, content=body, headers=JSON)
        problem = refused(answer, *{error["name"] for error in answer.json()["errors"]})
        assert problem["type"] == "/problems/invalid"
        assert len(problem["detail"]) < 1000


@pytest.mark.parametrize("body", [b"null", b"5", b"true", b'"text"', b"[]", b"[{}]"])
def test_json_that_is_no_object_is_refused(shared, body):
    for method, path in (("POST", "/v1.0/rooms"), ("PUT", NOBODY), ("PATCH", NOBODY)):
        refused(shared.client.request(method, path, content=body, headers=JSON), "")


def test_what_is_missing_is_named(shared):
    required = ["name", "description", "price", "recurrency", "provider", "url", "coordinates"]
    refused(shared.client.post("/v1.0/rooms", content=b"{}", headers=JSON), *required)
    refused(shared.client.put(NOBODY, content=b"{}", headers=JSON), *required)
    refused(shared.client.post("/v1.0/rooms", headers=JSON), "")


@pytest.mark.parametrize(
    ("field", "values"),
    [(name, ["5", "true", "null", "[]", "{}", '""']) for name in STRINGS]
    + [
        (
            "price",
            ["-1", "1.5", '"5"', "true", "null", "[]", "{}", "1000000000001", "1e30", "1" + "0" * 30, "-0.5"],
        ),
        ("monthly_price", ["-1", "1.5", '"5"', "true", "[]", "30000000000001", "1" + "0" * 30]),
        ("property_size", ["-0.1", '"5"', "false", "[]", "1000000.1", "1e300"]),
        ("is_visible", ["0", "1", '"true"', "null", "[]"]),
        ("furnished", ["0", "1", '"true"', '"yes"', "[]"]),
        ("coordinates", ["null", "5", "[1, 2]", '"1,2"']),
        ("coordinates.lat", ["91", "-90.0000001", '"1"', "null", "true", "[]", "1e308"]),
        ("coordinates.lon", ["181", "-181", '"1"', "null", "180.0000001"]),
        ("area", ["5", "[]", '"Berlin"', "false"]),
        ("area.name", ["5", '""', "null"]),
        ("area.city", ["5", '""', "null"]),
        ("area.country", ["5", '""', "null"]),
        ("area.id", ["5", "[]"]),
        ("area.coordinates", ["5", "[]"]),
        ("area.coordinates.lat", ["91", '"1"']),
        ("area.coordinates.lon", ["-181"]),
        ("images", ["5", "{}", '"https://a.example"', "null"]),
    ],
    ids=lambda each: each if isinstance(each, str) else "",
)
def test_a_value_of_another_type_or_out_of_range_is_refused_by_name(shared, listing, field, values):
    others = {"coordinates.lat": {"coordinates.lon"}, "coordinates.lon": {"coordinates.lat"}}.get(field, set())
    if field.startswith("area."):
        others = {"area.name", "area.city", "area.country"} - {field}
    if field.startswith("area.coordinates."):
        others |= {"area.coordinates.lat", "area.coordinates.lon"} - {field}
    for value in values:
        body = document(listing(), field, value.encode())
        refused(shared.client.post("/v1.0/rooms", content=body, headers=JSON), field, *others)
        if (field, value) != ("url", '""'):  # which no schema refuses: PUT looks for the room first
            refused(shared.client.put(NOBODY, content=body, headers=JSON), field, *others)


@pytest.mark.parametrize("field", ["id_", "Name", "constructor", "__proto__", "coordinates.alt", "area.street", "images.0"])
def test_an_unknown_property_is_refused_by_name(shared, listing, field):
    name, _, inner = field.partition(".")
    valid: Any = {"coordinates": {"lat": 1, "lon": 2}, "area": AREA, "images": None}.get(name, 1)
    body = listing(**{name: valid | {inner: 1} if isinstance(valid, dict) else valid})
    if name == "images":
        body["images"] = [{"url": "https://a.example/", "alt": "x"}]
        field = "images[0].alt"
    refused(shared.client.post("/v1.0/rooms", json=body), field)


@pytest.mark.parametrize(
    "field", [*STRINGS, "area.id", "area.name", "area.city", "area.country", "images[1].url", "id", "created_at"]
)
def test_nul_is_refused_in_every_text(shared, listing, field):
    body = listing(area=dict(AREA), images=[{"url": "https://a.example/1"}, {"url": "https://a.example/2"}])
    if field.startswith("area."):
        body["area"] |= {field.removeprefix("area."): "a\0b"}
    elif field.startswith("images"):
        body["images"][1]["url"] = "https://a.example/\0"
    else:
        body[field] = "a\0b"
    refused(shared.client.post("/v1.0/rooms", json=body), field)


def test_nul_is_refused_in_names_and_raw(shared, listing):
    refused(shared.client.post("/v1.0/rooms", json=listing() | {"na\0me": 1}), "na\0me")
    raw = json.dumps(listing(name="@")).encode().replace(b"@", b"a\0b")
    refused(shared.client.post("/v1.0/rooms", content=raw, headers=JSON), "name")


def test_nul_is_refused_in_paths_and_queries(shared):
    refused(shared.client.get("/v1.0/rooms/a%00b"), "id")
    refused(shared.client.get("/v1.0/rooms?provider=a%00b"), "provider")
    refused(shared.client.get("/v1.0/rooms?cursor=%00"), "cursor")


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
def test_only_absolute_web_addresses_are_urls(shared, listing, url):
    refused(shared.client.post("/v1.0/rooms", json=listing(url=url)), "url")
    images = [{"url": "https://a.example/1.jpg"}, {"url": url}]
    refused(shared.client.post("/v1.0/rooms", json=listing(images=images)), "images[1].url")
    room = shared.create(listing())
    refused(shared.client.patch(f"/v1.0/rooms/{room['id']}", json={"url": url}), "url")


@pytest.mark.parametrize(
    ("field", "maximum"),
    [
        ("name", 200),
        ("description", 20_000),
        ("provider", 100),
        ("area.id", 200),
        ("area.name", 200),
        ("area.city", 200),
        ("area.country", 200),
    ],
)
def test_a_text_beyond_its_maximum_is_refused_by_name(shared, listing, field, maximum):
    def with_text(text: str) -> dict[str, Any]:
        inner = field.removeprefix("area.")
        return listing(area=AREA | {inner: text}) if inner != field else listing(**{field: text})

    for letter in ("x", "😀"):
        refused(shared.client.post("/v1.0/rooms", json=with_text(letter * (maximum + 1))), field)
        shared.create(with_text(letter * maximum))
    # One character that NFC makes two of: too long only once it is plain.
    refused(shared.client.post("/v1.0/rooms", json=with_text("\u0958" * maximum)), field)


@pytest.mark.parametrize("field", ["url", "images[0].url"])
def test_an_url_beyond_its_maximum_is_refused_by_name(shared, listing, field):
    long = "https://a.example/".ljust(2049, "ü")
    refused(
        shared.client.post("/v1.0/rooms", json=listing(url=long) if field == "url" else listing(images=[{"url": long}])), field
    )


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "<p> </p>"),
        ("name", "\n\u0007&nbsp;"),
        ("description", "<!-- hidden -->"),
        ("provider", "<script>x</script>"),
        ("currency", "XYZ"),
        ("currency", "E1R"),
        ("currency", "EURO"),
        ("recurrency", "yearly"),
        ("recurrency", "monthly\n"),
        ("name", "&lt;b&gt;&lt;/b&gt;"),
        ("area.id", " "),
    ],
)
def test_a_text_that_says_nothing_or_is_none_of_its_kind_is_refused_by_name(shared, listing, field, value):
    body = listing(area=AREA | {"id": value}) if field == "area.id" else listing(**{field: value})
    refused(shared.client.post("/v1.0/rooms", json=body), field)


def test_too_many_images_are_refused(shared, listing):
    images = [{"url": f"https://a.example/{number}"} for number in range(51)]
    refused(shared.client.post("/v1.0/rooms", json=listing(images=images)), "images")
    shared.create(listing(images=images[:50]))


def test_a_name_twice_in_one_object_is_refused(shared, listing):
    twice = json.dumps(listing()).encode()[:-1] + b', "price": 1}'
    refused(shared.client.post("/v1.0/rooms", content=twice, headers=JSON), "price")


@pytest.mark.parametrize(
    ("query", "name"),
    [
        (f"limit={value}", "limit")
        for value in ("-1", "0", "101", "abc", "1_0", "1.0", "", "%20", "1e1", "٣", "99999999999999999999")
    ]
    + [("limit=1&limit=2", "limit")]
    + [(f"{name}={value}", name) for name in ("is_visible", "furnished") for value in ("yes", "1", "", "TRUE ")]
    + [("provider=", "provider"), ("provider=" + "x" * 101, "provider"), ("provider=%FF", "provider"), ("order=price", "order")]
    + [
        (f"cursor={value}", "cursor")
        for value in ("", "x", "AAAA", "%00", "é", "WyJ4Il0", "x" * 513, "../../etc", "eyJhIjoxfQ==")
    ],
)
def test_a_query_that_cannot_be_understood_is_refused_by_name(shared, query, name):
    refused(shared.client.get(f"/v1.0/rooms?{query}"), name)


def test_a_cursor_that_the_list_did_not_give_is_refused(shared, listing):
    for _ in range(2):
        shared.create(listing(provider="cursors"))
    given = shared.client.get("/v1.0/rooms", params={"provider": "cursors", "limit": 1}).links["next"]["url"]
    cursor = httpx.URL(given).params["cursor"]
    assert shared.client.get(given).status_code == 200
    flipped = [cursor[:at] + ("A" if cursor[at] != "A" else "B") + cursor[at + 1 :] for at in range(0, len(cursor), 7)]
    others = [encode_cursor(values) for values in ((), (1,), ("x",), ("", 1.5, "id"), (None,), ("' OR 1=1 --",))]
    for forged in [cursor[:-1], cursor[1:], cursor + "A", cursor + "=", cursor.upper(), *flipped, *others]:
        refused(shared.client.get("/v1.0/rooms", params={"cursor": forged}), "cursor")


@pytest.mark.parametrize(
    "id", ["1", "none", "%20", "01938b6e5f0a7c1e8a550d6d1f6c2b11", "{01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11}", "é", "%FF", "..%2f"]
)
def test_an_id_that_is_none_is_refused(shared, listing, id):
    for method, body in (("GET", None), ("PUT", listing()), ("PATCH", {}), ("DELETE", None)):
        refused(shared.client.request(method, f"/v1.0/rooms/{id}", json=body), "id")


def test_an_id_in_capitals_is_the_same(shared, listing):
    room = shared.create(listing())
    assert shared.client.get(f"/v1.0/rooms/{room['id'].upper()}").json() == room


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
def test_another_content_type_is_refused(shared, listing, content_type):
    headers = {} if content_type is None else {"Content-Type": content_type}
    body = json.dumps(listing()).encode()
    for method, path in (("POST", "/v1.0/rooms"), ("PUT", NOBODY), ("PATCH", NOBODY)):
        problem = refused(shared.client.request(method, path, content=body, headers=headers), status=415)
        assert "application/json" in problem["accepted"]
    if content_type != "application/x-ndjson":
        refused(shared.client.post("/v1.0/rooms/import", content=body, headers=headers), status=415)


def test_merge_patch_is_only_for_patch(shared, listing):
    body = json.dumps(listing()).encode()
    refused(shared.client.post("/v1.0/rooms", content=body, headers={"Content-Type": "application/merge-patch+json"}), status=415)


class TestTooLarge:
    """413 comes before the body is sent, let alone held in memory."""

    @pytest.fixture
    def raw(self, shared) -> Iterator[socket.socket]:
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

    @pytest.mark.parametrize(("method", "path"), [("POST", "/v1.0/rooms"), ("PUT", NOBODY), ("PATCH", NOBODY)])
    def test_by_its_length(self, raw, method, path):
        raw.sendall(self.head(method, path, b"Content-Length: 1048577"))
        answer = self.answer(raw)
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"application/problem+json" in answer

    def test_by_a_length_beyond_all_measure(self, raw):
        raw.sendall(self.head("POST", "/v1.0/rooms", b"Content-Length: 9999999999999999"))
        assert self.answer(raw).startswith(b"HTTP/1.1 413")

    def test_with_expect_continue(self, raw):
        raw.sendall(self.head("POST", "/v1.0/rooms", b"Content-Length: 5000000", b"Expect: 100-continue"))
        assert self.answer(raw).startswith(b"HTTP/1.1 413")

    def test_in_chunks_as_soon_as_there_are_too_many(self, raw):
        raw.sendall(self.head("POST", "/v1.0/rooms", b"Transfer-Encoding: chunked"))
        for _ in range(17):  # 17 × 64 KiB, and no end
            raw.sendall(b"10000\r\n" + b" " * 65536 + b"\r\n")
        assert self.answer(raw).startswith(b"HTTP/1.1 413")

    def test_not_at_the_limit(self, shared, listing):
        body = json.dumps(listing()).encode().ljust(1_048_576)
        for content in (body, iter([body[:600_000], body[600_000:]])):
            answer = shared.client.post("/v1.0/rooms", content=content, headers=JSON)
            assert answer.status_code in (201, 409)

    @pytest.mark.parametrize("length", [b"-1", b"1.5", b"0x10", b"1, 2", b"", b"abc"])
    def test_a_length_that_is_none_is_refused(self, raw, length):
        raw.sendall(self.head("POST", "/v1.0/rooms", b"Content-Length: " + length) + b"{}")
        assert self.answer(raw).split()[1] == b"400"


IMPORT = {"Content-Type": "application/x-ndjson"}


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
        (b'{"name": "' + b"x" * 1_048_576 + b'"}', [""]),
        (b'{"name": "a\\u0000"}', ["name"]),
        (b"{}", ["name", "description", "price", "recurrency", "provider", "url", "coordinates"]),
        (b"\x00", [""]),
        (b"\xef\xbb\xbf{}", [""]),
    ],
    ids=lambda each: each[:16].decode("latin-1").encode("unicode_escape").decode() if isinstance(each, bytes) else "",
)
def test_a_line_that_is_no_listing_is_answered_and_its_neighbours_are_imported(shared, listing, line, names):
    good = [json.dumps(listing()).encode() for _ in range(2)]
    answer = shared.client.post("/v1.0/rooms/import", content=b"\n".join((good[0], line, good[1])), headers=IMPORT)
    outcomes = [json.loads(each) for each in answer.content.splitlines()]
    assert [(each["line"], each["outcome"]) for each in outcomes] == [(1, "created"), (2, "invalid"), (3, "created")]
    problem = outcomes[1]["problem"]
    assert (problem["type"], problem["status"], outcomes[1]["id"]) == ("/problems/invalid", 400, None)
    if names is not None:
        assert [error["name"] for error in problem["errors"]] == names
    assert len(json.dumps(problem)) < 3000


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"price": 10**30}, "price"),
        ({"coordinates": {"lat": 91, "lon": 0}}, "coordinates.lat"),
        ({"url": "javascript:alert(1)"}, "url"),
        ({"images": [{"url": "data:x"}]}, "images[0].url"),
        ({"area": AREA | {"city": " "}}, "area.city"),
        ({"currency": "ZZZ"}, "currency"),
        ({"surprise": 1}, "surprise"),
        ({"name": "x" * 201}, "name"),
    ],
)
def test_an_imported_listing_is_judged_as_a_posted_one(shared, listing, changes, name):
    body = listing(**changes)
    (error,) = refused(shared.client.post("/v1.0/rooms", json=body), name)["errors"]
    answer = shared.client.post("/v1.0/rooms/import", content=json.dumps(body), headers=IMPORT)
    assert (answer.json()["outcome"], answer.json()["problem"]["errors"]) == ("invalid", [error])


def test_postgresql_never_sees_what_it_could_not_store(postgresql_api, listing):
    """The same validation stands before both databases; what reaches the real one is stored or refused, never a 500."""
    texts = [
        "a\0b",
        "\ud800",
        "&#0;&#xD800;&#x110000;",
        "\x01\x02",
        "\U0010ffff",
        "\ufffe",
        "%00",
        "\\u0000",
        "'; DROP TABLE rooms; --",
    ]
    for text in texts:
        for field in (*STRINGS, "area.id", "images"):
            body = listing(**{field: text})
            if field == "area.id":
                del body[field]
                body["area"] = AREA | {"id": text}
            elif field == "images":
                body["images"] = [{"url": f"https://a.example/{text}"}]
            elif field == "url":
                body["url"] += text
            answer = postgresql_api.client.post("/v1.0/rooms", content=json.dumps(body), headers=JSON)
            assert answer.status_code in (201, 400), (field, text, answer.text)
            if answer.status_code == 201:
                assert postgresql_api.client.get(answer.headers["Location"]).json() == answer.json()
        for path in ("rooms?provider=", "rooms?cursor=", "rooms/"):
            query = httpx.QueryParams({"": text.encode("utf-8", "surrogatepass")}) if "\ud800" not in text else None
            if query is not None:
                assert postgresql_api.client.get(f"/v1.0/{path}{str(query)[1:]}").status_code in (200, 400, 404)
