"""The life of one process, from its start to its end."""

import subprocess
import sys
from pathlib import Path

import pytest

from common.db.engine import open_engine
from common.errors import WrongSetting

STARTING = """
import os, signal, sys, threading
from common.process import end_when_told
end_when_told()
threading.Thread(target=threading.Event().wait).start()
os.kill(os.getpid(), getattr(signal, sys.argv[1]))
raise SystemExit("it went on")
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_process_that_is_still_starting_ends_quietly(name):
    done = subprocess.run([sys.executable, "-c", STARTING, name], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_database_without_a_folder_names_its_settings(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(WrongSetting, match=r"DATABASE_URL or DATA_DIR: .* cannot be made: (Not a directory|File exists)"):
        open_engine(f"sqlite:///{tmp_path}/file/rooms.db")
