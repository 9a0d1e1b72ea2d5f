"""Pictures are developed in a process of their own, which may take neither much memory nor long: decoders are C libraries that read what
strangers send, and what a file says of itself is no bound of what they do with it.
"""

import contextlib
import json
import os
import resource
import subprocess
import sys
import threading
from typing import IO

from PIL import AvifImagePlugin

from common.images.picture import Picture, develop
from common.images.reasons import NotAvailable

#: Seconds for one picture, and bytes of address space for all that the process has.
LONGEST, MOST = 15.0, 1024**3


class Darkroom:
    """Like `develop`, one picture at a time. Safe to share between threads. The process is started when it is first needed, and anew
    when it has died of a picture; it ends with ours.
    """

    def __init__(self, longest: float = LONGEST, most: int = MOST) -> None:
        self._longest, self._most = longest, most
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def __call__(self, data: bytes) -> Picture:
        """Raises NotAvailable."""
        with self._lock:
            if self._process is not None and self._process.poll() is not None:
                self._end()  # it has died of something else
            process = self._process = self._process or self._started()
            over = threading.Timer(self._longest, process.kill)
            over.start()
            try:
                return _asked(process, data)
            except (OSError, EOFError, ValueError):
                self._end()
                raise NotAvailable("too-costly") from None
            finally:
                over.cancel()

    def close(self) -> None:
        """Ends the process; who comes later has another."""
        with self._lock:
            self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-P", "-m", __name__, str(self._most)]
        # Nothing of our environment, which has keys in it; and no signal of a terminal, which we are told ourselves.
        environment = {"PYTHONPATH": os.pathsep.join(sys.path)}
        return subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _end(self) -> None:
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):  # what it did not read any more
                    pipe.close()


def _asked(process: subprocess.Popen[bytes], data: bytes) -> Picture:
    """Raises NotAvailable where it says so; OSError, EOFError or ValueError where it has died."""
    if process.stdin is None or process.stdout is None:
        raise EOFError
    process.stdin.write(len(data).to_bytes(8) + data)
    process.stdin.flush()
    said = json.loads(process.stdout.readline())
    if "reason" in said:
        raise NotAvailable(said["reason"], said["note"])
    picture, thumbnail = (_read(process.stdout, length) for length in said["lengths"])
    return Picture(picture, thumbnail, said["width"], said["height"])


def _read(pipe: IO[bytes], length: int) -> bytes:
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return data


def _serve(asked: IO[bytes], answers: IO[bytes]) -> None:
    """In the process itself: a length of eight bytes and that many of an image, answered by a line of JSON and two pictures or none."""
    while head := asked.read(8):
        payload: tuple[bytes, ...] = ()
        try:
            made = develop(asked.read(int.from_bytes(head)))
        except NotAvailable as error:
            said: dict[str, object] = {"reason": error.reason, "note": error.note}
        except MemoryError:
            said = {"reason": "too-costly", "note": ""}
        else:
            payload = made.picture, made.thumbnail
            said = {"width": made.width, "height": made.height, "lengths": [*map(len, payload)]}
        answers.writelines((json.dumps(said).encode() + b"\n", *payload))
        answers.flush()


if __name__ == "__main__":
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # the stacks of more would count as memory
    with contextlib.suppress(ValueError, OSError):  # where the system knows no such limit
        resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]),) * 2)
    _serve(sys.stdin.buffer, sys.stdout.buffer)
