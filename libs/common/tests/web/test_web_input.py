"""Bad input of every kind ends in a 4xx that names the place; nothing around it is lost."""

import socket
from typing import Any

import httpx
import pytest

from common.errors import Invalid
from common.web.json_input import parse_json
from common.web.serve import HttpServer

JSON = {"Content-Type": "application/json"}
TOY = b'{"name": "a", "price": 1, "x": %s}'


def errors(response: httpx.Response) -> list[tuple[str, str]]:
    assert response.status_code == 400, response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    return [(error["in"], error["name"]) for error in response.json()["errors"]]


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b'{"name": "a"}', ["price"]),
        (b"{}", ["name", "price"]),
        (b'{"name": "", "price": -1}', ["name", "price"]),
        (b'{"name": "a", "price": 1, "bogus": 1, "more": 2}', ["bogus", "more"]),
        (b'{"name": "a", "price": "1"}', ["price"]),
        (b'{"name": "a", "price": true}', ["price"]),
        (b'{"name": "a", "price": null}', ["price"]),
        (b'{"name": "a", "price": 1.5}', ["price"]),
        (b'{"name": "a", "price": 1000000000000000000000000000000}', ["price"]),
        (b'{"name": "a", "price": 1e30}', ["price"]),
        (b'{"name": "a", "price": 1, "stock": 9223372036854775808}', ["stock"]),
        (b'{"name": "a", "price": 1, "stock": 18446744073709551616}', ["stock"]),
        (b'{"name": "a", "price": 1, "stock": -9223372036854775809}', ["stock"]),
        (b'{"name": "a", "price": 1, "coordinates": {"lat": 91, "lon": 181}}', ["coordinates.lat", "coordinates.lon"]),
        (b'{"name": "a", "price": 1, "coordinates": {"lat": 1}}', ["coordinates.lon"]),
        (b'{"name": "a", "price": 1, "images": [{"url": "https://a.example"}, {"q": 1}]}', ["images[1].q", "images[1].url"]),
        (b'{"name": "a", "price": 1, "url": "not a uri"}', ["url"]),
        (b'{"name": "a", "price": 1, "made_at": "yesterday"}', ["made_at"]),
        (b'{"name": "a", "price": 1, "note": "z"}', ["note"]),
        (b'{"name": "a\\u0000", "price": 1}', ["name"]),
        (b'{"name": "a", "price": 1, "b\\u0000": 1}', ["b\0"]),
        (b'{"name": "a", "price": 1, "images": [{"url": "\\u0000"}]}', ["images[0].url"]),
        (b'{"name": "a", "name": "b", "price": 1}', ["name"]),
        (b'{"name": "a", "price": 1, "coordinates": {"lat": 1, "lat": 2, "lon": 3}}', ["lat"]),
        (b"null", [""]),
        (b"[]", [""]),
        (b'"text"', [""]),
        (b"", [""]),
        (b" ", [""]),
        (b"{", [""]),
        (b'{"name": "a", "price": 1} {}', [""]),
        (b'{"name": "a", "price": 1,}', [""]),
        (b'\xef\xbb\xbf{"name": "a", "price": 1}', [""]),
        (b'{"name": "\xff", "price": 1}', [""]),
        (b'{"name": "\\ud800", "price": 1}', ["name"]),
        (b'{"name": "a\x00", "price": 1}', ["name"]),
        (TOY % b"NaN", ["x"]),
        (TOY % b"-Infinity", ["x"]),
        (TOY % b"1e400", ["x"]),
        (TOY % (b"9" * 5000), ["x"]),
        (TOY % (b"[" * 100_000 + b"]" * 100_000), [""]),
        (TOY % (b'{"a":' * 100_000 + b"1" + b"}" * 100_000), [""]),
    ],
)
def test_a_bad_body_names_what_is_wrong(client: httpx.Client, body: bytes, names: list[str]) -> None:
    found = errors(client.post("/v1.0/toys", content=body, headers=JSON))
    assert sorted(found) == [("body", name) for name in names]


def test_json_that_is_deep_but_parses_is_refused_by_its_depth(client: httpx.Client) -> None:
    response = client.post("/v1.0/toys", content=TOY % (b"[" * 500 + b"]" * 500), headers=JSON)
    assert "nested deeper" in response.json()["detail"]


