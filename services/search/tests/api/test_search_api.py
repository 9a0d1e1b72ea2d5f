"""The search API over HTTP, once on Tantivy and once on Elasticsearch."""

import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from common.config import load
from common.messaging.port import Broker
from common.testing.metrics import sample, shows
from common.web.pagination import decode_cursor, encode_cursor
from common.web.serve import running
from search import bootstrap
from search.config import Config
from search.domain import Applied, Document
from search.ports import Clock, Corpora, Index

Make = Callable[..., Document]
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


class StoppedClock(Clock):
    def now(self) -> datetime:
        return NOW


@pytest.fixture
def served(index_url: str, tmp_path: Any) -> Iterator[tuple[httpx.Client, Index]]:
    """The API with an empty index, and that index."""
    environ = {"INDEX_URL": index_url, "BROKER_URL": f"sqlite:///{tmp_path}/broker.db"}
    app = bootstrap.http(load(Config, environ), lambda binder: binder.bind(Clock, to=StoppedClock()))
    corpora = app.injector.get(Corpora)
    for corpus in corpora.values():
        corpus.index.ensure(writing=True)
    with running(app) as server, httpx.Client(base_url=server.url, timeout=20) as client:
        yield client, corpora["rooms"].index
    corpora.close()
    app.injector.get(Broker).close()


def _put(served: tuple[httpx.Client, Index], *documents: Document) -> list[Document]:
    """Applies documents and waits, a second at most, until all of them are found."""
    client, index = served
    assert index.apply(documents) == [Applied()] * len(documents)
    deadline = time.monotonic() + 1
    while client.get("/v1.0/search/rooms").json()["total"]["value"] < sum(each.visible for each in documents):
        assert time.monotonic() < deadline, "what was applied is not found within a second"
        time.sleep(0.02)
    return list(documents)


