"""Requests that wait until what they name is searchable: on the event loop, and all of them behind one look at a time."""

import asyncio
import contextvars
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from starlette.types import Receive, Scope

from common.web.bridge import ANSWER_HEADERS, Disconnected
from common.web.consistency import HEADER, PENDING, Token, asked_for, preferred_wait
from common.web.exchange import STOPPING
from common.web.threads import Workers

#: The versions that searches see now, by id, without those that nobody knows. Raises Unavailable.
Versions = Callable[[Sequence[str]], Mapping[str, int]]

#: Seconds between two looks; seconds that a request which does not want to wait gives the look; requests that wait at a time.
LOOK, PATIENCE, MAX_WAITING = 0.05, 1.0, 500


@dataclass(frozen=True, slots=True)
class Consistency:
    """The operations, by operationId, that take `Atrium-Consistency`, and who knows the versions of each kind in it."""

    operations: frozenset[str]
    versions: Mapping[str, Versions]


@dataclass(eq=False, slots=True)
class _Waiter:
    pending: tuple[Token, ...]
    once: bool  # the next look is its last
    done: "asyncio.Future[None]"


class Waits:
    """Lets requests wait. None of them holds a thread: one thread looks for all, every LOOK seconds while anyone waits."""

    def __init__(self, consistency: Consistency) -> None:
        self._consistency = consistency
        self._waiters: set[_Waiter] = set()
        self._thread = Workers("consistency", 1)
        self._looking: asyncio.Task[None] | None = None

    def __contains__(self, operation: str) -> bool:
        return operation in self._consistency.operations

    async def wait(self, scope: Scope, receive: Receive) -> None:
        """Returns once all that the request names is searchable, its time is over, or the server stops; to be called behind its body.

        Notes in the scope what is still pending then; nothing where the request names nothing. One too many does not wait: all that it
        names counts as pending. Raises Invalid for a malformed header, Disconnected when the client goes, and what a look raises.
        """
        sent = _sent(scope, HEADER)
        if sent is None:
            return
        scope[PENDING] = asked_for(sent, self._consistency.versions)
        if len(self._waiters) >= MAX_WAITING:
            return
        seconds = preferred_wait(_sent(scope, "Prefer") or "")
        if seconds is not None:
            scope[ANSWER_HEADERS].append((b"preference-applied", f"wait={seconds}".encode()))
        waiter = _Waiter(scope[PENDING], not seconds, asyncio.get_running_loop().create_future())
        self._waiters.add(waiter)
        try:
            self._look()
            await _first_of(waiter.done, scope, receive, seconds or PATIENCE)
        finally:
            self._waiters.discard(waiter)
            if not waiter.done.cancel():
                waiter.done.exception()  # asked for, or asyncio complains when the client has gone as well
        scope[PENDING] = waiter.pending

    def _look(self) -> None:
        """Sees to it that somebody looks, and stands in no request's context."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._look_for_all(), context=contextvars.Context())

    async def _look_for_all(self) -> None:
        while self._waiters:
            waiting = list(self._waiters)
            try:
                seen = await self._thread.run(self._seen, {token for waiter in waiting for token in waiter.pending})
            except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to those who wait
                for waiter in waiting:
                    if not waiter.done.done():
                        waiter.done.set_exception(error)
            else:
                for waiter in waiting:
                    waiter.pending = tuple(each for each in waiter.pending if seen.get((each.kind, each.id), 0) < each.version)
                    if (waiter.once or not waiter.pending) and not waiter.done.done():
                        waiter.done.set_result(None)
            await asyncio.sleep(LOOK)

    def _seen(self, tokens: Iterable[Token]) -> dict[tuple[str, str], int]:
        ids: defaultdict[str, set[str]] = defaultdict(set)
        for token in tokens:
            ids[token.kind].add(token.id)
        found = {kind: self._consistency.versions[kind](sorted(some)) for kind, some in ids.items()}
        return {(kind, id): version for kind, versions in found.items() for id, version in versions.items()}


async def _first_of(done: "asyncio.Future[None]", scope: Scope, receive: Receive, seconds: float) -> None:
    """Waits for `done` (and raises what it holds), the client's going (raises Disconnected), the server's stop, or the time's end."""
    gone = asyncio.ensure_future(_gone(receive))
    stopping = asyncio.ensure_future(scope[STOPPING].wait())
    try:
        await asyncio.wait({done, gone, stopping}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        gone.cancel()
        stopping.cancel()
    if gone.done() and not gone.cancelled():
        raise Disconnected
    if done.done():
        done.result()


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _sent(scope: Scope, name: str) -> str | None:
    """A request's header, its lines joined (RFC 9110, section 5.2)."""
    wanted = name.lower().encode()
    values = [value.decode("latin-1") for key, value in scope["headers"] if key == wanted]
    return ", ".join(values) if values else None
