"""Who holds messages or a tap of the embedded broker: a name that is known to be alive for exactly as long as its process keeps a lock."""

import contextlib
import os
import sqlite3
import sys
import uuid
from pathlib import Path

from common.messaging.embedded_file import QueueFile

if sys.platform != "win32":
    import fcntl


class Holder:
    """A lock file beside the broker's. The kernel lets go of it when the process ends, however it ends."""

    def __init__(self, broker: Path) -> None:
        self.id = uuid.uuid4().hex
        self._path = _lock_of(broker, self.id)
        self._file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        if sys.platform != "win32":
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def close(self) -> None:
        """From now on counted as gone."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        with contextlib.suppress(OSError):
            os.close(self._file)


def is_alive(broker: Path, id: str) -> bool:
    """Whether the holder of this name still has its lock."""
    if sys.platform == "win32":  # nobody else counts as alive, so two processes get the same messages: duplicates, nothing lost
        return False
    try:
        file = os.open(_lock_of(broker, id), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(file)
    return False


def forget(broker: Path, id: str) -> None:
    """Removes what a holder that is gone has left."""
    with contextlib.suppress(OSError):
        _lock_of(broker, id).unlink()


def free_the_abandoned(file: QueueFile, path: Path) -> None:
    """What holders that are gone still held waits again, and their taps are gone too. Raises Unavailable."""
    with file.reading() as connection:
        holders = [id for (id,) in connection.execute("SELECT id FROM holder")]
    gone = [id for id in holders if not is_alive(path, id)]
    if gone:
        with file.writing() as connection:
            for id in gone:
                free(connection, id)
        for id in gone:
            forget(path, id)


def free(connection: sqlite3.Connection, holder: str) -> None:
    """Takes back whatever it holds, and its name."""
    connection.execute("UPDATE handed_out SET holder = NULL WHERE holder = ?", (holder,))
    if connection.execute("DELETE FROM tap WHERE id = ?", (holder,)).rowcount:
        connection.execute("DELETE FROM message WHERE queue = ?", (holder,))
    connection.execute("DELETE FROM holder WHERE id = ?", (holder,))


def _lock_of(broker: Path, id: str) -> Path:
    return broker.with_name(f"{broker.name}-holder-{id}")
