"""The supervisor behind `make run`, with small services of its own in place of the real ones."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from backing.place import free_port

TOOLS = Path(__file__).resolve().parent.parent

SERVICE = """
import http.server, json, os, signal, sys, threading
name = os.path.basename(os.path.dirname(__file__))
wrong = os.environ.get(f"WRONG_{name.upper()}", "")
if wrong == sys.argv[1]:
    sys.exit(f"{name}: DATABASE_URL must be sqlite or postgresql")
if sys.argv[1] == "migrate":
    sys.exit(0)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(str(os.getpid()).encode())
    def log_message(self, *_):
        pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ[f"{name.upper()}_PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
print(json.dumps({"level": "info", "message": "all is well"}), flush=True)
print(json.dumps({"level": "warning", "message": "the broker is away"}), flush=True)
server.serve_forever()
print(json.dumps({"level": "warning", "message": f"{name} has drained"}), flush=True)
"""


def until(condition: Callable[[], bool], *, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


class Stack:
    """Settings of one stack, and the supervisors started on it."""

    def __init__(self, folder: Path) -> None:
        for name in ("rooms", "search"):
            package = folder / "services" / name
            package.mkdir(parents=True)
            (package / "__init__.py").touch()
            (package / "__main__.py").write_text(SERVICE)
        self.output = folder / "output"
        self.ports = {"rooms": free_port(), "search": free_port()}
        self.environment = os.environ | {
            "PYTHONPATH": str(folder / "services"),
            "DATA_DIR": str(folder / "data"),
            "ROOMS_PORT": str(self.ports["rooms"]),
            "SEARCH_PORT": str(self.ports["search"]),
        }

    @contextmanager
    def running(self) -> Iterator[subprocess.Popen[bytes]]:
        """A supervisor that has said that everything is ready."""
        with self.output.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, str(TOOLS / "run.py")], env=self.environment, stdout=output, stderr=output
            )
        try:
            until(lambda: "Atrium is ready" in self.said() or process.poll() is not None)
            assert process.poll() is None, self.said()
            yield process
        finally:
            process.kill()
            process.wait()

    def refused(self, **settings: str) -> str:
        """What a supervisor says that cannot run."""
        command = [sys.executable, str(TOOLS / "run.py")]
        done = subprocess.run(command, env=self.environment | settings, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 1
        return done.stderr

    def said(self) -> str:
        return self.output.read_text()

    def pid(self, name: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/", timeout=5) as answer:
            return int(answer.read())


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    return Stack(tmp_path)


def test_it_names_the_addresses_shows_warnings_only_and_keeps_whole_logs(stack: Stack, tmp_path: Path) -> None:
    with stack.running():
        until(lambda: stack.said().count("the broker is away") == 2)
        assert f"http://127.0.0.1:{stack.ports['rooms']}/v1.0/ui/" in stack.said()
        assert f"http://127.0.0.1:{stack.ports['search']}/v1.0/search/rooms" in stack.said()
        assert "all is well" not in stack.said()
        assert "all is well" in (tmp_path / "data/logs/rooms.log").read_text()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_services_in_order(stack: Stack, tmp_path: Path, how: signal.Signals) -> None:
    with stack.running() as supervisor:
        pids = [stack.pid("rooms"), stack.pid("search")]
        supervisor.send_signal(how)
        assert supervisor.wait(15) == 0
        assert all(gone(pid) for pid in pids)
        for name in ("rooms", "search"):
            assert f"{name} has drained" in (tmp_path / f"data/logs/{name}.log").read_text()


def test_no_service_outlives_a_killed_supervisor_and_the_next_start_works(stack: Stack) -> None:
    with stack.running() as supervisor:
        pids = [stack.pid("rooms"), stack.pid("search")]
        supervisor.kill()
        until(lambda: all(gone(pid) for pid in pids))
    with stack.running():
        assert stack.pid("rooms") not in pids


def test_when_one_service_dies_it_is_named_and_the_others_stop(stack: Stack) -> None:
    with stack.running() as supervisor:
        rooms = stack.pid("rooms")
        os.kill(stack.pid("search"), signal.SIGKILL)
        assert supervisor.wait(15) == 1
        assert "atrium: search ended (killed by SIGKILL)" in stack.said()
        assert gone(rooms)


def test_a_taken_port_is_named_in_one_line(stack: Stack) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", stack.ports["search"]))
        other.listen()
        said = stack.refused()
    assert (
        said == f"atrium: port {stack.ports['search']} on 127.0.0.1 is taken by another program; SEARCH_PORT can name another\n"
    )


@pytest.mark.parametrize("command", ["migrate", "all"])
def test_a_wrong_setting_is_named_in_one_line(stack: Stack, command: str) -> None:
    said = stack.refused(WRONG_ROOMS=command)
    assert said.count("\n") == 1
    assert "rooms: DATABASE_URL must be sqlite or postgresql" in said


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"ROOMS_PORT": "eight"}, "ROOMS_PORT"),
        ({"SEARCH_PORT": "65536"}, "SEARCH_PORT"),
        ({"ROOMS_PORT": "1", "SEARCH_PORT": "1"}, "SEARCH_PORT and ROOMS_PORT"),
        ({"ROOMS_HOST": "192.0.2.1"}, "ROOMS_HOST"),
        ({"DATA_DIR": "/proc/atrium"}, "DATA_DIR"),
    ],
)
def test_a_setting_that_the_supervisor_itself_reads_is_checked(stack: Stack, settings: dict[str, str], named: str) -> None:
    said = stack.refused(**settings)
    assert said.count("\n") == 1
    assert named in said


def test_logs_that_cannot_be_written_are_named_in_one_line(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "data/logs").mkdir(parents=True)
    (tmp_path / "data/logs/search.log").mkdir()  # cannot be moved out of the way: not even by root
    (tmp_path / "data/logs/search.log.1").write_text("in the way")
    said = stack.refused()
    assert said.count("\n") == 1
    assert "search.log cannot be written" in said


def test_it_says_what_it_does_before_all_is_ready(stack: Stack) -> None:
    with stack.running():
        before, ready, _ = stack.said().partition("Atrium is ready")
    assert ready
    for step in ("migrating the database of rooms …", "starting rooms …", "starting search …", "waiting"):
        assert step in before


def test_two_stacks_never_share_a_data_directory(stack: Stack) -> None:
    with stack.running():
        said = stack.refused(ROOMS_PORT=str(free_port()), SEARCH_PORT=str(free_port()))
    assert "is in use by another `make run`" in said


def test_reset_deletes_what_a_run_has_left_and_nothing_else(stack: Stack, tmp_path: Path) -> None:
    def reset(**settings: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(TOOLS / "reset.py")]
        return subprocess.run(command, env=stack.environment | settings, capture_output=True, text=True, timeout=30, check=False)

    with stack.running():
        assert "stop `make run` first" in reset().stderr
    assert reset(DATA_DIR=str(tmp_path)).returncode == 1
    done = reset()
    assert done.returncode == 0
    assert "logs" in done.stdout
    assert not (tmp_path / "data").exists()
    assert stack.output.exists()


def test_reset_leaves_what_atrium_did_not_make_and_follows_no_link(tmp_path: Path) -> None:
    data, elsewhere = tmp_path / "data", tmp_path / "elsewhere"
    made = ["rooms.db", "rooms.db-wal", "broker.db", f"broker.db-holder-{'a' * 32}", "run.lock", "logs/rooms.log"]
    made += ["broker.db-hold-search.rebuild", "index/live", "index/indexer.lock", "index/writing.lock"]
    made += ["index/items/live", "index/items/items-g3/meta.json"]
    made += ["images/ab/copy.jpg"]
    mine = ["images/mine.jpg", "thesis.txt", "rooms.db.backup", "photos/one.jpg", "logs/mine.log", "index/notes.txt"]
    for name in [*made, *mine, "index/rooms-g2/meta.json"]:
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text(name)
    for name in ("index/rooms-g1/kept", "kept"):
        (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
        (elsewhere / name).write_text(name)
    (data / "index/rooms-g1").symlink_to(elsewhere)
    (data / "broker.db-wal").symlink_to(elsewhere / "kept")
    (tmp_path / "link").symlink_to(data)
    command = [sys.executable, str(TOOLS / "reset.py")]
    environment = os.environ | {"DATA_DIR": str(tmp_path / "link")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    assert [name for name in made if (data / name).exists()] == []
    assert not (data / "index/rooms-g2").exists()
    assert [name for name in mine if not (data / name).exists()] == []
    assert (elsewhere / "index/rooms-g1/kept").exists() and (elsewhere / "kept").exists()
    assert (data / "index/rooms-g1").is_symlink() and (data / "broker.db-wal").is_symlink()
    for left in ("thesis.txt", "rooms.db.backup", "photos", "logs", "index", "images", "broker.db-wal"):
        assert str(data / left) in done.stdout


@pytest.mark.parametrize(("host", "reached"), [("::1", "[::1]"), ("0.0.0.0", "127.0.0.1")])
def test_an_import_goes_where_the_settings_say(stack: Stack, tmp_path: Path, host: str, reached: str) -> None:
    (tmp_path / "services/rooms/__main__.py").write_text("import sys; print(sys.argv[1:])")

    def load(**settings: str) -> subprocess.CompletedProcess[str]:
        command, env = [sys.executable, str(TOOLS / "load.py")], stack.environment | settings
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)

    done = load(FILE="my rooms.ndjson", ROOMS_HOST=host)
    assert done.stdout == f"['import', '--url', 'http://{reached}:{stack.ports['rooms']}', '--', 'my rooms.ndjson']\n"
    assert load().returncode == 2
    assert load(FILE="x", ROOMS_PORT="eight").stderr.count("\n") == 1


def test_a_lineage_is_asked_where_the_settings_say(stack: Stack, tmp_path: Path) -> None:
    (tmp_path / "services/search/__main__.py").write_text("import os, sys; print(sys.argv[1:], os.environ['ROOMS_URL'])")

    def lineage(**settings: str) -> subprocess.CompletedProcess[str]:
        command, env = [sys.executable, str(TOOLS / "lineage.py")], stack.environment | settings
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)

    here = f"http://127.0.0.1:{stack.ports['rooms']}"
    assert lineage(ID="--json").stdout == f"['lineage', '--', '--json'] {here}\n"
    assert lineage(ID="7", ROOMS_URL="http://there").stdout == "['lineage', '--', '7'] http://there\n"
    assert lineage().returncode == 2


def test_the_demo_says_in_one_line_that_nothing_runs(stack: Stack) -> None:
    command = [sys.executable, str(TOOLS / "demo.py")]
    done = subprocess.run(command, env=stack.environment, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "`make run` in another terminal starts it" in done.stderr
