"""Pytest plugin: embedded and real backends, an empty one for each test.

Where the real servers come from is said in `real_servers`. Without one its tests are skipped and the summary says so loudly;
with `CI=true` they fail.
"""

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from common.testing.real_servers import (
    Missing,
    RealServers,
    ServerControl,
    empty_bucket,
    empty_database,
    empty_prefix,
    empty_virtual_host,
    fail_or_skip,
    s3_keys,
)

# Per axis: the embedded backend, then the real one, as they are named in parameters and in the summary.
DATABASES = ("sqlite", "postgresql")
BROKERS = ("embedded", "rabbitmq")
INDICES = ("tantivy", "elasticsearch")
STORES = ("directory", "s3")


@dataclass(frozen=True, slots=True)
class Stack:
    """What one running system is built on."""

    database_url: str
    broker_url: str
    index_url: str
    items_database_url: str = ""  # where there is one


@dataclass(frozen=True, slots=True)
class ImageBackends:
    """Where images and their copies are kept; the keys are the store's, empty for a directory."""

    database_url: str
    store_url: str
    access_key: str = ""
    secret_key: str = ""


@dataclass(slots=True)
class _Run:
    """What this test run has used so far: tests per backend, and the versions of what is no server."""

    servers: RealServers
    tests: Counter[str] = field(default_factory=Counter)
    versions: dict[str, str] = field(default_factory=dict)


_RUN = pytest.StashKey[_Run]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_RUN] = _Run(RealServers(config.rootpath / "tools" / "servers.py"))


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes tells the one that speaks what it has used."""
    run = session.config.stash[_RUN]
    if (output := getattr(session.config, "workeroutput", None)) is not None:
        output["backends"] = [dict(run.tests), run.versions | run.servers.versions, run.servers.started]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: object | None) -> None:
    run = node.config.stash[_RUN]
    tests, versions, started = getattr(node, "workeroutput", {}).get("backends", ({}, {}, []))
    run.tests.update(tests)
    run.versions |= versions
    run.servers.started += started


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    run = config.stash[_RUN]
    skips = [str(report.longrepr) for report in terminalreporter.stats.get("skipped", [])]
    fails = [str(report.longrepr) for report in terminalreporter.stats.get("error", [])]
    axes = []
    anything_missing = False
    for axis in (DATABASES, BROKERS, INDICES, STORES):
        parts = []
        for name in axis:
            missing = sum(f"{name} is missing:" in reason for reason in skips)
            failed = sum(f"{name} is missing:" in reason for reason in fails)
            if run.tests[name]:
                parts.append(
                    f"{name} ✓ {(run.versions | run.servers.versions).get(name, '')} ({run.tests[name]})".replace("  ", " ")
                )
            if missing or failed:
                anything_missing = True
                parts.append(f"{name} – MISSING ({missing + failed} tests {'failed' if failed else 'skipped'})")
        if parts:
            axes.append("  ".join(parts))
    if axes:
        colour = {"yellow": True} if anything_missing else {"green": True}
        terminalreporter.write_line(f"BACKENDS: {' | '.join(axes)}", bold=True, **colour)
    if run.servers.started:
        names = ", ".join(run.servers.started)
        terminalreporter.write_line(f"started for this run and still running: {names} (make servers-stop ends them)")


@pytest.fixture(scope="session")
def postgres_server(request: pytest.FixtureRequest) -> str:
    """A PostgreSQL in which databases may be created: a SQLAlchemy URL with the psycopg driver."""
    return _server(request.config, "postgresql")


@pytest.fixture(scope="session")
def rabbitmq_server(request: pytest.FixtureRequest) -> str:
    """A RabbitMQ in which virtual hosts may be created: an AMQP URL."""
    return _server(request.config, "rabbitmq")


@pytest.fixture(scope="session")
def elasticsearch_server(request: pytest.FixtureRequest) -> str:
    """An Elasticsearch without security: an HTTP URL."""
    return _server(request.config, "elasticsearch")


@pytest.fixture(scope="session")
def s3_server(request: pytest.FixtureRequest) -> str:
    """A server that speaks S3's protocol, in which buckets may be created: its URL, with the keys as user and password."""
    return _server(request.config, "s3")


@pytest.fixture
def server_control(request: pytest.FixtureRequest) -> Iterator[ServerControl]:
    """Stop, kill and start real servers; those still down at the end of the test are started again."""
    control = ServerControl(request.config.stash[_RUN].servers.tool, set())
    yield control
    for name in list(control.stopped):
        control.start(name)


