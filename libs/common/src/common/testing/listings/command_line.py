"""The command line of a service of listings, run within this process or in one of its own."""

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from common.testing.listings.tested import Tested
from common.testing.system import free_port
from common.testing.waiting import eventually

#: `run(*arguments, stdin=…, DATABASE_URL=…)`: (exit status, standard output, what it said).
Run = Callable[..., tuple[int, bytes, str]]


def running_here(tested: Tested, capture: pytest.CaptureFixture[bytes], patch: pytest.MonkeyPatch) -> Run:
    """Runs commands within this process: starting Python takes longer than all else."""

    def run(*arguments: object, stdin: bytes = b"", **settings: str) -> tuple[int, bytes, str]:
        for name, value in settings.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin))))
        status = tested.main([*map(str, arguments)])
        out, err = capture.readouterr()
        return status, out, err.decode()

    return run


def started(tested: Tested, *arguments: str, **settings: str) -> "subprocess.Popen[str]":
    """`python -m rooms …`, spoken to through pipes."""
    environ = {"PATH": os.environ["PATH"], "LOG_LEVEL": "WARNING"} | settings
    command = [sys.executable, "-m", tested.service.name, *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


@contextmanager
def a_process_of_its_own(
    tested: Tested, directory: Path, expected: int | None = 0
) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """The API on SQLite in this folder: its address and the process, which ends with this status; None where the test ends it."""
    port = free_port()
    environ = {"PATH": os.environ["PATH"], "DATA_DIR": str(directory), "LOG_LEVEL": "WARNING", **tested.port(port)}
    command = [sys.executable, "-m", tested.service.name]
    subprocess.run([*command, "migrate"], env=environ, check=True, stdout=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([*command, "api"], env=environ) as process:
        try:
            eventually(lambda: answers(url), seconds=30)
            yield url, process
            if expected is not None:
                process.send_signal(signal.SIGTERM)
                assert process.wait(15) == expected
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.TransportError:
        return False


def peak_memory(pid: int) -> int:
    """kB."""
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        pytest.skip("there is no /proc here to tell the memory of a process")
    return int(status.read_text().partition("VmHWM:")[2].split()[0])
