"""Asking a neighbour from the event loop: off the loop, for a limited time, and never twice at once."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar, cast

T = TypeVar("T")
#: What it answered or what it raised; an exception of its own would be complained of where nobody waits any more.
_Outcome = tuple[T | None, Exception | None]


class NoAnswer(Exception):
    """It did not answer in time."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"no answer within {seconds:g} seconds")


class Asking(Generic[T]):
    """Runs one question in a thread; callers that come meanwhile share its answer, so that one that hangs holds one thread only."""

    def __init__(self, name: str, question: Callable[[], T]) -> None:
        self._name, self._question = name, question
        self._running: asyncio.Future[_Outcome[T]] | None = None

    @property
    def under_way(self) -> bool:
        """Whether the question has been asked and not been answered."""
        return self._running is not None and not self._running.done()

    async def answer(self, seconds: float) -> T:
        """Raises what the question raises, and NoAnswer after `seconds`."""
        loop = asyncio.get_running_loop()
        running = self._running
        # A future of another loop is from a server that has ended.
        if running is None or running.done() or running.get_loop() is not loop:
            running = self._running = loop.create_future()
            threading.Thread(target=self._run, args=(loop, running), name=f"ask-{self._name}", daemon=True).start()
        done, _ = await asyncio.wait({running}, timeout=seconds)
        if not done:
            raise NoAnswer(seconds)
        value, error = running.result()
        if error is not None:
            raise error
        return cast(T, value)

    def _run(self, loop: asyncio.AbstractEventLoop, future: "asyncio.Future[_Outcome[T]]") -> None:
        value = error = None
        try:
            value = self._question()
        except Exception as raised:  # noqa: BLE001 - whatever it is, it belongs to the callers
            error = raised
        with contextlib.suppress(RuntimeError):  # the loop may have ended meanwhile
            loop.call_soon_threadsafe(future.set_result, (value, error))
