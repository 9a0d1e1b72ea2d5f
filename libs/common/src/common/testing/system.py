"""A whole Atrium as its users have it: each service in processes of its own, spoken to over HTTP, stopped or killed at will."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import IO, Any

import httpx

from common.testing.image_server import ImageServer, image_server
from common.testing.servers import Stack
from common.testing.waiting import eventually

#: The words of a command line: a service and its sub-command.
Command = tuple[str, ...]

#: The processes of each stack: one per service embedded, one per task on real servers; those of items where they are wanted.
EMBEDDED: tuple[Command, ...] = (("rooms", "all"), ("search", "all"))
REAL: tuple[Command, ...] = (("rooms", "api"), ("rooms", "relay"), ("search", "api"), ("search", "consumer"))
ITEMS_EMBEDDED: tuple[Command, ...] = (("items", "all"),)
ITEMS_REAL: tuple[Command, ...] = (
    ("rooms", "images"),
    ("items", "api"),
    ("items", "relay"),
    ("items", "consumer"),
    ("items", "images"),
)


@dataclass
class System:
    """The processes and how to reach them. `rooms`, `items` and `search` are HTTP clients of the three APIs."""

    environ: Mapping[str, str]
    commands: Sequence[Command]
    logs: Path
    rooms: httpx.Client
    items: httpx.Client
    search: httpx.Client
    pictures: ImageServer | None = None  # whose images are fetched, where somebody fetches images
    processes: dict[Command, subprocess.Popen[bytes]] = field(default_factory=dict)
    _files: list[IO[bytes]] = field(default_factory=list)

    def start(self, *commands: Command) -> None:
        """Starts these processes, or all, and waits until the APIs are ready."""
        for command in commands or self.commands:
            self.launch(command)
        self.wait_until_ready()

    def wait_until_ready(self) -> None:
        """Returns once the APIs are."""
        services = {command[0] for command in self.commands}
        for name, client in {"rooms": self.rooms, "items": self.items, "search": self.search}.items():
            if name not in services:
                continue
            eventually(lambda client=client: _ready(client), seconds=120)  # type: ignore[misc]

    def launch(self, command: Command, **settings: str) -> None:
        """Starts one process, with settings of its own, and waits for nothing. A third word tells a second one of its kind apart."""
        log = (self.logs / f"{'-'.join(command)}.log").open("ab")
        self._files.append(log)
        environ = {**self.environ, **settings}
        self.processes[command] = subprocess.Popen(
            [sys.executable, "-m", *command[:2]], env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )

    def end(self, number: signal.Signals, *commands: Command, seconds: float = 15) -> dict[Command, int]:
        """Sends a signal to these processes, or all, and answers their exit statuses.

        One that does not end within `seconds` fails the test, and its log shows where each of its threads stood.
        """
        chosen = commands or tuple(self.processes)
        for command in chosen:
            self.processes[command].send_signal(number)
        try:
            statuses = {command: self.processes[command].wait(seconds) for command in chosen}
        except subprocess.TimeoutExpired:
            for command in chosen:
                self.processes[command].send_signal(signal.SIGABRT)
                self.processes[command].wait()
            raise
        for command in chosen:  # only now: one that did not end is still to be killed with the system
            del self.processes[command]
        return statuses

    def client(self, service: str) -> httpx.Client:
        """That of the service of this name."""
        return {"rooms": self.rooms, "items": self.items, "search": self.search}[service]

    def found(self, **query: Any) -> dict[str, Any]:
        """The answer to a search for rooms."""
        answer = self.search.get("/v1.0/search/rooms", params=query)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def indexed(self, room_id: str) -> dict[str, Any] | None:
        """The indexed document of a room, None while search does not find it."""
        answer = self.search.get(f"/v1.0/search/rooms/{room_id}")
        assert answer.status_code in (200, 404), answer.text
        return answer.json() if answer.status_code == 200 else None

    def log(self) -> str:
        """What all processes have logged."""
        return "".join(path.read_text(errors="replace") for path in sorted(self.logs.glob("*.log")))


@contextmanager
def running(stack: Stack, directory: Path, *, real: bool, items: bool = False, **settings: str) -> Iterator[System]:
    """A migrated system on these backends, its processes started; they are ended with the block, whatever they are doing.

    Without `items` it does without that service and without pictures, and starts the sooner.
    """
    with image_server() as pictures:
        yield from _running(stack, directory, pictures, real=real, items=items, **settings)


def _running(
    stack: Stack, directory: Path, pictures: ImageServer, *, real: bool, items: bool, **settings: str
) -> Iterator[System]:
    ports = {name: free_port() for name in ("rooms", "items", "search")}
    environ = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")}
    environ |= {
        "DATA_DIR": str(directory / "data"),
        "ROOMS_DATABASE_URL": stack.database_url,
        "ITEMS_DATABASE_URL": stack.items_database_url,
        "BROKER_URL": stack.broker_url,
        "INDEX_URL": stack.index_url,
        **{f"{name.upper()}_PORT": str(port) for name, port in ports.items()},
        "IMAGES_ALLOW": pictures.address,
        "IMAGES_LEASE": "5",  # what a worker held that was killed is soon another's
        "LOG_FORMAT": "json",
        "PYTHONFAULTHANDLER": "1",  # SIGABRT shows all threads
        **settings,
    }
    for service in ("rooms", "items", "search") if items else ("rooms", "search"):
        subprocess.run([sys.executable, "-m", service, "migrate"], env=environ, check=True, stdin=subprocess.DEVNULL, timeout=60)
    logs = directory / "logs"
    logs.mkdir()
    with (
        httpx.Client(base_url=f"http://127.0.0.1:{ports['rooms']}", timeout=30) as rooms_client,
        httpx.Client(base_url=f"http://127.0.0.1:{ports['items']}", timeout=30) as items_client,
        httpx.Client(base_url=f"http://127.0.0.1:{ports['search']}", timeout=30) as search_client,
    ):
        commands = (REAL if real else EMBEDDED) + ((ITEMS_REAL if real else ITEMS_EMBEDDED) if items else ())
        system = System(environ, commands, logs, rooms_client, items_client, search_client, pictures if items else None)
        try:
            system.start()
            yield system
        finally:
            for process in system.processes.values():
                process.kill()
                process.wait()
            for file in system._files:
                file.close()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _ready(client: httpx.Client) -> bool:
    # Not by the client itself: its pool may let go of a connection that breaks under it without closing the socket.
    connection = HTTPConnection(client.base_url.host, client.base_url.port, timeout=10)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
