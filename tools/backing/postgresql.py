"""PostgreSQL: 17 from its Maven artifact where that is to be had, else the distribution's."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tarfile
import zipfile
from pathlib import Path

from backing import maven, process
from backing.place import Account, CannotStart, Place, account, remove

NAME = "postgresql"
STOP = signal.SIGINT  # "fast": sessions are cut, the checkpoint is written
_VERSION = "17.5.0"


def start(place: Place, *, fetch: bool) -> process.Running:
    """A server with an empty cluster, or the one left by the last run; ready for connections when this returns."""
    owner = account("postgres")
    home = place.make(place.of(NAME))
    programs = _programs(home, fetch=fetch)
    data = home / "data"
    # A cluster is bound to its major version: another one (Maven's cache has been emptied, say) begins anew.
    if (data / "PG_VERSION").exists() and (data / "PG_VERSION").read_text().strip() != _major(programs):
        remove(data)
    if not (data / "PG_VERSION").exists():
        _initialise(programs, data, owner)
    _forget_zombie(data / "postmaster.pid")
    port = place.port(NAME, in_use=False)
    log = home / "log"
    # fsync stays on: what survives a kill is what the tests are about.
    settings = {"listen_addresses": "127.0.0.1", "port": port, "unix_socket_directories": "", "max_connections": 200}
    arguments = [str(programs / "postgres"), "-D", str(data)]
    for name, value in settings.items():
        arguments += ["-c", f"{name}={value}"]
    running = process.launch(
        arguments, record=home / "process.json", log=log, environment=_environment(programs), owner=owner, folder=data
    )
    process.wait_until_ready(running, lambda: _accepts(data, running.pid), seconds=60, log=log)
    return running


def exports(place: Place) -> dict[str, str]:
    return {"TEST_POSTGRES_URL": f"postgresql+psycopg://postgres@127.0.0.1:{place.port(NAME, in_use=True)}/postgres"}


def _programs(home: Path, *, fetch: bool) -> Path:
    """The folder with initdb and postgres."""
    unpacked = home / f"pgsql-{_VERSION}"
    if not (unpacked / "complete").exists():
        try:
            _unpack(unpacked, fetch=fetch)
        except CannotStart:
            if installed := _installed():
                return installed
            raise
    return unpacked / "bin"


def _unpack(target: Path, *, fetch: bool) -> None:
    machine = {"x86_64": "amd64", "aarch64": "arm64v8"}.get(os.uname().machine)
    if os.uname().sysname != "Linux" or machine is None:
        raise CannotStart(f"no PostgreSQL is installed, and there is none on Maven for this {os.uname().machine} machine")
    name = f"embedded-postgres-binaries-linux-{machine}"
    jar = maven.artifact("io.zonky.test.postgres", name, _VERSION, "jar", fetch=fetch)
    remove(target)
    target.mkdir(mode=0o755)
    try:
        with zipfile.ZipFile(jar) as archive:
            inner = next(entry for entry in archive.namelist() if entry.endswith(".txz"))
            with archive.open(inner) as stream, tarfile.open(fileobj=stream, mode="r|xz") as files:
                if hasattr(tarfile, "tar_filter"):  # not in the first patch releases of 3.11
                    files.extraction_filter = staticmethod(tarfile.tar_filter)
                files.extractall(target)  # noqa: S202 (the artifact is a program that runs next)
    except tarfile.CompressionError as error:
        raise CannotStart(f"{jar.name} cannot be unpacked: this Python has no lzma") from error
    (target / "complete").touch()


def _installed() -> Path | None:
    """The newest of the distribution's servers; Debian keeps them out of PATH."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(re.sub(r"\D", "", path.parent.name) or 0))
    candidates = [*reversed(homes)]
    if found := shutil.which("initdb"):
        candidates.append(Path(found).resolve().parent)  # beside its postgres, not beside a link to it
    return next((path for path in candidates if (path / "initdb").exists() and (path / "postgres").exists()), None)


def _major(programs: Path) -> str:
    ask = [str(programs / "postgres"), "--version"]
    said = subprocess.run(ask, capture_output=True, text=True, check=True, env=_environment(programs))
    found = re.search(r"(\d+)\.", said.stdout)
    return found[1] if found else said.stdout.strip()


def _initialise(programs: Path, data: Path, owner: Account) -> None:
    remove(data)
    data.mkdir(mode=0o700)
    owner.give(data)
    result = subprocess.run(
        [programs / "initdb", "-D", data, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd=data,
        env=_environment(programs),
        user=owner.uid,
        group=owner.gid,
        extra_groups=None if owner.uid is None else [],
        check=False,
    )
    if result.returncode != 0:
        raise CannotStart(f"initdb: {result.stderr.strip()[-300:]}")


def _environment(programs: Path) -> dict[str, str]:
    environment = {"PATH": f"{programs}:/usr/bin:/bin", "TZ": "UTC"}
    library = programs.parent / "lib"
    if (library / "libpq.so.5").exists():
        environment["LD_LIBRARY_PATH"] = str(library)  # Maven's brings its own
    return environment


def _forget_zombie(lock: Path) -> None:
    """A killed server that its parent has not waited for still counts as running for the next one, which then refuses."""
    if lock.exists():
        pid = int(lock.read_text().split("\n", 1)[0])
        if process.is_zombie(pid):
            lock.unlink()


def _accepts(data: Path, pid: int) -> bool:
    # The eighth line of postmaster.pid is the server's own word on it, and pg_ctl waits for the same; the first says whose word.
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) >= 8 and lines[0] == str(pid) and lines[7].strip() == "ready"
