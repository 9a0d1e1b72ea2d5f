"""The fixtures of the suites. A service's `conftest.py` has one of its own, `tested`, of scope session, which says what is tested."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from common.testing.listings.api import Api, Serve, serving
from common.testing.listings.command_line import Run, running_here
from common.testing.listings.repository import Database, Opened, Shelf, in_memory, opening
from common.testing.listings.tested import Make, MakeListing, Tested
from common.testing.real_servers import empty_database

_DATABASES = {"sqlite": "sqlite_url", "postgresql": "postgres_url"}


@pytest.fixture(scope="session")
def listing_numbers() -> Iterator[int]:
    return itertools.count(1)


@pytest.fixture
def listing(tested: Tested, listing_numbers: Iterator[int]) -> Make:
    """Makes bodies as clients send them, each with a url of its own; what is given replaces what is usual."""

    def make(**changes: Any) -> dict[str, Any]:
        url = f"https://{tested.kind.plural}.example/{next(listing_numbers)}"
        return {**tested.required, "url": url} | changes

    return make


@pytest.fixture
def a_listing(tested: Tested) -> MakeListing:
    """Makes listings, each with an id and a url of its own; what is given replaces what is usual."""
    return tested.listing


@pytest.fixture
def serve(tested: Tested) -> Iterator[Serve]:
    """`serve(database_url, *modules, **settings)`: an API until the end of the test."""
    with ExitStack() as stack:
        yield serving(tested, stack)


@pytest.fixture(scope="session")
def shared_api(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Callable[[Tested, str], Api]]:
    """`shared_api(tested, "sqlite" | "postgresql")`: one for all tests of a service."""
    apis: dict[tuple[str, str], Api] = {}
    with ExitStack() as stack:

        def api(tested: Tested, database: str) -> Api:
            key = tested.service.name, database
            if key not in apis:
                if database == "sqlite":
                    url = f"sqlite:///{tmp_path_factory.mktemp('shared')}/{tested.service.name}.db"
                else:
                    url = stack.enter_context(empty_database(request.getfixturevalue("postgres_server")))
                apis[key] = serving(tested, stack)(url)
            return apis[key].from_now_on()

        yield api


@pytest.fixture(params=["sqlite", "postgresql"])
def api(request: pytest.FixtureRequest, tested: Tested, shared_api: Callable[[Tested, str], Api]) -> Api:
    """An API that other tests use too, once on SQLite and once on PostgreSQL."""
    return shared_api(tested, request.param)


@pytest.fixture
def shared(tested: Tested, shared_api: Callable[[Tested, str], Api]) -> Api:
    """An API on SQLite that other tests use too, for what is decided before any database."""
    return shared_api(tested, "sqlite")


@pytest.fixture
def postgresql_api(tested: Tested, shared_api: Callable[[Tested, str], Api]) -> Api:
    """The one on PostgreSQL."""
    return shared_api(tested, "postgresql")


@pytest.fixture(params=list(_DATABASES))
def own(request: pytest.FixtureRequest, serve: Serve) -> Api:
    """An API on a database that no other test writes into."""
    return serve(request.getfixturevalue(_DATABASES[request.param]))


@pytest.fixture
def opened(tested: Tested) -> Iterator[Opened]:
    """`opened(url, outbox_max=…, migrated=…)`: the listings of a database."""
    with ExitStack() as stack:
        yield opening(tested, stack)


@pytest.fixture
def database(opened: Opened, database_url: str) -> Database:
    return opened(database_url)


@pytest.fixture(params=["memory", *_DATABASES])
def shelf(request: pytest.FixtureRequest, tested: Tested, opened: Opened) -> Shelf:
    """Each adapter of the port, empty."""
    if request.param == "memory":
        return in_memory(tested)
    database = opened(request.getfixturevalue(_DATABASES[request.param]))
    return Shelf(tested, database.listings, database.events)


@pytest.fixture
def run(tested: Tested, capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run(*arguments, stdin=…, DATABASE_URL=…)` within this process: (exit status, standard output, what it said)."""
    return running_here(tested, capfdbinary, monkeypatch)


@pytest.fixture(params=list(_DATABASES))
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of another database, which is empty."""
    url: str = f"sqlite:///{tmp_path}/elsewhere.db" if request.param == "sqlite" else request.getfixturevalue("postgres_url")
    return url
