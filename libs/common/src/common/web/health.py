"""Health: /livez says that the process answers, /readyz that it can serve, /health-check how each neighbour is."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.types import Receive, Scope, Send

from common.asking import Asking

PROBE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Report:
    """How a neighbour is: figures to show, and what is wrong with it although it answers."""

    figures: Mapping[str, Any] = field(default_factory=dict)
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A neighbour this service needs.

    `probe` returns when it answers and raises when it does not; it is called from a thread of its own, never twice at a time.
    """

    name: str
    probe: Callable[[], Report | None]
    required: bool = True


class Health:
    """The three pages. Probes run concurrently, off the loop; who does not answer within PROBE_SECONDS is down."""

    def __init__(self, service: str, version: str, checks: Sequence[Check]) -> None:
        self._service = service
        self._version = version
        self._checks = [(check, Asking(check.name, check.probe)) for check in checks]

    async def live(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        await _answer(send, 200, {"status": "ok", "service": self._service, "version": self._version})

    async def ready(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        reports = await asyncio.gather(*(_asked(asking) for check, asking in self._checks if check.required))
        ready = all(report["status"] != "down" for report in reports)
        await _answer(send, 200 if ready else 503, {"status": "ok" if ready else "down", "service": self._service})

    async def check(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        reports = await asyncio.gather(*(_asked(asking) for _, asking in self._checks))
        checks = {check.name: report for (check, _), report in zip(self._checks, reports, strict=True)}
        down = any(checks[check.name]["status"] == "down" for check, _ in self._checks if check.required)
        well = all(report["status"] == "ok" for report in reports)
        status = "down" if down else "ok" if well else "degraded"
        document = {"status": status, "service": self._service, "version": self._version, "checks": checks}
        await _answer(send, 503 if down else 200, document)


async def _asked(asking: Asking[Report | None]) -> dict[str, Any]:
    try:
        report = await asking.answer(PROBE_SECONDS) or Report()
    except Exception as error:  # noqa: BLE001 - whatever it raises, the neighbour is not well
        # The first line only: drivers append pages, and this is read by people.
        return {"status": "down", "detail": (str(error).strip() or type(error).__name__).splitlines()[0][:200]}
    return {"status": "degraded" if report.problem else "ok", "detail": report.problem, **report.figures}


async def _answer(send: Send, status: int, document: dict[str, Any]) -> None:
    body = orjson.dumps(document)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
