"""The ids of the work at hand: the request id, and W3C's traceparent (https://www.w3.org/TR/trace-context/).

They live in a context variable, so that handlers in threads, outbox rows and log lines see them without being handed them.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

# Version 00 has exactly these four fields; a later version may append more, of which we read the same four.
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.ASCII)
_REQUEST_ID = re.compile(r"[A-Za-z0-9._~:/+=@-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class TraceContext:
    """The ids of one piece of work. Both are empty outside any `bind`."""

    request_id: str = ""
    traceparent: str = ""

    @property
    def trace_id(self) -> str:
        """The 32 hexadecimal digits every hop of one trace shares; empty without a trace."""
        return self.traceparent[3:35]


_NONE = TraceContext()
_current: ContextVar[TraceContext] = ContextVar("trace_context", default=_NONE)


def current() -> TraceContext:
    """The ids of the work at hand. Safe from any thread that runs in a copy of the caller's context."""
    return _current.get()


def begin(request_id: str = "", traceparent: str = "") -> TraceContext:
    """Ids for new work that continues what the caller sent; whatever is missing or malformed is made anew.

    A continued trace keeps its trace id and flags and gets a span of our own.
    """
    found = _TRACEPARENT.fullmatch(traceparent)
    span = os.urandom(8).hex()
    if found and found[1] != "ff" and found[2].strip("0") and found[3].strip("0") and not (found[1] == "00" and found[5]):
        continued = f"00-{found[2]}-{span}-{found[4]}"
    else:
        continued = f"00-{os.urandom(16).hex()}-{span}-01"
    return TraceContext(request_id if _REQUEST_ID.fullmatch(request_id) else os.urandom(16).hex(), continued)


@contextmanager
def bind(request_id: str = "", traceparent: str = "") -> Iterator[TraceContext]:
    """Makes `begin(request_id, traceparent)` the current ids within the block, as a consumer does for each event."""
    context = begin(request_id, traceparent)
    token = _current.set(context)
    try:
        yield context
    finally:
        _current.reset(token)


def use(context: TraceContext) -> None:
    """Makes `context` current for the rest of this task or thread; for the outermost caller, which never goes back."""
    _current.set(context)