def test_no_answer_repeats_a_huge_input(client: httpx.Client) -> None:
    for body in (b'{"%s": 1}' % (b"k" * 900_000), b'{"name": "%s", "price": 1}' % (b"v" * 900_000), b'"%s' % (b"x" * 900_000)):
        response = client.post("/v1.0/toys", content=body, headers=JSON)
        assert response.status_code == 400
        assert len(response.content) < 3000
    many = b"{%s}" % b",".join(b'"k%d":1' % number for number in range(50_000))
    assert len(client.post("/v1.0/toys", content=many, headers=JSON).json()["errors"]) == 20


@pytest.mark.parametrize(
    ("body", "price"),
    [(b'{"name": "a", "price": 1.0}', 1), (b'{"name": "a", "price": 1e3}', 1000), (b'{"price":-0.0,"name":"a"}', 0)],
)
def test_a_whole_number_written_as_a_fraction_is_an_integer(client: httpx.Client, body: bytes, price: int) -> None:
    made = client.post("/v1.0/toys", content=body, headers=JSON)
    assert made.status_code == 201
    assert f'"price":{price},' in made.text + ","
    assert isinstance(made.json()["price"], int)


def test_what_is_nullable_may_be_null(client: httpx.Client) -> None:
    assert client.post("/v1.0/toys", json={"name": "a", "price": 1, "note": None, "weight": None}).status_code == 201


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("limit=-1", ["limit"]),
        ("limit=0", ["limit"]),
        ("limit=101", ["limit"]),
        ("limit=1_0", ["limit"]),
        ("limit=%201", ["limit"]),
        ("limit=1%0A", ["limit"]),
        ("limit=+1", ["limit"]),
        ("limit=%2B1", ["limit"]),
        ("limit=%EF%BC%91", ["limit"]),
        ("limit=%D9%A1", ["limit"]),
        ("limit=01", ["limit"]),
        ("limit=1.0", ["limit"]),
        ("limit=1e1", ["limit"]),
        ("limit=0x1", ["limit"]),
        ("limit=", ["limit"]),
        ("limit", ["limit"]),
        ("limit=null", ["limit"]),
        ("limit=1&limit=2", ["limit"]),
        ("limit=" + "9" * 5000, ["limit"]),
        ("price_max=nan", ["price_max"]),
        ("price_max=inf", ["price_max"]),
        ("price_max=-Infinity", ["price_max"]),
        ("price_max=1e400", ["price_max"]),
        ("price_max=1e999999999", ["price_max"]),
        ("price_max=1,5", ["price_max"]),
        ("price_max=.5", ["price_max"]),
        ("visible=1", ["visible"]),
        ("visible=True", ["visible"]),
        ("visible=yes", ["visible"]),
        ("facets=a,z", ["facets"]),
        ("facets=a,b,c,a", ["facets"]),
        ("near=1", ["near"]),
        ("near=1,nan", ["near"]),
        ("near=1,181", ["near"]),
        ("tag=12345678901", ["tag"]),
        ("q=%ff", ["q"]),
        ("q=%00", ["q"]),
        ("q=%ed%a0%80", ["q"]),
        ("bogus=1", ["bogus"]),
        ("Limit=1", ["Limit"]),
        ("limit[]=1", ["limit[]"]),
        ("%ff=1", ["%ff"]),
        ("limit=-1&price_max=x&bogus=1", ["bogus", "limit", "price_max"]),
        ("&".join("q=1" for _ in range(1000)), [""]),
    ],
)
def test_a_bad_query_names_the_parameter(client: httpx.Client, query: str, names: list[str]) -> None:
    found = errors(client.get(f"/v1.0/toys?{query}"))
    assert sorted(found)[: len(names)] == [("query", name) for name in names]


