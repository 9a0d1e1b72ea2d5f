"""NDJSON in, NDJSON out, of any length, in constant memory: an ASGI handler that bypasses Flask, not security nor problems.

What a client sees:
- 200 and `application/x-ndjson`, one outcome line for each line that is not blank, in order, soon after the line came in;
- when it cannot go on, one last line `{"line": n, "outcome": "aborted", "problem": {…}}`: nothing from line n on has an outcome,
  and whether the lines of its batch were applied is not known, so send them again; an answer that ends without that line is complete;
- a problem with its own status instead of all that, when it fails before the first outcome.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass

from injector import Injector
from starlette.types import ASGIApp, Receive, Scope, Send

from common.errors import Unavailable
from common.security.current import principal
from common.web.exchange import STOPPING, Exchange, How, Limits, Process
from common.web.lines import Line, TooLong
from common.web.problems import Problem, ProblemTable
from common.web.spool import Spool
from common.web.threads import Workers

__all__ = ["CONTENT_TYPES", "PARAMETERS", "STOPPING", "Limits", "Line", "Stream", "TooLong", "header", "ndjson"]

PARAMETERS = "atrium.parameters"  # in the scope: the operation's parameters, read and validated
_headers: ContextVar[Mapping[bytes, bytes]] = ContextVar("headers")
CONTENT_TYPES = (
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/json-lines",
    "application/x-jsonlines",
)


@dataclass(frozen=True, slots=True)
class Stream:
    """An operation of the document that is served by an ASGI handler of its own: `path` as in the document (`/rooms/import`)."""

    method: str
    path: str
    handler: Callable[[Injector], ASGIApp]


def header(name: str) -> str | None:
    """That of the request whose lines are being processed; None where there is none. The operation's parameters have been validated."""
    value = _headers.get({}).get(name.lower().encode())
    return None if value is None else value.decode("latin-1")


def ndjson(
    process: Process,
    *,
    limits: Limits | None = None,
    workers: Workers | None = None,
    problems: ProblemTable | None = None,
    max_streams: int = 16,
) -> ASGIApp:
    """An ASGI handler that feeds the lines of the body to `process`, and streams what it returns.

    `process` gets up to `batch_lines` numbered lines, in order, in a worker thread with the request's ids, and returns one
    outcome (one line of JSON, without its end) for each; a line beyond `line` bytes comes as TooLong. What it raises ends the
    import (see above). More than `max_streams` at a time are refused with 503, and more than half of
    them of one subject: nobody can keep all others out.
    """
    how = How(process, limits or Limits(), workers or Workers("import", 2), problems or ProblemTable())
    running: Counter[str] = Counter()

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        _check_content(scope)
        owner = principal().owner  # "" is nobody in particular, on this machine alone
        if running.total() >= max_streams or (owner and running[owner] >= max_streams // 2):
            raise Unavailable("import", "too many imports are under way", 5)
        running[owner] += 1
        _headers.set(dict(scope["headers"]))
        spool = Spool(how.limits.spool)
        try:
            await Exchange(scope, receive, send, how, spool).run()
        finally:
            running[owner] -= 1
            spool.close()

    return handle


def _check_content(scope: Scope) -> None:
    headers = dict(scope["headers"])
    media, _, options = headers.get(b"content-type", b"").decode("latin-1").partition(";")
    encoding = headers.get(b"content-encoding", b"identity").decode("latin-1").strip().lower()
    if media.strip().lower() not in CONTENT_TYPES:
        detail = f"{media.strip()[:100]} is not accepted" if media.strip() else "The Content-Type header is missing"
        detail += f"; send {CONTENT_TYPES[0]}"
    elif "charset" in options.lower() and "utf-8" not in options.lower():
        detail = "The charset must be UTF-8"
    elif encoding != "identity":
        detail = f"The content encoding {encoding[:40]} is not accepted; send the lines uncompressed"
    else:
        return
    raise Problem("unsupported-media-type", detail, {"accepted": list(CONTENT_TYPES)}, (("Accept", ", ".join(CONTENT_TYPES)),))
