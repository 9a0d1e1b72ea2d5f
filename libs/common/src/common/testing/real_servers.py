"""Finds the real servers that tests run on, and takes them away for tests of what happens then.

A real server is the one that `TEST_POSTGRES_URL`, `TEST_RABBITMQ_URL` (with its management API at `TEST_RABBITMQ_MANAGEMENT_URL`),
`TEST_ELASTICSEARCH_URL` or `TEST_S3_URL` (`http://access:secret@host:port`) names, else the one that `tools/servers.py` runs, else
one that it starts from what is installed (`ATRIUM_SERVERS=off` forbids that).
"""

import os
import shlex
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import boto3
import httpx
import psycopg
import pytest
from botocore.exceptions import BotoCoreError, ClientError
from psycopg import sql
from sqlalchemy.engine import make_url

_VARIABLES = {
    "postgresql": "TEST_POSTGRES_URL",
    "rabbitmq": "TEST_RABBITMQ_URL",
    "elasticsearch": "TEST_ELASTICSEARCH_URL",
    "s3": "TEST_S3_URL",
}
_MANAGEMENT = "TEST_RABBITMQ_MANAGEMENT_URL"


class Missing(Exception):
    """There is no such server here; says why."""


def fail_or_skip(reason: str) -> NoReturn:
    """End the running test: where everything must be there (`CI=true`) as a failure."""
    if os.environ.get("CI", "").lower() in ("true", "1"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def administer(url: str) -> psycopg.Connection:
    """A connection outside of transactions, to create and drop databases; `url` is SQLAlchemy's."""
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    return psycopg.connect(plain, autocommit=True, connect_timeout=10)


@dataclass(slots=True)
class RealServers:
    """The servers found so far in this test run. `tool` is `tools/servers.py`, which need not exist."""

    tool: Path
    versions: dict[str, str] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    management_url: str = ""

    def url(self, name: str) -> str:
        """Where `name` answers: raises `Missing`, and fails the test when a server is there but does not do its work."""
        found = self._locate(name)
        url = found[_VARIABLES[name]]
        self.management_url = found.get(_MANAGEMENT, self.management_url)
        try:
            self.versions[name] = self._version(name, url)
        except (psycopg.Error, httpx.HTTPError, BotoCoreError, ClientError) as error:
            pytest.fail(f"{name} at {url} does not answer as it should: {error}", pytrace=False)
        return url

    def management(self, amqp: httpx.URL) -> httpx.Client:
        """RabbitMQ's management API. Unless said otherwise it is ten thousand ports above AMQP, RabbitMQ's default."""
        url = self.management_url or f"http://{amqp.host}:{(amqp.port or 5672) + 10_000}"
        return httpx.Client(base_url=url, auth=(amqp.username, amqp.password), timeout=60)

    def _locate(self, name: str) -> dict[str, str]:
        if _VARIABLES[name] in os.environ:
            return {variable: os.environ[variable] for variable in (_VARIABLES[name], _MANAGEMENT) if variable in os.environ}
        if not self.tool.exists():
            raise Missing(f"{_VARIABLES[name]} is not set")
        if found := _exports(self.tool, name):
            return found
        if os.environ.get("ATRIUM_SERVERS") == "off":
            raise Missing(f"{_VARIABLES[name]} is not set, and ATRIUM_SERVERS=off")
        outcome = _call(self.tool, "start", "--offline", name)
        if outcome.returncode != 0:
            reason = outcome.stderr.strip().splitlines()[-1:] or [f"exit {outcome.returncode}"]
            raise Missing(reason[0].removeprefix("servers: ").removeprefix(f"{name}: "))
        self.started.append(name)
        return _exports(self.tool, name)

    def _version(self, name: str, url: str) -> str:
        if name == "postgresql":
            with administer(url) as connection:
                row = connection.execute("SHOW server_version").fetchone()
            return str(row[0]).split()[0] if row else ""
        if name == "rabbitmq":
            with self.management(httpx.URL(url)) as api:
                return str(api.get("/api/overview").raise_for_status().json()["rabbitmq_version"])
        if name == "s3":
            _s3(url).list_buckets()
            return ""
        return str(httpx.get(url, timeout=30).raise_for_status().json()["version"]["number"])


@contextmanager
def empty_database(server: str) -> Iterator[str]:
    """A new database on this PostgreSQL, dropped with the block."""
    url, name = make_url(server), _unique()
    with administer(server) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
    yield url.set(database=name).render_as_string(hide_password=False)
    with administer(server) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@contextmanager
def empty_virtual_host(servers: RealServers, server: str) -> Iterator[str]:
    """A virtual host without any queue on this RabbitMQ, deleted with the block."""
    name, url = _unique(), httpx.URL(server)
    with servers.management(url) as api:
        api.put(f"/api/vhosts/{name}").raise_for_status()
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        api.put(f"/api/permissions/{name}/{url.username}", json=rights).raise_for_status()
    yield str(url.copy_with(path=f"/{name}"))
    with servers.management(url) as api:
        api.delete(f"/api/vhosts/{name}").raise_for_status()


@contextmanager
def empty_prefix(server: str) -> Iterator[str]:
    """This Elasticsearch with a prefix for names (`?prefix=t-…-`); indices and templates under it are deleted with the block."""
    prefix = f"{_unique()}-"
    yield str(httpx.URL(server).copy_with(path="/", params={"prefix": prefix}))
    with httpx.Client(base_url=server, timeout=60) as api:
        indices = api.get(f"/{prefix}*", params={"expand_wildcards": "all", "features": "aliases"}).raise_for_status().json()
        for name in indices:
            api.delete(f"/{name}").raise_for_status()
        for kind in ("_index_template", "_component_template"):
            found = api.get(f"/{kind}/{prefix}*")
            for template in found.json().get(f"{kind[1:]}s", []) if found.is_success else []:
                api.delete(f"/{kind}/{template['name']}").raise_for_status()


@contextmanager
def empty_bucket(server: str) -> Iterator[str]:
    """A new bucket on this server of S3, as IMAGES_STORE names it (the keys are the server's); deleted with the block."""
    client, name = _s3(server), _unique()
    client.create_bucket(Bucket=name)
    yield f"s3://{name}/pictures?endpoint={_endpoint(server)}"
    for each in client.list_objects_v2(Bucket=name).get("Contents", []):
        client.delete_object(Bucket=name, Key=each["Key"])
    client.delete_bucket(Bucket=name)


def s3_keys(server: str) -> tuple[str, str]:
    """Access key and secret key."""
    url = httpx.URL(server)
    return url.username, url.password


def _s3(server: str) -> Any:
    access, secret = s3_keys(server)
    return boto3.session.Session().client(
        "s3", endpoint_url=_endpoint(server), region_name="us-east-1", aws_access_key_id=access, aws_secret_access_key=secret
    )


def _endpoint(server: str) -> str:
    url = httpx.URL(server)
    return f"{url.scheme}://{url.host}:{url.port or 80}"


def _unique() -> str:
    return f"t-{uuid.uuid4().hex[:16]}"


@dataclass(frozen=True, slots=True)
class ServerControl:
    """Takes a real server away while a test runs, and gives it back; data is kept.

    Only for the servers that `tools/servers.py` runs; with any other the test is skipped (with `CI=true`, it fails).
    """

    tool: Path
    stopped: set[str]

    def stop(self, name: str) -> None:
        """End it in order, as an operator would."""
        self._end(name, "stop")

    def kill(self, name: str) -> None:
        """SIGKILL all of its processes at once."""
        self._end(name, "kill")

    def start(self, name: str) -> None:
        """Start it again under the same URL; it is ready when this returns."""
        _call(self.tool, "start", "--offline", name).check_returncode()
        self.stopped.discard(name)

    def _end(self, name: str, how: str) -> None:
        ours = _exports(self.tool, name).get(_VARIABLES[name])
        if ours is None or os.environ.get(_VARIABLES[name], ours) != ours:
            fail_or_skip(f"{name} is missing: only one that tools/servers.py runs can be stopped")
        self.stopped.add(name)
        _call(self.tool, how, name).check_returncode()


def _exports(tool: Path, name: str) -> dict[str, str]:
    """What `env` prints for a server that runs; empty for one that does not."""
    outcome = _call(tool, "env", name)
    outcome.check_returncode()
    return dict(shlex.split(line)[1].split("=", 1) for line in outcome.stdout.splitlines())


def _call(tool: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(tool), *arguments]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=170, check=False)
