"""Health: /livez says that the process answers, /readyz that it can serve, /health-check how each neighbour is."""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Check:
    """A neighbour this service needs.

    `probe` returns when it answers and raises when it does not; it is called from a thread of its own, never twice at a time.
    """

    name: str
    probe: Callable[[], None]
    required: bool = True


class Health:
    """The three pages. Probes run concurrently, off the loop; who does not answer within PROBE_SECONDS is down."""

    def __init__(self, service: str, version: str, checks: Sequence[Check]) -> None:
        self._service = service
        self._version = version
        self._probes = [_Probe(check) for check in checks]

    async def live(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await _answer(send, 200, {"status": "ok", "service": self._service, "version": self._version})

    async def ready(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        reports = await asyncio.gather(*(probe.report() for probe in self._probes if probe.check.required))
        ready = all(status == "ok" for _, status, _ in reports)
        await _answer(send, 200 if ready else 503, {"status": "ok" if ready else "down", "service": self._service})

    async def check(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        reports = await asyncio.gather(*(probe.report() for probe in self._probes))
        down = {check.name for check, status, _ in reports if status != "ok"}
        required = {probe.check.name for probe in self._probes if probe.check.required}
        status = "down" if down & required else "degraded" if down else "ok"
        document = {
            "status": status,
            "service": self._service,
            "version": self._version,
            "checks": {check.name: {"status": status, "detail": detail} for check, status, detail in reports},
        }
        await _answer(send, 503 if status == "down" else 200, document)


class _Probe:
    """Runs one check; callers that come while it runs share its result, so that one that hangs holds one thread only."""

    def __init__(self, check: Check) -> None:
        self.check = check
        self._running: asyncio.Future[str] | None = None

    async def report(self) -> tuple[Check, str, str]:
        loop = asyncio.get_running_loop()
        running = self._running
        # A future of another loop is from a server that has ended.
        if running is None or running.done() or running.get_loop() is not loop:
            running = self._running = loop.create_future()
            threading.Thread(target=self._run, args=(loop, running), name=f"check-{self.check.name}", daemon=True).start()
        done, _ = await asyncio.wait({running}, timeout=PROBE_SECONDS)
        if not done:
            return self.check, "down", f"no answer within {PROBE_SECONDS:g} seconds"
        problem = running.result()
        return self.check, "down" if problem else "ok", problem

    def _run(self, loop: asyncio.AbstractEventLoop, future: "asyncio.Future[str]") -> None:
        try:
            self.check.probe()
            problem = ""
        except Exception as error:  # noqa: BLE001 - whatever it raises, the neighbour is not well
            # The first line only: drivers append pages, and this is read by people.
            problem = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
            loop.call_soon_threadsafe(future.set_result, problem)


async def _answer(send: Send, status: int, document: dict[str, Any]) -> None:
    body = orjson.dumps(document)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
