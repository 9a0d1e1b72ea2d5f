"""An application as a server runs it: the life of its process around the front that answers its requests."""

import asyncio

from starlette.types import ASGIApp, Receive, Scope, Send

from common.web.exchange import STOPPING


class Served:
    """The outermost ASGI application. May be run again after it has stopped."""

    def __init__(self, front: ASGIApp) -> None:
        self._front = front
        self._stopping: asyncio.Event | None = None  # one per run: an event belongs to one loop

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._stopping = self._stopping or asyncio.Event()
            scope[STOPPING] = self._stopping
            await self._front(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    def stop(self) -> None:
        """Tells streams to end after the batch under way. From the loop's thread; `serve` does it when it stops."""
        if self._stopping is not None:
            self._stopping.set()

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._stopping = asyncio.Event()
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                self.stop()
                await send({"type": "lifespan.shutdown.complete"})
                return
