"""Where the servers keep their files, which ports they take, and under which account they run."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pwd
import random
import shutil
import socket
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path


class CannotStart(Exception):
    """A server is not here, or did not come up; the message is one line for people."""


@dataclass(frozen=True, slots=True)
class Account:
    """The user that a server runs as; `None` ids mean: whoever started this."""

    uid: int | None
    gid: int | None

    def give(self, path: Path) -> None:
        """Hand `path` and what is in it to this account."""
        if self.uid is None or self.gid is None:
            return
        os.chown(path, self.uid, self.gid)
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(os.path.join(folder, name), self.uid, self.gid, follow_symlinks=False)


def account(*preferred: str) -> Account:
    """PostgreSQL and Elasticsearch refuse root: the first of `preferred` that exists, else nobody; without root, oneself."""
    if os.geteuid() != 0:
        return Account(None, None)
    for name in (*preferred, "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return Account(entry.pw_uid, entry.pw_gid)
    raise CannotStart("this is root, and there is no other account to run a server as")


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that holds the programs, data, logs and states of one set of servers."""

    root: Path

    def of(self, server: str) -> Path:
        return self.root / server

    def make(self, path: Path, owner: Account | None = None) -> Path:
        """The folder `path`, created if need be, passable by other accounts, and `owner`'s."""
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o755)
        if owner is not None:
            owner.give(path)
        return path

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """One start or stop at a time: two test runs may begin together."""
        self.make(self.root)
        if self.root.stat().st_uid != os.geteuid():
            raise CannotStart(f"{self.root} belongs to another user; SERVERS_DIR can name another folder")
        with (self.root / "lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def port(self, purpose: str, *, in_use: bool) -> int:
        """The port remembered for `purpose`; unless `in_use` by us, another one once somebody else has taken it."""
        path = self.root / "ports.json"
        ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        known = ports.get(purpose)
        if known is not None and (in_use or _is_free(known)):
            return known
        ports[purpose] = free_port(avoid=set(ports.values()))
        _write(path, json.dumps(ports, indent=2))
        return ports[purpose]


def find(repository: Path) -> Place:
    """`$SERVERS_DIR`, else `.servers` in the repository, else, where another account cannot reach that, a folder beside it.

    Where several processes test side by side (pytest-xdist), each has servers of its own below that: some tests stop them.
    """
    if chosen := os.environ.get("SERVERS_DIR"):
        return Place(Path(chosen).resolve())
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    inside = repository.resolve() / ".servers" / worker
    if os.geteuid() != 0 or _passable(repository.resolve()):
        return Place(inside)
    name = hashlib.sha256(str(repository.resolve()).encode()).hexdigest()[:10]
    return Place(Path("/var/tmp") / f"atrium-servers-{name}" / worker)  # noqa: S108 (must outlive a reboot; the folder is ours alone, see lock())


def remove(path: Path) -> None:
    """Delete a folder that may hold files of another account."""
    if path.exists():
        shutil.rmtree(path)


def _write(path: Path, text: str) -> None:
    """Replace the file whole: a reader beside us never sees half of it."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


def _passable(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (path, *path.parents))


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_port(avoid: Collection[int] = ()) -> int:
    """A port that nobody listens on; nobody takes it by chance while its server is stopped, either.

    For that it is below the range that systems hand to outgoing connections.
    """
    for _ in range(1000):
        port = random.randrange(20_000, 30_000)  # noqa: S311 (no secret)
        if port not in avoid and _is_free(port):
            return port
    raise CannotStart("no free port between 20000 and 30000 on 127.0.0.1")
