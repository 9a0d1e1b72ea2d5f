"""`make status`: one table over all services, whatever of them runs."""

import os
import subprocess
import sys
from pathlib import Path

from backing.place import free_port

TOOLS = Path(__file__).resolve().parent.parent


def status(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "DATA_DIR": str(folder), "ROOMS_PORT": str(free_port()), "ONCE": "1"} | settings
    command = [sys.executable, str(TOOLS / "status.py")]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=100, check=False)


def test_every_service_has_its_lines_and_what_is_down_is_unknown(tmp_path: Path) -> None:
    done = status(tmp_path)
    assert (done.returncode, done.stderr) == (1, "")  # something is unknown
    lines = [line.split() for line in done.stdout.splitlines()]
    assert ["rooms", "search.rooms", "dead", "letters", "0"] in lines
    assert ["search", "rooms", "index", "rooms", "0"] in lines
    assert ["search", "rooms", "database", "versions", "behind", "unknown"] in lines
    assert "search rooms database: the rooms API at http://127.0.0.1:" in done.stdout


def test_a_wrong_setting_is_one_line(tmp_path: Path) -> None:
    done = status(tmp_path, BROKER_URL="http://nowhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("atrium: rooms: BROKER_URL: must be a URL that starts with")
    assert len(done.stderr.splitlines()) == 1
