"""Elasticsearch from the integ-test distribution that its makers publish on Maven Central."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from backing import maven, process
from backing.place import CannotStart, Place, account, remove

NAME = "elasticsearch"
STOP = signal.SIGTERM
_VERSION = "9.5.0"
_JDK = 21  # what the server needs at least
_PLUGINS = Path(__file__).resolve().parent.parent / "elasticsearch"


def start(place: Place, *, fetch: bool) -> process.Running:
    """One node with the indices of the last run, if there was one; HTTP answers when this returns."""
    jdk = find_jdk()
    home = place.make(place.of(NAME))
    programs = _programs(home, jdk, fetch=fetch)
    owner = account("elasticsearch")
    for folder in ("data", "logs", "tmp"):
        (home / folder).mkdir(exist_ok=True)
    owner.give(home)
    port, transport = (place.port(f"{NAME}-{purpose}", in_use=False) for purpose in ("http", "transport"))
    settings = {
        "cluster.name": "atrium-tests",
        "discovery.type": "single-node",
        "xpack.security.enabled": "false",
        "http.host": "127.0.0.1",
        "http.port": port,
        "transport.host": "127.0.0.1",
        "transport.port": transport,
        "path.data": home / "data",
        "path.logs": home / "logs",
        # An index that nobody created is a mistake of ours: it must fail, not appear with guessed mappings.
        "action.auto_create_index": "false",
        # A laptop whose disk is 90 % full is no reason to refuse a few megabytes.
        "cluster.routing.allocation.disk.threshold_enabled": "false",
    }
    arguments = [str(programs / "bin" / "elasticsearch")]
    for name, value in settings.items():
        arguments += ["-E", f"{name}={value}"]
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "ES_JAVA_HOME": str(jdk),
        "ES_JAVA_OPTS": "-Xms512m -Xmx512m",
        "ES_TMPDIR": str(home / "tmp"),
    }
    log = home / "log"
    running = process.launch(arguments, record=home / "process.json", log=log, environment=environment, owner=owner, folder=home)
    process.wait_until_ready(running, lambda: _answers(port), seconds=180, log=log)
    return running


def exports(place: Place) -> dict[str, str]:
    return {"TEST_ELASTICSEARCH_URL": f"http://127.0.0.1:{place.port(f'{NAME}-http', in_use=True)}"}


def find_jdk() -> Path:
    """The first JDK of 21 or later: what the environment names (hosted runners set JAVA_HOME_21_X64), then what is installed."""
    named = [value for name, value in sorted(os.environ.items()) if re.fullmatch(r"(ES_)?JAVA_HOME(_\d+\w*)?", name)]
    for home in (*map(Path, named), *sorted(Path("/usr/lib/jvm").glob("*"))):
        if (home / "bin" / "javac").exists() and _release(home) >= _JDK:
            return home
    raise CannotStart(f"no JDK of {_JDK} or later is installed (ES_JAVA_HOME may name one)")


def _release(jdk: Path) -> int:
    said = subprocess.run([jdk / "bin" / "javac", "-version"], capture_output=True, text=True, check=False)
    found = re.search(r"\d+", said.stdout + said.stderr)
    return int(found[0]) if found else 0


def _programs(home: Path, jdk: Path, *, fetch: bool) -> Path:
    programs = home / f"elasticsearch-{_VERSION}"
    if (programs / "complete").exists():
        return programs
    archive = maven.artifact("org.elasticsearch.distribution.integ-test-zip", "elasticsearch", _VERSION, "zip", fetch=fetch)
    remove(programs)
    with zipfile.ZipFile(archive) as files:
        for entry in files.infolist():
            path = files.extract(entry, home)
            if mode := entry.external_attr >> 16:
                os.chmod(path, mode | 0o700)
    for source in sorted(_PLUGINS.glob("*.java")):
        _compile(source, programs, jdk)
    (programs / "complete").touch()
    return programs


def _compile(source: Path, programs: Path, jdk: Path) -> None:
    """Make a module of one source file. A full distribution would bring what these few add; see `tools/elasticsearch`."""
    module = programs / "modules" / f"atrium-{source.stem.lower()}"
    module.mkdir()
    with tempfile.TemporaryDirectory() as classes:
        javac = [str(jdk / "bin" / "javac"), "--release", str(_JDK), "-proc:none", "-cp", str(programs / "lib" / "*")]
        done = subprocess.run([*javac, "-d", classes, str(source)], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise CannotStart(f"{source.name} does not compile: {done.stderr.strip()[-500:]}")
        subprocess.run([jdk / "bin" / "jar", "cf", module / f"{source.stem}.jar", "-C", classes, "."], check=True)
    properties = {
        "name": module.name,
        "description": "Left out of the integ-test distribution",
        "classname": source.stem,
        "version": _VERSION,
        "elasticsearch.version": _VERSION,
        "java.version": _JDK,
    }
    (module / "plugin-descriptor.properties").write_text("".join(f"{key}={value}\n" for key, value in properties.items()))


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/_cluster/health", timeout=5) as response:
            return bool(response.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False
