"""An S3 server: versitygw over a directory, built from its Go module once and kept in Go's own folder of programs."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from backing import process
from backing.place import Account, CannotStart, Place

NAME = "s3"
STOP = signal.SIGTERM
_MODULE, _VERSION = "github.com/versity/versitygw/cmd/versitygw", "v1.8.0"
# No secrets: the server listens on loopback and holds what tests put there.
_ACCESS, _SECRET = "atrium", "atrium-tests"


def start(place: Place, *, fetch: bool) -> process.Running:
    """A server with the buckets of the last run, if there was one; it answers when this returns."""
    program = _program(fetch=fetch)
    home = place.make(place.of(NAME))
    (home / "data").mkdir(exist_ok=True)
    port, log = place.port(NAME, in_use=False), home / "log"
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(home),
        "ROOT_ACCESS_KEY": _ACCESS,
        "ROOT_SECRET_KEY": _SECRET,
    }
    arguments = [str(program), "--port", f"127.0.0.1:{port}", "posix", str(home / "data")]
    running = process.launch(
        arguments, record=home / "process.json", log=log, environment=environment, owner=Account(None, None), folder=home
    )
    process.wait_until_ready(running, lambda: _answers(port), seconds=60, log=log)
    return running


def exports(place: Place) -> dict[str, str]:
    return {"TEST_S3_URL": f"http://{_ACCESS}:{_SECRET}@127.0.0.1:{place.port(NAME, in_use=True)}"}


def _program(*, fetch: bool) -> Path:
    """Beside its name the version stands: another one is another program."""
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "atrium-servers" / f"versitygw-{_VERSION}"
    program = path / "versitygw"
    if program.exists():
        return program
    go = shutil.which("go")
    if not fetch or go is None:
        raise CannotStart(
            f"versitygw {_VERSION} is not built yet" + (", and there is no go to build it with" if go is None else "")
        )
    environment = {**os.environ, "GOBIN": str(path), "CGO_ENABLED": "0", "GOTOOLCHAIN": "auto", "GOFLAGS": "-buildvcs=false"}
    command = [go, "install", f"{_MODULE}@{_VERSION}"]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, timeout=900, check=False
    )
    if done.returncode != 0 or not program.exists():
        raise CannotStart(f"versitygw {_VERSION} cannot be built: {done.stderr.strip()[-300:]}")
    return program


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5):
            return True
    except urllib.error.HTTPError:  # who asks without a key is refused, in S3's own words
        return True
    except OSError:
        return False
