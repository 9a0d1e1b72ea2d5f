"""One stream under way: a reader that batches lines, a worker that processes them, a writer that sends, each at its own pace."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import orjson
from starlette.types import Message, Receive, Scope, Send

from common.failpoints import failpoint
from common.web.bridge import Disconnected
from common.web.lines import Line, LineSplitter
from common.web.problems import Problem, ProblemTable
from common.web.spool import Spool, SpoolFull
from common.web.threads import Workers

STOPPING = "atrium.stopping"  # in the scope: an asyncio.Event, set when the server stops
Process = Callable[[Sequence[Line]], Sequence[bytes]]

logger = logging.getLogger("common.web.streaming")
_DRAIN_SECONDS = 30.0  # how long an aborted import still takes and forgets what the client sends
_DRAIN_SECONDS_STOPPING = 2.0
# How long a client may take until the next line, or the next part of a long one, while we wait for it: it holds one of few places.
_SILENT_SECONDS, _PART = 30.0, 64 * 1024
_UNREAD_SECONDS = 300.0  # how long a client may read nothing


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one stream; bytes and seconds."""

    line: int = 256 * 1024
    batch_lines: int = 500
    batch_bytes: int = 4 * 1024 * 1024
    linger: float = 0.05
    spool: int = 1024**3


@dataclass(frozen=True, slots=True)
class How:
    """What the streams of one operation have in common."""

    process: Process
    limits: Limits
    workers: Workers
    problems: ProblemTable


