"""Bytes out, of any length, in constant memory: an ASGI handler that bypasses Flask, not security nor problems.

What a client sees: 200 and the bytes, as fast as it reads and no faster; or a problem with its own status, when it fails before the
first byte. What cannot be finished later, because a neighbour is away or the server stops, breaks off: the connection is aborted
where the last chunk would be, which no HTTP client takes for the end.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any, TypeVar

from starlette.types import ASGIApp, Receive, Scope, Send

from common.errors import Unavailable
from common.web.bridge import Disconnected
from common.web.problems import Problem, ProblemTable
from common.web.streaming import PARAMETERS, STOPPING
from common.web.threads import Workers

ABORT = "atrium.abort"  # in the scope: ends the connection at once, without what waits to be sent
#: From the operation's parameters to the bytes, in pieces.
Produce = Callable[[Mapping[str, Any]], Iterator[bytes]]
T = TypeVar("T")

logger = logging.getLogger("common.web.download")
_UNREAD_SECONDS = 300.0  # how long a client may read nothing: it holds one of few places


def download(
    produce: Produce,
    *,
    content_type: str,
    filename: str,
    workers: Workers | None = None,
    max_streams: int = 8,
    unread: float = _UNREAD_SECONDS,
) -> ASGIApp:
    """An ASGI handler that sends what `produce` gives.

    Each piece is made in a worker thread, with the request's ids, once the one before has been sent; between two pieces no thread is
    held, and what a client does not read is not made. More than `max_streams` at a time are refused with 503; a client that reads
    nothing for `unread` seconds is let go.
    """
    workers = workers or Workers("download", 2)
    problems = ProblemTable()
    headers = [
        (b"content-type", content_type.encode()),
        (b"content-disposition", f'attachment; filename="{filename}"'.encode()),
        (b"cache-control", b"no-store"),
        (b"x-accel-buffering", b"no"),
    ]
    running = 0

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal running
        if running >= max_streams:
            raise Unavailable("this download", "too many are under way", 5)
        running += 1
        client = _Client(scope, receive)
        begun = whole = False
        try:
            pieces = produce(scope[PARAMETERS])
            piece = await client.unless_it_ends(workers.run(next, pieces, None))
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            begun = True
            while piece is not None and scope["method"] != "HEAD":
                message = {"type": "http.response.body", "body": piece, "more_body": True}
                await client.unless_it_ends(send(message), unread)
                piece = await client.unless_it_ends(workers.run(next, pieces, None))
            await client.unless_it_ends(send({"type": "http.response.body", "body": b""}), unread)
            whole = True
        except Disconnected:
            raise
        except Exception as error:
            if not begun:
                raise
            logger.warning("download broken off: %s", problems.problem(error).kind)
            raise Disconnected from error
        finally:
            running -= 1
            client.forget()
            if begun and not whole and ABORT in scope:
                scope[ABORT]()

    return handle


class _Client:
    """Whoever asked, and the server that may have to stop."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        stopping: asyncio.Event = scope.get(STOPPING) or asyncio.Event()
        self._gone = asyncio.ensure_future(_gone(receive))
        self._stopping = asyncio.ensure_future(stopping.wait())

    async def unless_it_ends(self, step: Awaitable[T], seconds: float | None = None) -> T:
        """The step's result. Raises Disconnected once the client has gone or `seconds` are over, and Problem when the server stops."""
        task = asyncio.ensure_future(step)
        try:
            await asyncio.wait({task, self._gone, self._stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if self._stopping.done():
                raise Problem("stopping", headers=(("Retry-After", "1"),))
            raise Disconnected
        finally:
            task.cancel()

    def forget(self) -> None:
        self._gone.cancel()
        self._stopping.cancel()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
