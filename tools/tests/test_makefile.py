"""The virtual environment that the Makefile makes."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copy(REPOSITORY / "Makefile", tmp_path)
    return tmp_path


def make(folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")} | settings
    command = ["make", ".venv/.made"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)


def test_a_python_that_is_named_and_does_not_run_is_not_replaced(folder: Path) -> None:
    done = make(folder, PYTHON="/nonexistent")
    assert done.returncode != 0
    assert "none of these runs: /nonexistent\n" in done.stderr
    assert not (folder / ".venv").exists()


def test_an_interrupted_one_is_made_anew_and_a_whole_one_is_kept(folder: Path) -> None:
    python = folder / ".venv/bin/python"
    python.parent.mkdir(parents=True)
    python.symlink_to("/nonexistent")
    (folder / ".venv/left-over").touch()
    done = make(folder, PYTHON=sys.executable)
    assert done.returncode == 0, done.stderr
    assert not (folder / ".venv/left-over").exists()
    assert subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, timeout=60, check=False).returncode == 0
    (folder / ".venv/kept").touch()
    assert make(folder).returncode == 0
    assert (folder / ".venv/kept").exists()
    assert "but .venv was made with" in make(folder, PYTHON="/nonexistent").stderr