class Exchange:
    """One request of a stream and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, how: How, spool: Spool) -> None:
        self._receive, self._send, self._how, self._spool = receive, send, how, spool
        self._path: str = scope["path"]
        self._stopping: asyncio.Event = scope.get(STOPPING) or asyncio.Event()
        self._splitter = LineSplitter(how.limits.line)
        self._pending: deque[Line] = deque()
        self._pending_bytes = 0
        self._flush_at = 0.0  # when the oldest pending line has lingered long enough, by the loop's clock
        self._heard_at = asyncio.get_running_loop().time()  # when the last line, or part of one, was complete
        self._unheard = 0  # bytes since then
        self._input_ended = asyncio.Event()
        self._outcomes = False  # whether any has been spooled
        self._to_send = asyncio.Event()
        self._ended = False  # nothing more will be spooled
        self._begun = False  # the answer has been begun

    async def run(self) -> None:
        """Raises what is to become a problem, and Disconnected when the client has gone."""
        writer = asyncio.ensure_future(self._write())
        others = [writer]
        try:
            await self._read_and_process()
            self._ended = True
            self._to_send.set()
            gone = asyncio.ensure_future(self._rest_of_input())
            others.append(gone)
            await asyncio.wait({writer, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not writer.done():
                raise Disconnected
            await writer
            if not self._input_ended.is_set():
                # The import was aborted, and closing on what the client still sends would reset the connection.
                others.append(ended := asyncio.ensure_future(self._wait_for_input()))
                seconds = _DRAIN_SECONDS_STOPPING if self._stopping.is_set() else _DRAIN_SECONDS
                await asyncio.wait({ended, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for other in others:
                other.cancel()
            await asyncio.gather(*others, return_exceptions=True)
        if not self._begun:  # the body held no line
            await self._begin()
        await self._send({"type": "http.response.body", "body": b""})

    async def _read_and_process(self) -> None:
        """Until every line of the body has its outcome, or the import is aborted. Raises Disconnected."""
        loop = asyncio.get_running_loop()
        receiving: asyncio.Future[Message] | None = None
        processing: asyncio.Future[bool] | None = None
        stopping = asyncio.ensure_future(self._stopping.wait())
        try:
            while True:
                if receiving is None and (self._input_ended.is_set() or not self._full()):
                    receiving = asyncio.ensure_future(self._receive())
                if processing is None:
                    if self._input_ended.is_set() and not self._pending:
                        return None
                    if stopping.done():
                        return self._abort(self._next_line(), Problem("stopping", headers=(("Retry-After", "1"),)))
                    if self._pending and (self._full() or self._input_ended.is_set() or loop.time() >= self._flush_at):
                        processing = asyncio.ensure_future(self._process(self._batch()))
                idle = processing is None and not self._pending
                until = self._heard_at + _SILENT_SECONDS if idle else self._flush_at
                timeout = max(0.0, until - loop.time()) if processing is None else None
                waiting = {each for each in (receiving, processing, stopping) if each is not None and not each.done()}
                done, _ = await asyncio.wait(waiting, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                if idle and not done:
                    return self._abort(self._next_line(), Problem("timeout"))
                if processing is not None and processing.done():
                    if not processing.result():
                        return None
                    processing = None
                    self._heard_at = loop.time()
                if receiving is not None and receiving.done():
                    self._take(receiving.result())
                    receiving = None
        finally:
            stopping.cancel()
            if receiving is not None:
                receiving.cancel()
            if processing is not None and not processing.done():
                await asyncio.wait({processing})  # the batch under way is finished, whatever else happens

    def _take(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            raise Disconnected
        lines = self._splitter.feed(message.get("body", b""))
        if not message.get("more_body"):
            self._input_ended.set()
            lines += self._splitter.finish()
        now = asyncio.get_running_loop().time()
        self._unheard += len(message.get("body", b""))
        if lines or self._unheard >= _PART:
            self._heard_at, self._unheard = now, 0
        if lines and not self._pending:
            self._flush_at = now + self._how.limits.linger
        self._pending += lines
        self._pending_bytes += sum(len(line) for _, line in lines if isinstance(line, bytes))

    def _full(self) -> bool:
        limits = self._how.limits
        return len(self._pending) >= limits.batch_lines or self._pending_bytes >= limits.batch_bytes

    def _batch(self) -> list[Line]:
        batch: list[Line] = []
        size = 0
        while self._pending and len(batch) < self._how.limits.batch_lines and size < self._how.limits.batch_bytes:
            batch.append(self._pending.popleft())
            size += len(line) if isinstance(line := batch[-1][1], bytes) else 0
        self._pending_bytes -= size
        self._flush_at = 0.0  # what is left over has lingered already
        return batch

    def _next_line(self) -> int:
        return self._pending[0][0] if self._pending else self._splitter.number + 1

    async def _process(self, batch: list[Line]) -> bool:
        """Whether the import can go on."""
        try:
            await self._how.workers.run(self._in_thread, batch)
        except SpoolFull:
            self._abort(batch[0][0], Problem("unread"))
            return False
        except Exception as error:
            if not self._outcomes:
                raise
            self._abort(batch[0][0], self._how.problems.problem(error))
            return False
        self._outcomes = True
        self._to_send.set()
        return True

    def _in_thread(self, batch: list[Line]) -> None:
        outcomes = self._how.process(batch)
        if len(outcomes) != len(batch):
            raise RuntimeError(f"{len(batch)} lines gave {len(outcomes)} outcomes")
        failpoint("api.answer")
        self._spool.write(b"\n".join((*outcomes, b"")))

    def _abort(self, line: int, problem: Problem) -> None:
        if not self._outcomes:
            raise problem
        logger.warning("import aborted at line %d: %s", line, problem.kind)
        last = {"line": line, "outcome": "aborted", "problem": problem.document(self._path)}
        self._spool.write(orjson.dumps(last) + b"\n", beyond_limit=True)

    async def _write(self) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            ended = self._ended
            while data := await asyncio.to_thread(self._spool.read) if self._spool.on_disk else self._spool.read():
                if not self._begun:
                    await self._begin()
                try:
                    async with asyncio.timeout(_UNREAD_SECONDS):
                        await self._send({"type": "http.response.body", "body": data, "more_body": True})
                except TimeoutError:
                    raise Disconnected from None  # it is there, but it does not read
            if ended:
                return

    async def _begin(self) -> None:
        self._begun = True
        headers = [(b"content-type", b"application/x-ndjson"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _rest_of_input(self) -> None:
        """Takes and forgets what the client still sends; returns once it has gone, not before."""
        while (message := await self._receive())["type"] != "http.disconnect":
            if not message.get("more_body"):
                self._input_ended.set()

    async def _wait_for_input(self) -> None:
        await self._input_ended.wait()