@pytest.mark.parametrize(
    ("query", "given"),
    [
        ("", {}),
        ("&&", {}),
        ("limit=100", {"limit": 100}),
        ("price_max=1e2", {"price_max": 100.0}),
        ("price_max=0.5", {"price_max": 0.5}),
        ("visible=true", {"visible": True}),
        ("visible=false", {"visible": False}),
        ("facets=a,b", {"facets": ["a", "b"]}),
        ("facets=a&facets=b", {"facets": ["a", "b"]}),
        ("facets=", {"facets": []}),
        ("tag=a,b&tag=c", {"tag": ["a,b", "c"]}),
        ("near=52.5,-13.4", {"near": [52.5, -13.4]}),
        ("near=52.5%2C13", {"near": [52.5, 13.0]}),
        ("q=a%20b+c%2Bd", {"q": "a b c+d"}),
        ("q=%zz%", {"q": "%zz%"}),
        ("q=a=b", {"q": "a=b"}),
        ("q=%F0%9F%9A%82", {"q": "🚂"}),
    ],
)
def test_a_good_query_reaches_the_handler_by_name_and_type(client: httpx.Client, query: str, given: dict[str, Any]) -> None:
    assert client.get(f"/v1.0/toys?{query}").json() == {"limit": 20} | given


@pytest.mark.parametrize("id", ["nope", "%ff", "%00", "a%2Fb", "1" * 3000, "11111111111111111111111111111111", "..%2f..%2fetc"])
def test_an_id_that_is_none_is_named(client: httpx.Client, id: str) -> None:
    assert errors(client.get(f"/v1.0/toys/{id}")) == [("path", "toy_id")]


def test_a_bad_header_is_named(client: httpx.Client) -> None:
    assert errors(client.get("/v1.0/toys", headers={"X-Shop": "much too long"})) == [("header", "X-Shop")]
    unquoted = client.put(
        "/v1.0/toys/" + client.post("/v1.0/toys", json={"name": "a", "price": 1}).json()["id"],
        json={"name": "a", "price": 1},
        headers={"If-Match": "1"},
    )
    assert errors(unquoted) == [("header", "If-Match")]


def test_everything_wrong_is_told_at_once(client: httpx.Client) -> None:
    response = client.put("/v1.0/toys/nope?x=1", content=b'{"name": 1}', headers=JSON)
    assert sorted(errors(response)) == [("body", "name"), ("body", "price"), ("path", "toy_id"), ("query", "x")]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Content-Type": ""},
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-ndjson"},
        {"Content-Type": "application/jsonx"},
        {"Content-Type": "nonsense"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
    ],
)
def test_another_content_type_is_told_what_is_accepted(client: httpx.Client, headers: dict[str, str]) -> None:
    refused = client.post("/v1.0/toys", content=b'{"name": "a", "price": 1}', headers=headers)
    assert refused.status_code == 415
    assert refused.json()["accepted"] == ["application/json"]
    assert refused.headers["Accept"] == "application/json"


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "APPLICATION/JSON;charset=UTF-8", 'application/json; x="y"']
)
def test_parameters_of_the_content_type_are_fine(client: httpx.Client, content_type: str) -> None:
    made = client.post("/v1.0/toys", content=b'{"name": "a", "price": 1}', headers={"Content-Type": content_type})
    assert made.status_code == 201


def test_chunked_json_arrives(client: httpx.Client) -> None:
    made = client.post("/v1.0/toys", content=iter([b'{"name":', b' "a", "pr', b'ice": 1}']), headers=JSON)
    assert made.status_code == 201


def talk(server: HttpServer, *pieces: bytes) -> bytes:
    """Sends raw bytes and reads until the server closes the connection."""
    with socket.create_connection(("127.0.0.1", server.port), 10) as client:
        for piece in pieces:
            client.sendall(piece)
        answer = b""
        while data := client.recv(65536):
            answer += data
    return answer


def test_a_body_over_the_limit_is_refused_before_it_is_sent(server: HttpServer) -> None:
    # Nothing but the head is sent: who waits for the body before answering never answers this.
    head = b"POST /v1.0/toys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
    head += b"Content-Length: 1048577\r\nExpect: 100-continue\r\n\r\n"
    answer = talk(server, head)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b'"limit":1048576' in answer


def test_a_chunked_body_over_the_limit_is_refused_while_it_comes(server: HttpServer) -> None:
    head = b"POST /v1.0/toys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    assert talk(server, head, *[chunk] * 17).startswith(b"HTTP/1.1 413 ")