def _search(served: tuple[httpx.Client, Index], **parameters: Any) -> Any:
    answer = served[0].get("/v1.0/search/rooms", params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def _names(answer: Any) -> list[str]:
    return [hit["room"]["name"] for hit in answer["hits"]]


def test_an_answer_has_the_shape_of_the_design(served: tuple[httpx.Client, Index], document: Make) -> None:
    (room,) = _put(served, document(name="Sunny <b> room", description="A room & a view."))
    answer = _search(served, q="sunny rom", near="52.52,13.405", facets="city,price")
    assert answer == {
        "total": {"value": 1, "relation": "eq"},
        "hits": [
            {
                "id": room.id,
                "version": 1,
                "score": answer["hits"][0]["score"],
                "distance_m": 0.0,
                "highlights": {
                    "name": ["<mark>Sunny</mark> &lt;b&gt; <mark>room</mark>"],
                    "description": ["A <mark>room</mark> &amp; a view."],
                },
                "room": room.listing,
                "items": [],
            }
        ],
        "facets": {"city": [{"value": "Berlin", "count": 1}], "price": [{"value": 500, "count": 1}]},
        "next": None,
        "index": {"as_of": None, "lag_seconds": None, "stale": True},
    }
    assert answer["hits"][0]["score"] > 0
    without = _search(served)
    assert [without["hits"][0][name] for name in ("score", "distance_m", "highlights")] == [None, None, {}]


def test_the_answer_says_how_fresh_the_index_is(served: tuple[httpx.Client, Index]) -> None:
    served[1].record_progress("rooms", NOW - timedelta(seconds=3))
    deadline = time.monotonic() + 2
    while (fresh := _search(served)["index"])["stale"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert fresh == {"as_of": "2026-01-02T03:04:02Z", "lag_seconds": 3.0, "stale": False}


def test_an_indexed_room_is_read_with_its_version_and_trace(served: tuple[httpx.Client, Index], document: Make) -> None:
    room, hidden = _put(served, document(), document(is_visible=False))
    answer = served[0].get(f"/v1.0/search/rooms/{room.id}")
    assert answer.status_code == 200
    assert answer.json() == {
        "id": room.id,
        "version": 1,
        "room": room.listing,
        "trace_id": room.trace_id,
        "request_id": "r-1",
        "event_id": "e-1",
        "event_time": "2026-01-02T03:04:05Z",
        "attempts": 1,
        "deliveries": 1,
        "indexed_at": "2026-01-02T03:04:06Z",
    }
    assert served[0].get(f"/v1.0/search/rooms/{room.id.upper()}").json()["id"] == room.id
    served[1].apply([Document(id=room.id, version=2, listing=None)])
    for id in (room.id, hidden.id, document().id):
        answer = served[0].get(f"/v1.0/search/rooms/{id}")
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
    assert served[0].get("/v1.0/search/rooms/none").status_code in (400, 404)


@pytest.mark.parametrize("sort", ["relevance", "newest", "price", "-price", "distance"])
def test_next_and_link_lead_over_every_room_once(served: tuple[httpx.Client, Index], document: Make, sort: str) -> None:
    made = _put(
        served, *(document(price=number % 3, coordinates={"lat": 52.5 + number / 1000, "lon": 13.4}) for number in range(11))
    )
    parameters = {"q": "sunny", "near": "52.52,13.405", "radius": "20000", "sort": sort, "limit": "4"}
    address = f"/v1.0/search/rooms?{urlencode(parameters)}"
    seen: list[str] = []
    while True:
        answer = served[0].get(address)
        assert answer.status_code == 200, answer.text
        assert answer.json()["total"]["value"] == 11
        seen += [hit["id"] for hit in answer.json()["hits"]]
        if answer.json()["next"] is None:
            assert "next" not in answer.links
            break
        address = answer.links["next"]["url"]
        assert httpx.URL(address).params["cursor"] == answer.json()["next"]
        assert len(seen) < 12
    assert sorted(seen) == sorted(each.id for each in made)


def test_a_cursor_belongs_to_its_search(served: tuple[httpx.Client, Index], document: Make) -> None:
    _put(served, *(document() for _ in range(5)))
    cursor = _search(served, limit=2, city="berlin")["next"]
    assert len(_search(served, limit=50, city="berlin", facets="city", cursor=cursor)["hits"]) == 3
    for other in ({"city": "paris"}, {"city": "berlin", "sort": "price"}, {"city": "berlin", "q": "room"}, {}):
        answer = served[0].get("/v1.0/search/rooms", params={"cursor": cursor} | other)
        assert answer.status_code == 400
        assert [each["name"] for each in answer.json()["errors"]] == ["cursor"]


@pytest.mark.parametrize("sort", ["relevance", "newest", "price", "-price", "distance"])
def test_extreme_rooms_and_forged_cursors_break_no_search(served: tuple[httpx.Client, Index], document: Make, sort: str) -> None:
    extreme: dict[str, Any] = {"price": 2**63 - 1, "monthly_price": 2**63 - 1, "property_size": 1e308}
    times = ("9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z")
    made = _put(served, document(), *(document(**extreme, created_at=time) for time in times for _ in range(2)))
    asked = {"q": "sunny", "near": "52.52,13.405", "sort": sort, "facets": "provider,city,recurrency,price", "currency": "EUR"}
    parameters = asked | {"limit": "1"}
    seen: list[str] = []
    cursor = None
    while cursor or not seen:
        answer = _search(served, **parameters | ({"cursor": cursor} if cursor else {}))
        assert {each["count"] for each in answer["facets"]["price"]} == {1, 4}
        seen += [hit["id"] for hit in answer["hits"]]
        given, cursor = cursor or answer["next"], answer["next"]
        assert len(seen) <= 5
    assert sorted(seen) == sorted(each.id for each in made)
    fingerprint, _, id = decode_cursor(given, (str, int | float, str))
    edges = [0, -1, *(sign * (2**power + by) for sign in (1, -1) for power in (31, 53, 62) for by in (-1, 0, 1))]
    keys = [*edges, 2**63 - 1, 2**63 - 2, -(2**63), 1 - 2**63, 0.5, -0.5, 1e-320, 1e39, -1e39, 1e308, -1e308]
    for key in keys:
        for after in (id, "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"):
            answer = served[0].get("/v1.0/search/rooms", params=parameters | {"cursor": encode_cursor((fingerprint, key, after))})
            assert answer.status_code in ((200, 400) if isinstance(key, float) else (200,)), (key, answer.text)


@pytest.mark.parametrize("asked", ["provider=Nestly&provider=Other", "provider=nestly,OTHER", "provider=Other,Nestly,none"])
def test_values_are_alternatives_whether_repeated_or_separated_by_commas(
    served: tuple[httpx.Client, Index], document: Make, asked: str
) -> None:
    _put(served, document(), document(provider="Other"), document(provider="Third"))
    assert served[0].get(f"/v1.0/search/rooms?{asked}").json()["total"]["value"] == 2


def test_a_comma_may_be_part_of_a_name(served: tuple[httpx.Client, Index], document: Make) -> None:
    area = {"id": None, "name": "Capitol Hill", "city": "Washington, D.C.", "country": "United States", "coordinates": None}
    _put(served, document(), document(area=area))
    assert _search(served, city="washington, d.c.")["total"]["value"] == 1
    assert _search(served, city="washington, d.c.,berlin")["total"]["value"] == 1
    assert served[0].get("/v1.0/search/rooms?city=Washington, D.C.&city=Berlin").json()["total"]["value"] == 2


def test_prices_are_compared_in_one_currency(served: tuple[httpx.Client, Index], document: Make) -> None:
    _put(served, document(name="euro", price=100), document(name="franc", price=50, currency="CHF"))
    assert _names(_search(served, price_max=100)) == ["euro"]
    assert _names(_search(served, price_max=100, currency="chf")) == ["franc"]
    assert _names(_search(served, sort="-price")) == ["euro"]
    assert _names(_search(served, currency="CHF")) == ["franc"]
    assert sorted(_names(_search(served))) == ["euro", "franc"]


def test_furnished_is_asked_for_in_words(served: tuple[httpx.Client, Index], document: Make) -> None:
    _put(served, document(name="furnished", furnished=True), document(name="bare", furnished=False), document(name="unknown"))
    assert _names(_search(served, furnished="true")) == ["furnished"]
    assert _names(_search(served, furnished="false")) == ["bare"]
    assert len(_names(_search(served))) == 3


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ("furnished=maybe", "furnished"),
        ("furnished=", "furnished"),
        ("limit=-1", "limit"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=1_0", "limit"),
        ("price_min=5&price_max=4", "price_min"),
        ("monthly_price_min=5&monthly_price_max=4", "monthly_price_min"),
        ("property_size_min=5.5&property_size_max=5", "property_size_min"),
        ("price_min=-1", "price_min"),
        ("price_max=30000000000001", "price_max"),
        ("price_max=1e30", "price_max"),
        ("price_max=" + "9" * 40, "price_max"),
        ("property_size_max=nan", "property_size_max"),
        ("currency=EURO", "currency"),
        ("currency=12%33", "currency"),
        ("recurrency=yearly", "recurrency"),
        ("near=91,0", "near"),
        ("near=0,181", "near"),
        ("near=0", "near"),
        ("near=0,0,0", "near"),
        ("near=nan,0", "near"),
        ("near=a,b", "near"),
        ("near=", "near"),
        ("near=0,0&radius=0", "radius"),
        ("near=0,0&radius=inf", "radius"),
        ("near=0,0&radius=99999999", "radius"),
        ("radius=5", "radius"),
        ("near=0,0&near=1,1", "near"),
        ("bbox=0,91,0,92", "bbox"),
        ("bbox=181,0,0,0", "bbox"),
        ("bbox=0,5,0,4", "bbox"),
        ("bbox=0,0,0", "bbox"),
        ("sort=distance", "sort"),
        ("sort=cheapest", "sort"),
        ("facets=colour", "facets"),
        ("cursor=abc", "cursor"),
        ("cursor=" + "A" * 600, "cursor"),
        ("cursor=WyJhIl0", "cursor"),
        ("q=" + "x" * 201, "q"),
        ("q=" + "x" * 10_000, "q"),
        ("q=%00", "q"),
        ("q=%ff", "q"),
        ("q=a&q=b", "q"),
        ("provider=", "provider"),
        ("provider=" + "x" * 201, "provider"),
        ("&".join(f"city={n}" for n in range(21)), "city"),
        ("colour=red", "colour"),
    ],
)
def test_a_bad_parameter_is_named(served_once: httpx.Client, parameters: str, named: str) -> None:
    answer = served_once.get(f"/v1.0/search/rooms?{parameters}")
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert {each["name"] for each in answer.json()["errors"]} == {named}
    assert {each["in"] for each in answer.json()["errors"]} == {"query"}


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *(
            ("near", given)
            for given in ("52.52;13.405", "Berlin", "52.52", "52.52,13.405,1", "", "nan,0", "1_0,0", "1e999,0", "٣,0")
        ),
        *(("bbox", given) for given in ("1;2;3;4", "Berlin", "1,2,3", "1,2,3,4,5", "", "1,2,3,inf")),
    ],
)
def test_a_place_that_cannot_be_read_is_shown_one_that_can(served_once: httpx.Client, name: str, given: str) -> None:
    answer = served_once.get("/v1.0/search/rooms", params={name: given})
    example = {
        "near": "must be lat,lon in degrees, as in 52.52,13.405",
        "bbox": "must be lon_min,lat_min,lon_max,lat_max in degrees, as in 13.09,52.34,13.76,52.67",
    }
    assert answer.status_code == 400
    assert answer.json()["errors"] == [{"in": "query", "name": name, "detail": example[name]}]


