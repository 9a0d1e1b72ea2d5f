"""Threads that run a service's synchronous code for the event loop.

Unlike a ThreadPoolExecutor they are daemons (one that hangs does not keep the process from ending) and an answer costs one
crossing back into the loop.
"""

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

from common.errors import Unavailable

T = TypeVar("T")


class Workers:
    """`count` threads, started with the first call; at most `limit` calls are under way or waiting."""

    def __init__(self, name: str, count: int, limit: int = 1000) -> None:
        self._name = name
        self._count = count
        self._limit = limit
        self._waiting = 0  # touched by the loop's thread only
        self._started = False
        self._jobs: SimpleQueue[tuple[Any, ...]] = SimpleQueue()

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """Calls the function in a thread, in a copy of this task's context. Raises what it raises; Unavailable when overloaded."""
        if self._waiting >= self._limit:
            raise Unavailable("this service", "too many requests are waiting")
        if not self._started:
            self._started = True
            for number in range(self._count):
                threading.Thread(target=self._work, name=f"{self._name}-{number}", daemon=True).start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._waiting += 1
        self._jobs.put((loop, future, contextvars.copy_context(), function, args))
        return await future

    def _work(self) -> None:
        while True:
            loop, future, context, function, args = self._jobs.get()
            value = error = None
            try:
                value = context.run(function, *args)
            except BaseException as raised:  # noqa: BLE001 - whatever it is, it belongs to the caller
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop may have ended, and with it whoever waited
                loop.call_soon_threadsafe(self._settle, future, value, error)
            del loop, future, context, function, args, value, error

    def _settle(self, future: "asyncio.Future[Any]", value: Any, error: BaseException | None) -> None:
        self._waiting -= 1
        if future.done():  # the caller was cancelled and has gone
            return
        if error is None:
            future.set_result(value)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            future.set_exception(error)
        else:  # SystemExit and its like would end the loop, and a future refuses to carry StopIteration
            wrapped = RuntimeError(f"a handler raised {type(error).__name__}")
            wrapped.__cause__ = error
            future.set_exception(wrapped)