def test_a_body_of_exactly_the_limit_is_read(client: httpx.Client) -> None:
    body = b'{"name": "a", "price": 1}'.ljust(1024 * 1024)
    assert client.post("/v1.0/toys", content=body, headers=JSON).status_code == 201
    assert client.post("/v1.0/toys", content=iter([body]), headers=JSON).status_code == 201
    assert client.post("/v1.0/toys", content=body + b" ", headers=JSON).status_code == 413


@pytest.mark.parametrize(
    "raw",
    [
        b"GET /v1.0/toys HTTP/1.1\r\nHost: x\r\nX-Bad: a\x00b\r\n\r\n",
        b"GET /v1.0/t\xc3\xbcr HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v1.0/toys?q=\xff HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"POST /v1.0/toys HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1.0/toys HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /v1.0/toys HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"BREW /v1.0/toys HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET " + b"/" * 60_000 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /v1.0/toys HTTP/1.1\r\nHost: \xff\xfe[::\r\nConnection: close\r\n\r\n"[:0]
        + b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    ],
)
def test_bytes_that_are_hardly_http_get_a_4xx(server: HttpServer, raw: bytes) -> None:
    assert talk(server, raw).startswith(b"HTTP/1.1 4")


@pytest.mark.parametrize("host", [b"", b"a b", b"[::", b"\xff", b"x:99999999"])
def test_an_odd_host_header_does_no_harm(server: HttpServer, host: bytes) -> None:
    for path in (b"/v1.0/toys", b"/count", b"/v1.0/ui/"):
        answer = talk(server, b"GET " + path + b" HTTP/1.1\r\nHost: " + host + b"\r\nConnection: close\r\n\r\n")
        assert answer[:12] in (b"HTTP/1.1 200", b"HTTP/1.1 400")


def test_a_client_that_leaves_in_the_middle_of_its_body_leaves_the_service_well(server: HttpServer, client: httpx.Client) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", server.port), 10) as leaving:
            leaving.sendall(
                b"POST /v1.0/toys HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"
            )
    assert client.get("/v1.0/toys").status_code == 200


def test_pipelined_requests_are_answered_in_order(server: HttpServer) -> None:
    first = b"GET /v1.0/toys?limit=1 HTTP/1.1\r\nHost: x\r\n\r\n"
    last = b"GET /v1.0/toys?limit=2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = talk(server, first + last)
    assert 0 < answer.index(b'{"limit":1}') < answer.index(b'{"limit":2}')


def test_a_refusal_says_what_to_do_instead(client: httpx.Client) -> None:
    wrong = client.post("/v1.0/toys", content=b"a=b", headers={"Content-Type": "text/plain"}).json()
    assert wrong["detail"] == "text/plain is not accepted; send application/json"
    missing = client.post("/v1.0/toys", content=b"{}").json()
    assert missing["detail"] == "The Content-Type header is missing; send application/json"
    stream = client.post("/v1.0/toys/import", content=b"{}", headers={"Content-Type": "text/plain"}).json()
    assert stream["detail"] == "text/plain is not accepted; send application/x-ndjson"
    nothing = client.get("/v1.0/nothing").json()
    assert nothing["detail"] == "There is nothing at this path; the specification at /v1.0/openapi.json lists the paths there are"


DEEP = b"[" * 1010 + b"]" * 1010


def test_what_a_name_that_came_again_has_hidden_is_no_500(client: httpx.Client) -> None:
    for body in (b'{"a": ' + DEEP + b', "a": 1}', b'{"name": "x", "name": ' + DEEP + b"}", b'{"a": ' + DEEP + b"}"):
        answer = client.post("/v1.0/toys", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize("inner", [b"[" + b",".join([b"[]"] * 1000) + b", NaN]", b'"\\u0000"', b'[{"b": "\\u0000"}]', DEEP])
def test_a_long_name_is_told_no_longer_than_people_read(inner: bytes) -> None:
    with pytest.raises(Invalid) as raised:
        parse_json(b'{"' + b"k" * 100_000 + b'": ' + inner + b"}")
    assert 200 <= len(raised.value.errors[0].name) <= 260