@pytest.mark.parametrize(
    "asked",
    [
        *("near=52.52,13.405", "near=52.52,%2013.405", "near=+52.52+,+13.405+", "near=%2B52.52,1.3405e1"),
        *("bbox=13,52,14,53", "bbox=13,%2052,%2014,%2053", "bbox=13.,52.0,14,53"),
        *("recurrency=Monthly", "recurrency=DAILY,MONTHLY", "recurrency=weekly&recurrency=mOnThLy"),
    ],
)
def test_blanks_and_case_do_not_matter(served: tuple[httpx.Client, Index], document: Make, asked: str) -> None:
    _put(served, document(), document(recurrency="weekly", coordinates={"lat": -33.9, "lon": 18.4}))
    expected = 2 if "weekly" in asked else 1
    assert served[0].get(f"/v1.0/search/rooms?{asked}").json()["total"]["value"] == expected


@pytest.fixture(scope="module")
def served_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """An API whose answers do not depend on what is indexed."""
    folder = tmp_path_factory.mktemp("search")
    app = bootstrap.http(load(Config, {"DATA_DIR": str(folder)}))
    with running(app) as server, httpx.Client(base_url=server.url) as client:
        yield client
    app.injector.get(Corpora).close()
    app.injector.get(Broker).close()


def test_everything_that_is_wrong_is_named_at_once(served_once: httpx.Client) -> None:
    answer = served_once.get("/v1.0/search/rooms?near=95,100&price_min=2&price_max=1&sort=distance")
    assert {each["name"] for each in answer.json()["errors"]} == {"near", "price_min"}


