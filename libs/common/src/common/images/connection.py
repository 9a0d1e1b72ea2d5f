"""One connection to an address that was looked at before, until a deadline: what a fetch stands on."""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from queue import Empty, SimpleQueue
from typing import Any

import httpcore

#: Seconds: how long one connection may take, how long a server may be silent, and between two looks whether we are to stop.
CONNECT, SILENCE, LOOK = 5.0, 8.0, 0.25
#: Bytes that come before the body of an answer.
HEADS = 256 * 1024
Resolve = Callable[[str, int], Sequence[str]]


class Stopped(Exception):
    """The worker was told to stop."""


class TooSlow(Exception):
    """The time is over."""


class Patience:
    """How long all of it may take together."""

    def __init__(self, seconds: float, stop: threading.Event) -> None:
        self._deadline, self._stop = time.monotonic() + seconds, stop

    def left(self) -> float:
        """Seconds. Raises TooSlow where there are none, Stopped where nobody waits any more."""
        if self._stop.is_set():
            raise Stopped
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TooSlow
        return left


def resolve(host: str, port: int) -> list[str]:
    """The addresses of a name, or of an address in whichever spelling the system reads one. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


def resolved(host: str, port: int, patience: Patience, resolve: Resolve) -> Sequence[str]:
    """`resolve` within the time: a resolver has no limit of its own that we could set. Raises OSError, TooSlow, Stopped."""
    answer: SimpleQueue[Sequence[str] | OSError] = SimpleQueue()

    def ask() -> None:
        try:
            answer.put(resolve(host, port))
        except OSError as error:
            answer.put(error)
        except ValueError as error:  # a name that cannot be one
            answer.put(OSError(str(error)))

    threading.Thread(target=ask, name="images-resolver", daemon=True).start()
    while True:
        with contextlib.suppress(Empty):
            found = answer.get(timeout=min(LOOK, patience.left()))
            if isinstance(found, OSError):
                raise found
            return found


class Pinned(httpcore.NetworkBackend):
    """Connects to these addresses, whatever the host is called; TLS still verifies its name.

    Until `answered` no more than HEADS bytes are read: preliminary answers (1xx) could go on for ever.
    """

    def __init__(self, addresses: Sequence[str], patience: Patience) -> None:
        self._addresses, self._patience = addresses, patience
        self._heads = 0

    def answered(self) -> None:
        """What is read from now on is the body."""
        self._heads = -1

    def count(self, size: int) -> None:
        """Raises httpcore's RemoteProtocolError once the heads are too long."""
        if self._heads >= 0:
            self._heads += size
            if self._heads > HEADS:
                raise httpcore.RemoteProtocolError("the head of the answer has no end")

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        failure: Exception = httpcore.ConnectError("no address")
        for address in self._addresses:
            try:
                connected = httpcore.SyncBackend().connect_tcp(address, port, min(CONNECT, self._patience.left()))
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
                continue
            return _Stream(connected, self._patience, self.count)
        raise failure


class _Stream(httpcore.NetworkStream):
    """Reads and writes until the deadline, and looks now and then whether it is to stop: who sends a byte at a time gains nothing."""

    def __init__(self, stream: httpcore.NetworkStream, patience: Patience, count: Callable[[int], None]) -> None:
        self._stream, self._patience, self._count = stream, patience, count

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        silent_until = time.monotonic() + SILENCE
        while True:
            try:
                piece = self._stream.read(max_bytes, min(LOOK, self._patience.left()))
            except httpcore.ReadTimeout:
                if time.monotonic() > silent_until:
                    raise
            else:
                self._count(len(piece))
                return piece

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, min(SILENCE, self._patience.left()))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        secure = self._stream.start_tls(ssl_context, server_hostname, min(CONNECT, self._patience.left()))
        return _Stream(secure, self._patience, self._count)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
