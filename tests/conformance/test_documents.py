"""Each service keeps what its OpenAPI document says: schemathesis with every check and phase, over real HTTP on embedded backends."""

import re
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
import schemathesis
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.core.failures import Failure
from schemathesis.core.transport import Response
from schemathesis.engine import events, from_schema
from schemathesis.transport.serialization import Binary

import items.bootstrap
import items.config
import items.domain
import rooms.bootstrap
import rooms.config
import search.bootstrap
import search.config
from common.config import load
from common.listings.showing import Showing
from common.testing.tokens import TestIssuer
from common.web.pagination import encode_cursor
from common.web.serve import running
from rooms.adapters.places import OfflineAreas
from rooms.domain import Listing, Room
from search.domain import Applied, Document
from search.ports import Corpora

SAMPLES, ITEM_SAMPLES = (Path(__file__).parents[2] / "samples" / f"{kind}.ndjson" for kind in ("rooms", "items"))
NOW = datetime(2026, 1, 2, tzinfo=UTC)
#: Examples per operation and phase: what the time allows, as many bugs show within a few.
EXAMPLES = 10

#: Formats of our own, of which a generator knows nothing; some as long as they may be, or it would look for those for minutes.
HOSTS = st.from_regex(r"[a-z][a-z0-9]{0,20}(\.[a-z]{2,5})?", fullmatch=True)
PATHS = st.text(st.characters(categories=["L", "N"]), max_size=40)
TOKEN = f"rooms/{uuid.UUID(int=7)}@1"
FORMATS: dict[str, st.SearchStrategy[str]] = {
    "web-address": st.builds("{}://{}/{}".format, st.sampled_from(["http", "https", "HTTPS"]), HOSTS, PATHS)
    | st.sampled_from([2047, 2048]).map(lambda length: "https://rooms.example/".ljust(length, "x")),
    "entity-tags": st.lists(st.integers(1, 3).map('"{}"'.format), min_size=1, max_size=3).map(", ".join)
    | st.sampled_from(["*", '"' + 997 * "x" + '"', '"' + 998 * "x" + '"']),
    "consistency": st.builds("rooms/{}@{}".format, st.uuids(), st.integers(1, 10**18 - 1))
    | st.sampled_from([1999, 2000]).map(lambda length: (TOKEN + ",").ljust(length - len(TOKEN)) + TOKEN),
    "lat-lon": st.builds("{},{}".format, st.integers(-90, 90), st.integers(-180, 180)),
    "bounding-box": st.builds(
        "{},{},{},{}".format, st.integers(-180, 180), st.integers(-90, 0), st.integers(-180, 180), st.integers(0, 90)
    ),
    "cursor": st.uuids().map(lambda last: encode_cursor((str(last),))) | st.sampled_from(["A", "AA", 511 * "A", 512 * "A"]),
}

#: What OpenAPI cannot say, so that a request which is valid by the document may still be refused, by operation's path: field → why.
#: A 400 for anything else, or without naming its field, is a failure.
BEYOND_THE_DOCUMENT = {
    "/rooms": {
        r"name|description|provider|area\.(id|name|city|country)": r"must hold some text|is longer than",  # once it is plain
        r"url|images\[\d+\]\.url": r"must start with|is not a URL|must not hold a user name",
        r"currency": r"is not an ISO 4217 code",
        r"cursor": r"is not a cursor this list has given out",
    },
    "/rooms/{id}": {
        r"name|description|provider|area\.(id|name|city|country)": r"must hold some text|is longer than",
        r"url|images\[\d+\]\.url": r"must start with|is not a URL|must not hold a user name",
        r"currency": r"is not an ISO 4217 code",
        r"If-Match": r"must be a list of entity tags",
        # A patch may be valid where its outcome is not.
        r"coordinates\.(lat|lon)|area\.(name|city|country)|area\.coordinates\.(lat|lon)": r"is missing",
    },
    "/items": {
        r"name|description|category|provider": r"must hold some text|is longer than",  # once it is plain
        r"url|images\[\d+\]\.url": r"must start with|is not a URL|must not hold a user name",
        r"currency": r"is not an ISO 4217 code",
        r"cursor": r"is not a cursor this list has given out",
    },
    "/items/{id}": {
        r"name|description|category|provider": r"must hold some text|is longer than",
        r"url|images\[\d+\]\.url": r"must start with|is not a URL|must not hold a user name",
        r"currency": r"is not an ISO 4217 code",
        r"If-Match": r"must be a list of entity tags",
    },
    "/search/rooms": {
        r"(price|monthly_price|property_size)_min": r"must not be greater than",
        r"radius|sort": r"(distance )?needs near",
        r"near|bbox": r"must be l(at|on_min),|there is no latitude|there is no longitude|southern edge",
        r"cursor": r"is not a cursor|was given out for another search",
        r"Atrium-Consistency": r"must be a list of",
    },
    "/search/rooms/{room_id}": {r"Atrium-Consistency": r"must be a list of"},
    "/search/items": {
        r"price_min": r"must not be greater than",
        r"radius|sort": r"(distance )?needs near",
        r"near|bbox": r"must be l(at|on_min),|there is no latitude|there is no longitude|southern edge",
        r"cursor": r"is not a cursor|was given out for another search",
        r"Atrium-Consistency": r"must be a list of",
    },
    "/search/items/{item_id}": {r"Atrium-Consistency": r"must be a list of"},
}

