"""One span of time for all of an HTTP exchange: the client's own timeouts are for each piece, and a neighbour may drip."""

import socket
import threading
import time
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import httpx


class Deadline:
    """Hand `extensions` to httpx with each request of the exchange: when the time is over, its connections are shut, and reading ends.

    `over` tells afterwards whether that is why it failed; what was read without a length may be cut off then, and look whole. Before
    there is a connection others set the bounds: the resolver for a name, the client's timeout for each of its addresses.
    """

    def __init__(self, seconds: float) -> None:
        self.ends = time.monotonic() + seconds
        self.extensions: dict[str, Any] = {"trace": self._trace, "deadline": self}
        self._timer = threading.Timer(max(0.0, seconds), self._shut)
        self._timer.daemon = True
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()

    @classmethod
    def of(cls, request: httpx.Request) -> Self | None:
        """The one that this request was sent with."""
        found: Self | None = request.extensions.get("deadline")
        return found

    @property
    def left(self) -> float:
        """Seconds, zero when it is over."""
        return max(0.0, self.ends - time.monotonic())

    @property
    def over(self) -> bool:
        return self.left == 0

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._timer.cancel()

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith((".connect_tcp.complete", ".start_tls.complete")):
            with self._lock:
                self._sockets.append(info["return_value"].get_extra_info("socket"))
            if self.over:
                self._shut()

    def _shut(self) -> None:
        with self._lock:
            for each in self._sockets:
                with suppress(OSError):  # it is closed, or has been handed on to TLS
                    socket.socket.shutdown(each, socket.SHUT_RDWR)
