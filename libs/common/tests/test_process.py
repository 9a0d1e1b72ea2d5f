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

TOLD_IN_THE_MIDST_OF_A_LOG_LINE = """
import logging, signal, sys
from common.observability import configure_logging
from common.process import run

class Stream:
    writing = told = False
    def write(self, text):
        if self.writing:
            raise RuntimeError("reentrant call")  # as the real one does
        self.writing = True
        if not self.told:
            self.told = True
            signal.raise_signal(signal.SIGTERM)
        sys.__stderr__.write(text)
        self.writing = False
    def flush(self):
        pass

class Server:
    stopped = False
    def run(self):
        logging.getLogger("a request").info("is served")
        while not self.stopped:
            pass
    def stop(self):
        self.stopped = True

sys.stderr = Stream()
configure_logging("test", stream=sys.stderr)
run({"worker": lambda stop: stop.wait()}, Server())
"""


def test_a_process_that_is_told_to_end_while_it_logs_ends():
    command = [sys.executable, "-c", TOLD_IN_THE_MIDST_OF_A_LOG_LINE]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr


def test_a_process_without_a_server_ends_when_it_is_told():
    code = "import os, signal; from common.process import run; run({'w': lambda stop: os.kill(os.getpid(), signal.SIGTERM) or stop.wait()})"
    assert subprocess.run([sys.executable, "-c", code], timeout=30, check=False).returncode == 0


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_a_process_that_is_still_starting_ends_quietly(name):
    done = subprocess.run([sys.executable, "-c", STARTING, name], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_database_without_a_folder_names_its_settings(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(WrongSetting, match=r"DATABASE_URL or DATA_DIR: .* cannot be made: (Not a directory|File exists)"):
        open_engine(f"sqlite:///{tmp_path}/file/rooms.db")
