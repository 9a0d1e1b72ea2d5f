"""One HTTP connection: uvicorn's protocol, with bounds on a request's head and problem documents where no application answers.

Every request that was whole has its answer, whatever came after it: it may have written something.
"""

import asyncio
import contextvars
from typing import Any

from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from common.observability.context import begin, use
from common.web.download import ABORT
from common.web.problems import Problem

HEAD_BYTES = 64 * 1024  # of a request line and headers together; also what may come without being anything, such as trailers
HEAD_SECONDS = 20.0  # from a connection's begin, or from the first byte of a further request, to the end of the headers
_LINGER_SECONDS = 2.0  # how long what a refused client still sends is read: closing on it would cost it the answer

_MALFORMED = "The request line, a header or a chunk is malformed; non-ASCII characters in a URL must be percent-encoded"


class Connection(HttpToolsProtocol):
    """Refuses heads that are too large (431) or malformed (400), and closes when one does not arrive in time."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_head = False
        self._progress = False  # whether the data fed began, went on or ended a message, apart from its headers
        self._without_progress = 0  # bytes
        self._too_large = self._refused = self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._running: RequestResponseCycle | None = None  # `cycle` is the last that came, maybe still in the pipeline

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        for cycle in self._open_cycles():
            _forget(cycle)
        self.pipeline.clear()
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # as asyncio has it: whether the connection stays
        """The client will send no more. It may still read: what it sent whole is answered before the connection ends.

        Who has gone altogether looks the same, so whoever waits to hear of that hears of it.
        """
        self._refused = self._ended = True
        self._drop_broken()
        for cycle in self._open_cycles():
            cycle.message_event.set()
        return self._end_after_answers()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._progress = False
        super().data_received(data)
        self._bound(len(data))

    def _bound(self, size: int) -> None:
        if self._refused:
            return
        if not self._progress:
            self._without_progress += size
        else:
            self._without_progress = self._head_bytes() if self._in_head else 0
        if self._without_progress > HEAD_BYTES:
            self._too_large = True
            self.send_400_response("")
        elif self._timer is None and (self._in_head or not self._answering()):
            self._timer = self.loop.call_later(HEAD_SECONDS, self._late)

    def on_message_begin(self) -> None:
        self._stop_timer()
        self._in_head = self._progress = True
        super().on_message_begin()
        self.scope[ABORT] = self.transport.abort  # type: ignore[literal-required]

    def on_headers_complete(self) -> None:
        if self._head_bytes() > HEAD_BYTES:
            self._too_large = True
            raise ValueError("the headers are too large")  # the parser stops, and send_400_response is called
        self._stop_timer()
        self._in_head = False
        self._progress = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._progress = True
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answers in place of the application, unless it has begun to, and ends the connection."""
        self._refused = True
        self._stop_timer()
        broken = self._drop_broken()
        if broken is not None and broken.response_started:
            self.transport.close()  # half an answer is out: another cannot follow
            return
        if self._end_after_answers():
            return
        problem = Problem("bad-request", _MALFORMED)
        if self._too_large:
            problem = Problem("headers-too-large", extensions={"limit": HEAD_BYTES})
        self.transport.write(contextvars.copy_context().run(_answer, problem))
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._timer = self.loop.call_later(_LINGER_SECONDS, self.transport.close)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle

        async def listening(scope: Scope, receive: Receive, send: Send) -> None:
            async def heard() -> Message:
                message = await receive()
                if self._ended and message["type"] == "http.request" and not message["body"]:
                    return {"type": "http.disconnect"}
                return message

            await app(scope, heard, send)

        super()._start_asgi_task(cycle, listening)  # type: ignore[arg-type]  # uvicorn has types of its own for the same

    def _open_cycles(self) -> list[RequestResponseCycle]:
        """The requests that are not answered yet, in order."""
        running = self._running
        first = [running] if running is not None and not running.response_complete and not running.disconnected else []
        return [*first, *(cycle for cycle, _ in reversed(self.pipeline))]

    def _drop_broken(self) -> RequestResponseCycle | None:
        """The request that has come in part and never will be whole: its application is told that the client has gone."""
        broken = next((cycle for cycle in self._open_cycles() if cycle.more_body), None)
        if broken is not None:
            _forget(broken)
            if self.pipeline and self.pipeline[0][0] is broken:
                self.pipeline.popleft()
        return broken

    def _end_after_answers(self) -> bool:
        """Closes after the answers that are due; False where there are none."""
        due = self._open_cycles()
        if due:
            due[-1].keep_alive = False
        return bool(due)

    def _head_bytes(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)  # ": " and CRLF

    def _late(self) -> None:
        self._timer = None
        if self._answering():  # the request before
            self._timer = self.loop.call_later(HEAD_SECONDS, self._late)
        else:
            self.transport.close()

    def _answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first, whatever its annotation says
        return cycle is not None and not cycle.response_complete

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def _forget(cycle: RequestResponseCycle) -> None:
    """As if its client had gone."""
    cycle.disconnected = True
    cycle.message_event.set()


def _answer(problem: Problem) -> bytes:
    context = begin("", "")
    use(context)
    status, headers, body = problem.answer()
    headers += [
        (b"x-request-id", context.request_id.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"connection", b"close"),
    ]
    return STATUS_LINE[status] + b"".join(b"%s: %s\r\n" % header for header in headers) + b"\r\n" + body
