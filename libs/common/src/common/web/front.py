"""The outermost layer: ids, access log, routing, CORS, and the one place where what was raised becomes a problem."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from common.observability.context import begin, use
from common.web.bridge import ANSWER_HEADERS, Disconnected, drain
from common.web.cors import Cors
from common.web.problems import Problem, ProblemTable
from common.web.routing import Routes

access = logging.getLogger("common.web.access")
logger = logging.getLogger("common.web")
_QUIET = ("/livez", "/readyz", "/health-check")


class Front:
    """The ASGI application a server runs. Whatever happens behind it, a request gets an answer and a line in the log."""

    def __init__(
        self, routes: Routes[ASGIApp], otherwise: Callable[[Scope], ASGIApp], problems: ProblemTable, cors: Cors
    ) -> None:
        """`otherwise` finds who answers when no route does; it may raise Problem."""
        self._routes = routes
        self._otherwise = otherwise
        self._problems = problems
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        raw = scope.get("raw_path") or quote(scope["path"]).encode()  # without the query, whatever the server
        path = raw.partition(b"?")[0].decode("latin-1")
        exchange = _Exchange(scope, send, self._cors)
        try:
            await self._route(path, scope, receive, exchange.send)
        except Disconnected:
            exchange.status = 499  # nginx's word for it; nobody sees it but the log
        except Exception as error:
            problem = self._problems.problem(error)
            if exchange.status:
                # Half an answer is out: ending the connection is the only way left to say that it is not whole.
                logger.error("failed after the answer had begun", exc_info=error)
                raise
            await self._refuse(problem, path, scope, receive, exchange.send)
        except asyncio.CancelledError:
            if exchange.status:
                raise
            # The server stops and has waited long enough for this request, which may go on in its thread.
            await self._refuse(Problem("stopping", headers=(("Retry-After", "1"),)), path, scope, receive, exchange.send)
        finally:
            level = logging.DEBUG if scope["path"] in _QUIET else logging.INFO
            if access.isEnabledFor(level):
                fields = {"method": scope["method"], "path": path[:500], "status": exchange.status}
                duration = round((time.perf_counter() - started) * 1000, 2)
                access.log(level, "%s %s", scope["method"], path[:500], extra=fields | {"duration_ms": duration})

    async def _route(self, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            found = self._routes.find(scope["method"], path)
            target, scope["path_params"] = found or (self._otherwise(scope), {})
        except Problem as problem:
            if scope["method"] != "OPTIONS" or problem.kind != "method-not-allowed":
                raise
            await self._options(problem, scope, send)
            return
        await target(scope, receive, send)

    async def _options(self, not_allowed: Problem, scope: Scope, send: Send) -> None:
        allow = dict(not_allowed.headers)["Allow"]
        headers = [(b"allow", allow.encode()), *self._cors.preflight(scope, allow)]
        await send({"type": "http.response.start", "status": 204, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    async def _refuse(self, problem: Problem, path: str, scope: Scope, receive: Receive, send: Send) -> None:
        status, headers, body = problem.answer(path[:500])
        closing = (b"connection", b"close") in headers
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body, "more_body": closing})
        if closing:
            if not any(name == b"expect" for name, _ in scope["headers"]):  # who waits for 100 Continue has sent nothing
                await drain(receive)
            await send({"type": "http.response.body", "body": b""})


class _Exchange:
    """One request and its answer: begins the ids, and adds to the answer what every answer carries."""

    def __init__(self, scope: Scope, send: Send, cors: Cors) -> None:
        request_id = traceparent = ""
        origin = b""
        for name, value in scope["headers"]:
            if name == b"x-request-id":
                request_id = value.decode("latin-1")
            elif name == b"traceparent":
                traceparent = value.decode("latin-1")
            elif name == b"origin":
                origin = value
        context = begin(request_id, traceparent)
        use(context)
        self.status = 0
        self._send = send
        self._more: list[tuple[bytes, bytes]] = [
            (b"x-request-id", context.request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
            *cors.headers(origin),
        ]
        scope[ANSWER_HEADERS] = self._more

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._more]
        await self._send(message)


async def lifespan(receive: Receive, send: Send, started: Callable[[], Any], stopped: Callable[[], Any]) -> None:
    """Answers the server's lifespan messages."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            started()
            await send({"type": "lifespan.startup.complete"})
        elif message["type"] == "lifespan.shutdown":
            stopped()
            await send({"type": "lifespan.shutdown.complete"})
            return