@pytest.fixture
def sqlite_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database file that does not exist yet."""
    _note(request, "sqlite", sqlite3.sqlite_version)
    return f"sqlite:///{tmp_path / 'database.db'}"


@pytest.fixture
def postgres_url(request: pytest.FixtureRequest, postgres_server: str) -> Iterator[str]:
    """An empty database on the real server, dropped after the test."""
    _note(request, "postgresql")
    with empty_database(postgres_server) as url:
        yield url


@pytest.fixture
def second_postgres_url(postgres_server: str) -> Iterator[str]:
    """Another one."""
    with empty_database(postgres_server) as url:
        yield url


@pytest.fixture
def second_sqlite_url(tmp_path: Path) -> str:
    """A second database file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'second.db'}"


@pytest.fixture(params=DATABASES)
def database_url(request: pytest.FixtureRequest) -> str:
    """An empty database, once on SQLite and once on PostgreSQL."""
    return _of(request, {"sqlite": "sqlite_url", "postgresql": "postgres_url"})


@pytest.fixture
def embedded_broker_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A broker file that does not exist yet."""
    _note(request, "embedded")
    return f"sqlite:///{tmp_path / 'broker.db'}"


@pytest.fixture
def rabbitmq_url(request: pytest.FixtureRequest, rabbitmq_server: str) -> Iterator[str]:
    """A virtual host without any queue on the real server, deleted after the test."""
    _note(request, "rabbitmq")
    with empty_virtual_host(request.config.stash[_RUN].servers, rabbitmq_server) as url:
        yield url


@pytest.fixture(params=BROKERS)
def broker_url(request: pytest.FixtureRequest) -> str:
    """A broker without any queue, once embedded and once RabbitMQ."""
    return _of(request, {"embedded": "embedded_broker_url", "rabbitmq": "rabbitmq_url"})


@pytest.fixture
def tantivy_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An index folder that does not exist yet."""
    _note(request, "tantivy", version("tantivy"))
    return f"tantivy:///{tmp_path / 'index'}"


@pytest.fixture
def elasticsearch_url(request: pytest.FixtureRequest, elasticsearch_server: str) -> Iterator[str]:
    """The real server with a prefix for names (`?prefix=t-…-`); indices and templates under it are deleted after the test."""
    _note(request, "elasticsearch")
    with empty_prefix(elasticsearch_server) as url:
        yield url


@pytest.fixture(params=INDICES)
def index_url(request: pytest.FixtureRequest) -> str:
    """A search index with nothing in it, once Tantivy and once Elasticsearch."""
    return _of(request, {"tantivy": "tantivy_url", "elasticsearch": "elasticsearch_url"})


@pytest.fixture
def directory_store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A directory for images that does not exist yet."""
    _note(request, "directory")
    return (tmp_path / "images").as_uri()


@pytest.fixture
def s3_store_url(request: pytest.FixtureRequest, s3_server: str) -> Iterator[str]:
    """An empty bucket on the real server, deleted after the test."""
    _note(request, "s3")
    with empty_bucket(s3_server) as url:
        yield url


@pytest.fixture(params=["embedded", "real"])
def image_backends(request: pytest.FixtureRequest) -> ImageBackends:
    """An empty database and an empty image store: once SQLite and a directory, once PostgreSQL and S3."""
    fixture = request.getfixturevalue
    if request.param == "embedded":
        return ImageBackends(fixture("sqlite_url"), fixture("directory_store_url"))
    return ImageBackends(fixture("postgres_url"), fixture("s3_store_url"), *s3_keys(fixture("s3_server")))


@pytest.fixture(params=["embedded", "real"])
def stack(request: pytest.FixtureRequest) -> Stack:
    """Empty backends for a whole system, once embedded and once on the three real servers."""
    names = {
        "embedded": ("sqlite_url", "embedded_broker_url", "tantivy_url", "second_sqlite_url"),
        "real": ("postgres_url", "rabbitmq_url", "elasticsearch_url", "second_postgres_url"),
    }[request.param]
    return Stack(*(request.getfixturevalue(name) for name in names))


def _of(request: pytest.FixtureRequest, fixtures: dict[str, str]) -> str:
    url: str = request.getfixturevalue(fixtures[request.param])
    return url


def _note(request: pytest.FixtureRequest, backend: str, version: str = "") -> None:
    run = request.config.stash[_RUN]
    run.tests[backend] += 1
    run.versions.setdefault(backend, version)


def _server(config: pytest.Config, name: str) -> str:
    """The URL of a server that answers, or the end of this test."""
    try:
        return config.stash[_RUN].servers.url(name)
    except Missing as reason:
        fail_or_skip(f"{name} is missing: {reason}")