#: Operation → check → why it does not apply.
EXCLUDED = {
    f"POST /{kind}/import": {"negative_data_rejection": "any bytes are lines; each is judged by itself, with 200 for the whole"}
    for kind in ("rooms", "items")
}


@pytest.fixture(scope="module", autouse=True)
def _formats() -> None:
    for name, strategy in FORMATS.items():
        schemathesis.openapi.format(name, strategy)

    @schemathesis.serializer("application/x-ndjson")
    def lines(_: Any, value: Any) -> bytes:
        if isinstance(value, Binary):
            return value.data
        return value.encode() if isinstance(value, str) else orjson.dumps(value, default=str)


@contextmanager
def rooms_api(directory: Path, **settings: str) -> Iterator[str]:
    config = load(rooms.config.Config, {"DATA_DIR": str(directory)} | settings)
    rooms.bootstrap.SERVICE.migrate(config)
    with running(rooms.bootstrap.SERVICE.http(config)) as server:
        yield server.url


@contextmanager
def items_api(directory: Path, **settings: str) -> Iterator[str]:
    """Beside a rooms service that it can ask."""
    with rooms_api(directory) as rooms_url:
        config = load(items.config.Config, {"DATA_DIR": str(directory), "ROOMS_URL": rooms_url} | settings)
        items.bootstrap.SERVICE.migrate(config)
        with running(items.bootstrap.SERVICE.http(config)) as server:
            yield server.url


@contextmanager
def search_api(directory: Path) -> Iterator[str]:
    """With the samples in its indices, some of the items in rooms."""
    app = search.bootstrap.http(load(search.config.Config, {"DATA_DIR": str(directory)}))
    corpora = app.injector.get(Corpora)
    corpora["rooms"].index.ensure(writing=True)
    corpora["items"].index.ensure(writing=True)
    housing = [indexed(orjson.loads(line)) for line in SAMPLES.read_bytes().splitlines()]
    assert set(corpora["rooms"].index.apply(housing)) == {Applied()}
    listings = [orjson.loads(line) for line in ITEM_SAMPLES.read_bytes().splitlines()]
    things = [
        indexed_item(each, room) for each, room in zip(listings, [None, *housing[1:40]] + len(listings) * [None], strict=False)
    ]
    assert set(corpora["items"].index.apply(things)) == {Applied()}
    with running(app) as server:
        yield server.url
    corpora.close()


def indexed(listing: dict[str, Any]) -> Document:
    given = Listing.parse(listing)
    located = OfflineAreas().locate(given.coordinates)
    id = str(uuid.uuid5(uuid.NAMESPACE_URL, given.url))
    room = Room(id=id, version=1, given=given, located=located, created_at=NOW, updated_at=NOW)
    shown = orjson.loads(orjson.dumps(Showing("http://images.example")(room), option=orjson.OPT_UTC_Z))
    return Document(id=room.id, version=1, listing=shown, trace_id="", request_id="", indexed_at="2026-01-02T00:00:00Z")


def indexed_item(listing: dict[str, Any], room: Document | None) -> Document:
    given = items.domain.Listing.parse(listing)
    place = None if room is None else items.domain.Place.of(room.listing or {})
    id = str(uuid.uuid5(uuid.NAMESPACE_URL, str(given.url)))
    item = items.domain.Item(id=id, version=1, given=given, located=place, created_at=NOW, updated_at=NOW)
    shown = orjson.loads(orjson.dumps(Showing("http://images.example")(item), option=orjson.OPT_UTC_Z))
    shown["room_id"] = None if room is None else room.id
    return Document(id=id, version=1, listing=shown, trace_id="", request_id="", indexed_at="2026-01-02T00:00:00Z")


def test_each_example_of_a_search_finds_samples(tmp_path: Path) -> None:
    with search_api(tmp_path) as url, httpx.Client(base_url=f"{url}/v1.0") as client:
        parameters = client.get("/openapi.json").json()["paths"]["/search/rooms"]["get"]["parameters"]
        examples = [(each["name"], example["value"]) for each in parameters for example in each.get("examples", {}).values()]
        assert examples
        for name, value in examples:
            assert client.get("/search/rooms", params={name: value}).json()["total"]["value"] > 0, value


