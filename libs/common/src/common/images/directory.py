"""The image store in a directory of this machine, made when it is first needed."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.errors import Unavailable
from common.images.store import Store

#: Bytes that must be free: while there are fewer, nobody is asked for images that could not be kept.
SPARE = 32 * 1024 * 1024


class DirectoryStore(Store):
    """One file for each copy, in 256 folders by the start of its name. A crash may leave a `.part` file; nobody ever reads one."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, data: bytes) -> None:
        with _translated():
            folder = self._path(name).parent
            if not folder.exists():
                folder.mkdir(parents=True, exist_ok=True)
                _sync(folder.parent)
            handle, beside = tempfile.mkstemp(dir=folder, suffix=".part")
            try:
                with os.fdopen(handle, "wb") as file:
                    file.write(data)
                    file.flush()
                    os.fsync(file.fileno())
                os.chmod(beside, 0o644)
                os.replace(beside, self._path(name))
            except BaseException:
                Path(beside).unlink(missing_ok=True)
                raise
            _sync(folder)

    def get(self, name: str) -> bytes | None:
        with _translated():
            try:
                return self._path(name).read_bytes()
            except FileNotFoundError:
                return None

    def ping(self) -> None:
        with _translated():
            there = next(folder for folder in (self._root, *self._root.parents) if folder.exists())
            if not (there.is_dir() and os.access(there, os.W_OK | os.X_OK)):
                raise PermissionError(None, "it cannot be written", str(there))
            space = os.statvfs(there)
            if space.f_bavail * space.f_frsize < SPARE:
                raise OSError(errno.ENOSPC, "there is next to no space left", str(there))

    def _path(self, name: str) -> Path:
        return self._root / name[:2] / name


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Unavailable("the image store", f"{error.filename}: {error.strerror}", 5) from error


def _sync(folder: Path) -> None:
    """A new name is durable once its folder is."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
