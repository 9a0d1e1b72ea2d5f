"""A queue of bytes that goes to disk while nobody reads it, so that a fast writer and a late reader need no memory."""

import tempfile
import threading
from typing import IO

_IN_MEMORY = 256 * 1024
_PIECE = 64 * 1024


class SpoolFull(Exception):
    """More is waiting than the spool may hold."""


class Spool:
    """First in, first out, one reader and one writer, each from any thread. Holds up to `limit` bytes, most of them on disk."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._memory = bytearray()  # what is not in the file; always older than what is
        self._file: IO[bytes] | None = None
        self._read = self._written = 0  # positions in the file

    def write(self, data: bytes, beyond_limit: bool = False) -> None:
        """Appends. Raises SpoolFull, and appends nothing, when more than `limit` bytes would wait unread."""
        with self._lock:
            waiting = len(self._memory) + self._written - self._read
            if waiting + len(data) > self._limit and not beyond_limit:
                raise SpoolFull
            if self._written == self._read and len(self._memory) + len(data) <= _IN_MEMORY:
                self._memory += data
                return
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="atrium-spool-")  # noqa: SIM115 - closed by close()
            self._file.seek(self._written)
            self._file.write(data)
            self._written += len(data)

    def read(self) -> bytes:
        """The next bytes, at most 256 KiB; empty when there are none now."""
        with self._lock:
            if self._memory:
                data = bytes(self._memory)
                self._memory.clear()
                return data
            if self._file is None or self._read == self._written:
                return b""
            self._file.seek(self._read)
            data = self._file.read(min(_PIECE, self._written - self._read))
            self._read += len(data)
            if self._read == self._written:  # the reader has caught up: the disk space goes back
                self._file.seek(0)
                self._file.truncate()
                self._read = self._written = 0
            return data

    @property
    def on_disk(self) -> bool:
        """Whether reading now would read from the file."""
        return self._read != self._written and not self._memory

    def close(self) -> None:
        """Lets go of the file. A write that comes after it opens a new one."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file, self._read, self._written = None, 0, 0
            self._memory.clear()
