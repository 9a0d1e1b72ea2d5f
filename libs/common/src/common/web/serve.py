"""Serves an application over HTTP: uvicorn, set up so that a process can run it beside its other threads, and stop it."""

import contextlib
import errno
import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from common.errors import WrongSetting
from common.web.app import Application

STOP_SECONDS = 5.0


class HttpServer:
    """One application on one port, which is taken when the server is made.

    `run` blocks; `stop` may be called from any thread and from a signal handler, also before `run`. Signals are the caller's.
    """

    def __init__(
        self, app: Application, host: str, port: int, *, setting: str = "PORT", stop_seconds: float = STOP_SECONDS
    ) -> None:
        """Port 0 takes any free one. Raises WrongSetting, which names `setting`, when the port cannot be had."""
        self._socket = _bound(host, port, setting)
        self.host = host
        self.port: int = self._socket.getsockname()[1]
        config = uvicorn.Config(
            app,
            loop="auto",
            http=_protocol(),
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=stop_seconds,  # type: ignore[arg-type]  # an int by its annotation; it is handed to wait_for
        )
        self._server = _Server(config, app)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def started(self) -> bool:
        """Whether requests are being answered."""
        return self._server.started

    def run(self) -> None:
        """Serves until `stop`; then requests under way get up to `stop_seconds`, idle connections none."""
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._socket.close()

    def stop(self) -> None:
        """Makes `run` return soon."""
        self._server.should_exit = True


def serve(app: Application, host: str, port: int, *, setting: str = "PORT", stop_seconds: float = STOP_SECONDS) -> HttpServer:
    """Takes the port and gives the server to run. Raises WrongSetting when it is taken."""
    return HttpServer(app, host, port, setting=setting, stop_seconds=stop_seconds)


@contextmanager
def running(app: Application, host: str = "127.0.0.1", port: int = 0) -> Iterator[HttpServer]:
    """The application over real HTTP, in a thread, for as long as the block lasts."""
    server = HttpServer(app, host, port)
    thread = threading.Thread(target=server.run, name="http", daemon=True)
    thread.start()
    try:
        yield server  # the port listens already: a client that comes early waits in the backlog
    finally:
        server.stop()
        thread.join(STOP_SECONDS + 2)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: Application) -> None:
        super().__init__(config)
        self._app = app

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield  # uvicorn would take them over and raise them again at its end

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._app.stop()
        await super().shutdown(sockets)


def _protocol() -> Any:
    try:
        from common.web.connection import Connection  # needs httptools, which Windows has not
    except ImportError:
        return "auto"
    return Connection


def _bound(host: str, port: int, setting: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(2048)
        listener.setblocking(False)
    except (OSError, OverflowError) as error:
        listener.close()
        taken = isinstance(error, OSError) and error.errno == errno.EADDRINUSE
        raise WrongSetting(
            setting, f"port {port} on {host} is taken" if taken else f"cannot listen on {host}:{port}: {error}"
        ) from None
    return listener
