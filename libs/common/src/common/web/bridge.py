"""From ASGI to Flask in one crossing: the body is read on the loop, Flask runs once in a thread, the loop sends the answer."""

import asyncio
import io
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from common.errors import Unavailable
from common.failpoints import failpoint
from common.web.problems import Problem
from common.web.threads import Workers

OPERATION = "atrium.operation"  # in the WSGI environ: the Call that was routed
BODY_TIMEOUT = 30.0  # seconds a body may take to arrive
_DRAIN_BYTES, _DRAIN_SECONDS = 16 * 1024 * 1024, 2.0


class Disconnected(Exception):
    """The client went away before its request was complete; nobody is left to answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What Flask answered."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    async def send(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status, "headers": self.headers})
        await send({"type": "http.response.body", "body": self.body})


def too_large(limit: int) -> Problem:
    return Problem("too-large", f"The body may have at most {limit} bytes", {"limit": limit}, (("Connection", "close"),))


class BodyBudget:
    """Bodies of at most `limit` bytes each, of which at most `total` bytes are in memory at a time."""

    def __init__(self, limit: int, total: int = 64 * 1024 * 1024) -> None:
        self._limit = limit
        self._left = max(total, limit)

    @asynccontextmanager
    async def body(self, scope: Scope, receive: Receive) -> AsyncIterator[bytes]:
        """The whole body, for as long as the block lasts. Counted as it comes: a client that sends little takes little from others.

        Raises Problem 413 (before anything is read, where Content-Length says so; else as soon as there is more), 408 when it comes
        too slowly, Unavailable when too much is in memory.
        """
        pieces: list[bytes] = []
        try:
            if _has_body(scope, self._limit):
                await self._read(receive, pieces)
            yield b"".join(pieces)
        finally:
            self._left += sum(map(len, pieces))

    async def _read(self, receive: Receive, pieces: list[bytes]) -> None:
        size = 0
        try:
            async with asyncio.timeout(BODY_TIMEOUT):
                async for piece in _pieces(receive):
                    pieces.append(piece)
                    size += len(piece)
                    self._left -= len(piece)
                    if size > self._limit:
                        raise too_large(self._limit)
                    if self._left < 0:
                        raise Unavailable("this service", "too many bodies are in memory")
        except TimeoutError:
            raise Problem("timeout", headers=(("Connection", "close"),)) from None


def _has_body(scope: Scope, limit: int) -> bool:
    """Whether one is to come. Raises Problem 413 for one that is said to be larger than `limit`."""
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit() or len(value) > 18:
                raise Problem("bad-request", "Content-Length is not a number")
            if int(value) > limit:
                raise too_large(limit)
            return int(value) > 0
    return any(name == b"transfer-encoding" for name, _ in scope["headers"])


async def _pieces(receive: Receive) -> AsyncIterator[bytes]:
    """Raises Disconnected."""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        more = bool(message.get("more_body"))
        yield message.get("body", b"")


async def drain(receive: Receive) -> None:
    """Takes and forgets what is still coming, within bounds: closing on unread data resets the connection, and the answer is lost."""
    left = _DRAIN_BYTES
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                if message["type"] == "http.disconnect" or not message.get("more_body"):
                    return
                left -= len(message.get("body", b""))
    except TimeoutError:
        pass


async def run_wsgi(app: Any, workers: Workers, scope: Scope, body: bytes, operation: object) -> Answer:
    """Runs the WSGI application once in a thread; raises what it raises."""
    environ = _environ(scope, body)
    environ[OPERATION] = operation
    return await workers.run(_call, app, environ)


def _call(app: Any, environ: dict[str, Any]) -> Answer:
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _exc_info: Any = None) -> Any:
        started[:] = [int(status[:3]), [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers]]
        return written.append

    written: list[bytes] = []
    chunks: Iterable[bytes] = app(environ, start_response)
    try:
        body = b"".join((*written, *chunks))
    finally:
        if close := getattr(chunks, "close", None):
            close()
    failpoint("api.answer")
    return Answer(started[0], started[1], body)


def _environ(scope: Scope, body: bytes) -> dict[str, Any]:
    server = scope.get("server") or ("localhost", 80)
    client = scope.get("client") or ("", 0)
    environ: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": scope["path"].encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "SERVER_NAME": server[0],
        "SERVER_PORT": str(server[1] or 0),
        "REMOTE_ADDR": client[0],
        "REMOTE_PORT": str(client[1]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BytesIO(body),
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "asgi.scope": scope,
    }
    for name, value in scope["headers"]:
        text = value.decode("latin-1")
        if name == b"content-type":
            key = "CONTENT_TYPE"
        elif name in (b"content-length", b"transfer-encoding"):
            continue  # the body is complete by now, however it came
        else:
            key = "HTTP_" + name.decode("latin-1").upper().replace("-", "_")
        environ[key] = f"{environ[key]}, {text}" if key in environ else text
    if body:
        environ["CONTENT_LENGTH"] = str(len(body))
    return environ
