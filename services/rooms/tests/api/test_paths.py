"""Lists, paths and methods of the API."""

import socket
from urllib.parse import urlsplit
from uuid import uuid4

import pytest


def provider(rooms) -> str:
    (name,) = {room["provider"] for room in rooms}
    return name


@pytest.fixture
def rooms(api, listing):
    """Five rooms of one provider, oldest first; every other one is hidden."""
    provider = f"five {uuid4()}"  # other tests have written into the same database
    return [api.create(listing(provider=provider, is_visible=number % 2 == 0)) for number in range(5)]


def test_a_list_is_walked_page_by_page(api, rooms):
    seen, pages = [], 0
    page = api.client.get("/v1.0/rooms", params={"provider": provider(rooms), "limit": 2})
    while True:
        assert page.status_code == 200
        seen += page.json()
        pages += 1
        if "next" not in page.links:
            break
        page = api.client.get(page.links["next"]["url"])
    assert (seen, pages) == (rooms, 3)


def test_a_walk_neither_repeats_nor_skips_while_rooms_come_and_go(api, listing, rooms):
    page = api.client.get("/v1.0/rooms", params={"provider": provider(rooms), "limit": 3})
    api.client.delete(f"/v1.0/rooms/{rooms[2]['id']}")
    new = api.create(listing(provider=provider(rooms)))
    assert [room["id"] for room in api.client.get(page.links["next"]["url"]).json()] == [
        rooms[3]["id"],
        rooms[4]["id"],
        new["id"],
    ]


def test_a_page_that_holds_all_leads_nowhere(api, rooms):
    page = api.client.get("/v1.0/rooms", params={"provider": provider(rooms), "limit": 5})
    assert (len(page.json()), page.links) == (5, {})
    assert api.client.get("/v1.0/rooms", params={"provider": "nobody"}).json() == []


def test_a_list_is_filtered(api, rooms):
    def listed(**asked) -> list[dict]:
        return api.client.get("/v1.0/rooms", params={"provider": provider(rooms)} | asked).json()

    assert listed(is_visible="true") == rooms[::2]
    assert listed(is_visible="false") == rooms[1::2]
    assert listed(is_visible="false", limit=1) == rooms[1:2]
    assert listed(furnished="true") == listed(furnished="false") == []
    told = api.client.patch(f"/v1.0/rooms/{rooms[3]['id']}", json={"furnished": False}).json()
    assert listed(furnished="false") == [told]
    assert listed(furnished="true") == []


def test_a_provider_is_found_as_it_was_sent(api, listing):
    room = api.create(listing(provider=" Tom &amp; J\u0065\u0301r\u00f4me  "))
    assert room["provider"] == "Tom & J\u00e9r\u00f4me"
    for name in ("Tom & J\u00e9r\u00f4me", " Tom &amp; J\u0065\u0301r\u00f4me  "):
        assert api.client.get("/v1.0/rooms", params={"provider": name}).json() == [room]
    assert api.client.get("/v1.0/rooms", params={"provider": "<b></b>"}).json() == []


def test_the_next_page_is_named_whatever_bytes_the_query_holds(shared, listing):
    for _ in range(2):
        shared.create(listing(provider="ÿ"))
    address = urlsplit(str(shared.client.base_url))
    for spelling in (b"%C3%BF", b"\xc3\xbf", b"\xff"):
        with socket.create_connection((address.hostname, address.port), 10) as raw:
            raw.sendall(b"GET /v1.0/rooms?limit=1&provider=" + spelling + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            answer = b"".join(iter(lambda: raw.recv(65536), b""))
        assert answer.split()[1] in (b"200", b"400"), answer[:100]


def test_a_trailing_slash_makes_no_difference(shared, listing):
    room = shared.client.post("/v1.0/rooms/", json=listing(provider="slash"))
    assert room.status_code == 201
    path = f"/v1.0/rooms/{room.json()['id']}/"
    assert shared.client.get("/v1.0/rooms/", params={"provider": "slash"}).json() == [room.json()]
    assert shared.client.get(path).json() == room.json()
    assert shared.client.patch(path, json={"price": 1}).status_code == 200
    assert shared.client.put(path, json=listing()).status_code == 200
    assert (
        shared.client.post("/v1.0/rooms/import/", content=b"", headers={"Content-Type": "application/x-ndjson"}).status_code
        == 200
    )
    assert shared.client.delete(path).status_code == 204


def test_head_answers_as_get_without_the_body(shared, listing):
    room = shared.create(listing())
    for path in ("/v1.0/rooms?limit=1", f"/v1.0/rooms/{room['id']}", "/livez"):
        head, get = shared.client.head(path), shared.client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "content-length", "etag", "link"):
            assert head.headers.get(name) == get.headers.get(name)
    assert shared.client.head("/v1.0/rooms/01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11").status_code == 404


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1.0/rooms", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("/v1.0/rooms/01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11", {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"}),
        ("/v1.0/rooms/import", {"OPTIONS", "POST"}),
    ],
)
def test_a_method_that_a_path_does_not_have_is_refused_with_those_it_has(shared, path, allowed):
    options = shared.client.options(path)
    assert (options.status_code, set(options.headers["Allow"].split(", "))) == (204, allowed)
    for method in {"GET", "POST", "PUT", "PATCH", "DELETE", "TRACE", "PURGE"} - allowed:
        refused = shared.client.request(method, path, content=b"{}")
        assert (refused.status_code, refused.json()["type"]) == (405, "/problems/method-not-allowed"), method
        assert set(refused.headers["Allow"].split(", ")) == allowed


def test_an_unknown_path_is_a_problem(shared):
    for path in ("/v1.0/nothing", "/v1.0/rooms/01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11/images", "/rooms", "//v1.0/rooms"):
        missing = shared.client.get(f"http://{shared.client.base_url.netloc.decode()}{path}")
        assert (missing.status_code, missing.json()["type"]) == (404, "/problems/no-such-path"), path


def test_every_answer_has_the_request_id_that_was_sent_or_one_of_its_own(shared, listing):
    own = {shared.client.get("/v1.0/rooms").headers["X-Request-Id"] for _ in range(2)}
    assert len(own) == 2
    for answer in (
        shared.client.post("/v1.0/rooms", json=listing(), headers={"X-Request-Id": "mine-1"}),
        shared.client.post("/v1.0/rooms", json={}, headers={"X-Request-Id": "mine-1"}),
        shared.client.get("/nowhere", headers={"X-Request-Id": "mine-1"}),
    ):
        assert answer.headers["X-Request-Id"] == "mine-1"
        assert answer.is_success or answer.json()["request_id"] == "mine-1"


def test_the_example_requests_of_the_document_work_at_the_first_try(serve, sqlite_url):
    api = serve(sqlite_url)
    document = api.client.get("/v1.0/openapi.json").json()
    examples = document["components"]["examples"]
    for example in examples.values():
        room = api.client.post("/v1.0/rooms", json=example["value"])
        assert room.status_code == 201, room.text
    patch = document["paths"]["/rooms/{id}"]["patch"]["requestBody"]["content"]
    for media, content in patch.items():
        answer = api.client.patch(room.headers["Location"], json=content["example"], headers={"Content-Type": media})
        assert answer.status_code == 200
    lines = document["paths"]["/rooms/import"]["post"]["requestBody"]["content"]["application/x-ndjson"]["example"]
    done = api.client.post("/v1.0/rooms/import", content=lines, headers={"Content-Type": "application/x-ndjson"})
    assert done.json()["outcome"] == "created"
    assert api.client.get("/v1.0/ui/").status_code == 200