def test_no_text_is_a_query_language(served: tuple[httpx.Client, Index]) -> None:
    hostile = [
        *(
            "name:foo AND (",
            "*",
            '"',
            "\\",
            "~",
            "a~2",
            "room^5",
            "[1 TO 2]",
            "{}",
            "/regex/",
            "(((((",
            "+-!",
            "&& ||",
            "room OR",
            "NOT",
            "<",
        ),
        *(
            "_exists_:name",
            "price:>5",
            "'; DROP TABLE rooms",
            "\u202e\u200d\ufeff",
            "👩‍👩‍👧‍👦",
            "\t\n\r",
            "%",
            "?",
            "room\u0301" * 20,
        ),
        *(
            "x " * 100,
            "東" * 200,
            "ab" * 100,
            "abc " * 50,
            " ".join(f"w{n}x" for n in range(40)),
            " ".join("abcdefghijklmnopqrstuvwxyz0123456789"),
        ),
        *(" ".join(chr(0x4E00 + n) for n in range(100)), "".join(chr(0x4E00 + n) for n in range(200))),
        " ".join(a + b + c for a in "abcd" for b in "xyz" for c in "klmn")[:200],
    ]
    for q in hostile:
        assert _search(served, q=q, facets="provider,city,recurrency,price")["total"]["value"] == 0, q


def test_every_example_of_the_document_works(served: tuple[httpx.Client, Index], document: Make) -> None:
    _put(served, document(name="Studio in Zürich, Balkonzimmer, balkon Zimmer"))
    document_ = served[0].get("/v1.0/openapi.json").json()
    together: dict[str, str] = {}
    parameters = document_["paths"]["/search/rooms"]["get"]["parameters"]
    # The page for trying out fills them all in: its first search must find rooms.
    assert {each["name"] for each in parameters if "example" in each or "examples" in each} == {"q"}
    assert next(iter(parameters[0]["examples"].values()))["value"] == ""
    for each in parameters:
        examples = [each["example"]] if "example" in each else [example["value"] for example in each.get("examples", {}).values()]
        for example in examples:
            text = ",".join(map(str, example)) if isinstance(example, list) else str(example)
            assert _search(served, **{each["name"]: text})["total"]["value"] == 1, each["name"]
            together[each["name"]] = text
    assert _search(served, **together)["total"]["value"] == 1


