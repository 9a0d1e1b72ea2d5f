"""Private servers for tests: where they live, how one survives a kill, what happens without one."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from backing.place import Place, find
from common.images.connect import open_store
from common.testing.real_servers import empty_bucket, fail_or_skip, s3_keys

TOOL = Path(__file__).resolve().parent.parent / "servers.py"


def test_a_port_is_remembered_until_somebody_else_takes_it(tmp_path: Path) -> None:
    place = Place(tmp_path)
    port = place.port("amqp", in_use=False)
    assert place.port("amqp", in_use=False) == port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert place.port("amqp", in_use=True) == port
        assert place.port("amqp", in_use=False) != port


def test_no_two_purposes_get_one_port(tmp_path: Path) -> None:
    place = Place(tmp_path)
    assert len({place.port(f"purpose-{number}", in_use=False) for number in range(50)}) == 50


def test_servers_dir_names_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SERVERS_DIR", str(tmp_path / "here"))
    assert find(TOOL.parent.parent).root == tmp_path / "here"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs servers under other accounts")
def test_a_repository_that_other_accounts_cannot_reach_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SERVERS_DIR", raising=False)
    closed = tmp_path / "closed" / "repository"
    closed.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    assert not find(closed).root.is_relative_to(closed)


def call(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(TOOL), *arguments]
    return subprocess.run(
        command, env=os.environ | {"SERVERS_DIR": str(folder)}, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that a server's own account can pass through: pytest's are closed to others."""
    path = Path(tempfile.mkdtemp(prefix="atrium-servers-", dir="/var/tmp"))
    path.chmod(0o755)
    yield path
    call(path, "stop")
    shutil.rmtree(path)


def test_postgresql_keeps_address_and_committed_rows_over_a_kill(folder: Path) -> None:
    started = call(folder, "start", "--offline", "postgresql")
    if started.returncode != 0:
        fail_or_skip(f"postgresql is missing: {started.stderr.strip()}")
    exported = call(folder, "env").stdout
    url = dict(shlex.split(line)[1].split("=", 1) for line in exported.splitlines())["TEST_POSTGRES_URL"].replace("+psycopg", "")
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept (number int)")
        connection.execute("INSERT INTO kept VALUES (7)")
    assert "killed" in call(folder, "kill", "postgresql").stderr
    assert call(folder, "env").stdout == ""
    assert call(folder, "start", "--offline", "postgresql").returncode == 0
    assert call(folder, "env").stdout == exported
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT number FROM kept").fetchall() == [(7,)]
    assert "already runs" in call(folder, "start", "--offline", "postgresql").stderr
    assert "stopped" in call(folder, "stop").stderr


def test_s3_keeps_address_and_objects_over_a_kill(folder: Path) -> None:
    started = call(folder, "start", "--offline", "s3")
    if started.returncode != 0:
        fail_or_skip(f"s3 is missing: {started.stderr.strip()}")
    exported = call(folder, "env").stdout
    url = dict(shlex.split(line)[1].split("=", 1) for line in exported.splitlines())["TEST_S3_URL"]
    with empty_bucket(url) as bucket:
        store = open_store(bucket, *s3_keys(url))
        store.put("kept.jpg", b"kept")
        assert "killed" in call(folder, "kill", "s3").stderr
        assert call(folder, "start", "--offline", "s3").returncode == 0
        assert call(folder, "env").stdout == exported
        assert store.get("kept.jpg") == b"kept"


def test_an_unknown_server_is_named(tmp_path: Path) -> None:
    done = call(tmp_path, "start", "mysql")
    assert done.returncode == 2
    assert "no such server: mysql" in done.stderr


TEST_FILE = """
def test_database(database_url):
    assert database_url
"""


@pytest.mark.parametrize(("ci", "code", "outcome"), [("", 0, "1 tests skipped"), ("true", 1, "1 tests failed")])
def test_a_missing_server_is_said_loudly_and_fails_in_ci(tmp_path: Path, ci: str, code: int, outcome: str) -> None:
    (tmp_path / "test_database.py").write_text(TEST_FILE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("TEST_", "PYTEST_"))}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "common.testing.servers", "--rootdir", str(tmp_path), str(tmp_path)]
    done = subprocess.run(
        command, env=environment | {"CI": ci}, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == code
    assert "BACKENDS: sqlite ✓" in done.stdout
    assert f"postgresql – MISSING ({outcome})" in done.stdout


def test_a_server_that_is_named_but_does_not_answer_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "test_database.py").write_text(TEST_FILE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "common.testing.servers", "--rootdir", str(tmp_path), str(tmp_path)]
    environment = os.environ | {"CI": "", "TEST_POSTGRES_URL": "postgresql+psycopg://postgres@127.0.0.1:1/postgres"}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "does not answer as it should" in done.stdout