@pytest.mark.slow
@pytest.mark.parametrize("serve", [rooms_api, items_api, search_api], ids=["rooms", "items", "search"])
def test_a_service_keeps_what_its_document_says(serve: Callable[[Path], Any], tmp_path: Path) -> None:
    with serve(tmp_path) as url:
        answers = examined(url)
    # Not only refusals were seen; of search, nobody guesses an id.
    guessable = {name for name in answers if not name.endswith(("/{room_id}", "/{item_id}"))}
    assert guessable <= {name for name, statuses in answers.items() if any(200 <= status < 300 for status in statuses)}


@pytest.mark.slow
@pytest.mark.parametrize("serve", [rooms_api, items_api], ids=["rooms", "items"])
@pytest.mark.parametrize("sent", ["a token", "no token"])
def test_a_service_behind_an_issuer_keeps_what_its_document_says(serve: Callable[..., Any], sent: str, tmp_path: Path) -> None:
    issuer = TestIssuer()
    token = issuer.token("ann", "rooms:write items:write admin")
    headers = {"Authorization": f"Bearer {token}"} if sent == "a token" else {}
    with serve(tmp_path, **issuer.environment(tmp_path / "jwks.json")) as url:
        answers = examined(url, headers, examples=3)
    done = {name for name, statuses in answers.items() if any(200 <= status < 300 for status in statuses)}
    if headers:
        assert done == set(answers)
    else:
        assert {name for name in answers if not name.startswith("GET") or name.endswith("/export")}.isdisjoint(done)
        assert all(401 in answers[name] for name in answers.keys() - done if "{id}" not in name or not name.startswith("GET"))


def examined(url: str, headers: dict[str, str] | None = None, examples: int = EXAMPLES) -> dict[str, set[int]]:
    """Asserts that the document at `url` is kept; answers the statuses that were seen by operation."""
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "headers": headers or {},
            # U+0000 is refused everywhere, which OpenAPI has no word for.
            "generation": {"allow-x00": False, "max-examples": examples, "deterministic": True, "database": "none"},
            "operations": [
                {"include-name": name, "checks": {check: {"enabled": False} for check in checks}}
                for name, checks in EXCLUDED.items()
            ],
        }
    )
    failures: dict[str, str] = {}
    answers: dict[str, set[int]] = {}
    phases: set[str] = set()
    schema = schemathesis.openapi.from_url(f"{url}/v1.0/openapi.json", config=config)
    schema.hook(filter_failure)
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            phases.add(event.phase.value)
            note(event, failures, answers)
        elif isinstance(event, events.NonFatalError | events.FatalError):
            failures[f"error {len(failures)}"] = str(getattr(event, "info", None) or getattr(event, "exception", event))
    assert not failures, "\n\n".join(f"{name}\n{text}" for name, text in failures.items())
    assert phases >= {"examples", "coverage", "fuzzing"}
    return answers


def note(event: events.ScenarioFinished, failures: dict[str, str], answers: dict[str, set[int]]) -> None:
    recorder = event.recorder
    for id, interaction in recorder.interactions.items():
        operation = recorder.cases[id].value.operation
        if interaction.response is not None and interaction.request.method == operation.method.upper():  # not OPTIONS instead
            answers.setdefault(operation.label, set()).add(interaction.response.status_code)
    for checks in recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                name = f"{recorder.label}, {event.phase.value}, {check.name}: {failure.title}"
                sample = " ".join(check.failure_info.code_sample.split())  # a value may be padded to its maximum
                failures.setdefault(name, f"{failure.message[:1500]}\n{sample[:1500]}")


def filter_failure(_context: Any, failure: Failure, case: schemathesis.Case, response: Response) -> bool:
    """Keeps each failure but refusals of what only the document takes for valid, and unmet conditions, which are as they should be.

    More values than a list may hold may be more than a request's head may hold.
    """
    if type(failure).__name__ == "AcceptedNegativeData":
        return response.status_code != 431
    if type(failure).__name__ != "RejectedPositiveData" or response.status_code not in (400, 412, 422):
        return True
    if response.status_code == 422:  # a key that came with another body before, or a room that does not exist
        return {error["name"] for error in response.json()["errors"]} not in ({"Idempotency-Key"}, {"room_id"})
    if response.status_code == 412:
        return "If-Match" not in (case.headers or {})
    if None in (case.path_parameters or {}).values():
        return False  # followed from an item that stands in no room
    allowed = BEYOND_THE_DOCUMENT.get(case.operation.path, {})
    errors = response.json().get("errors", [])
    return not errors or not all(
        any(re.fullmatch(name, error["name"]) and re.match(why, error["detail"]) for name, why in allowed.items())
        for error in errors
    )