def test_health_tells_of_the_index(served: tuple[httpx.Client, Index]) -> None:
    assert served[0].get("/readyz").status_code == 200
    assert served[0].get("/health-check").json()["checks"]["index"]["status"] == "ok"


def test_without_its_index_the_api_answers_503(tmp_path: Any, unused_port: int) -> None:
    config = load(Config, {"INDEX_URL": f"http://127.0.0.1:{unused_port}", "DATA_DIR": str(tmp_path)})
    app = bootstrap.http(config)
    with running(app) as server, httpx.Client(base_url=server.url, timeout=20) as client:
        for path in ("/v1.0/search/rooms", "/v1.0/search/rooms/01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"):
            answer = client.get(path)
            assert answer.status_code == 503
            assert answer.headers["retry-after"]
            assert str(unused_port) not in answer.text
        assert client.get("/health-check").json()["checks"]["index"]["status"] == "down"
        assert client.get("/livez").status_code == 200
        assert client.get("/readyz").status_code == 200
        page = client.get("/metrics").text
        assert sample(page, "http_requests_total", operation="search_rooms", status="503") == 1
        assert not shows(page, "index_lag_seconds")
    app.injector.get(Broker).close()


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


def _waiting(served: tuple[httpx.Client, Index], path: str, *tokens: str, **headers: str) -> httpx.Response:
    return served[0].get(path, headers={"Atrium-Consistency": ", ".join(tokens), **headers})


def test_a_search_waits_for_what_was_written(served: tuple[httpx.Client, Index], document: Make) -> None:
    room, hidden, gone, late = document(), document(is_visible=False), document(), document()
    served[1].apply([room, hidden, Document(id=gone.id, version=2, listing=None)])
    written = [f"rooms/{room.id}@1", f"rooms/{hidden.id}@1", f"rooms/{gone.id}@2"]
    answer = _waiting(served, "/v1.0/search/rooms", *written, Prefer="wait=10")
    assert answer.headers["Preference-Applied"] == "wait=10"
    assert answer.json()["index"]["pending"] == []
    assert [hit["id"] for hit in answer.json()["hits"]] == [room.id]

    not_yet = f"rooms/{late.id}@1"
    assert _waiting(served, "/v1.0/search/rooms", *written, not_yet).json()["index"]["pending"] == [not_yet]
    assert _waiting(served, f"/v1.0/search/rooms/{late.id}", not_yet, Prefer="wait=1").status_code == 404
    served[1].apply([late])
    read = _waiting(served, f"/v1.0/search/rooms/{late.id}", not_yet, Prefer="wait=10")
    assert (read.status_code, read.json()["id"], read.json()["index"]) == (200, late.id, {"pending": []})


def test_a_malformed_token_is_a_400_that_names_the_header(served: tuple[httpx.Client, Index], document: Make) -> None:
    for path in ("/v1.0/search/rooms", f"/v1.0/search/rooms/{document().id}"):
        for token in ("7", f"people/{document().id}@1"):
            answer = _waiting(served, path, token)
            assert answer.status_code == 400
            assert [(error["in"], error["name"]) for error in answer.json()["errors"]] == [("header", "Atrium-Consistency")]


def test_while_the_index_is_away_nobody_waits_for_it(document: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # nobody listens
        environ = {"INDEX_URL": f"http://127.0.0.1:{taken.getsockname()[1]}", "BROKER_URL": "amqp://127.0.0.1:1/"}
        app = bootstrap.http(load(Config, environ))
        with running(app) as server, httpx.Client(base_url=server.url, timeout=20) as client:
            headers = {"Atrium-Consistency": f"rooms/{document().id}@1", "Prefer": "wait=10"}
            answer = client.get("/v1.0/search/rooms", headers=headers)
            assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
            assert answer.elapsed < timedelta(seconds=9), "it waits for nobody"
        app.injector.get(Corpora).close()
        app.injector.get(Broker).close()
