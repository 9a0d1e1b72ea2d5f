"""What `common.web` costs: a toy service without a database, beside the same document and controller on connexion as it comes.

    python benchmarks/web.py [--seconds 3] [--rounds 3] [--connections 16]

One server process and one client process; the variants are measured in turn, several rounds, and the best round counts.
"""

import argparse
import asyncio
import multiprocessing
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

SPEC = """
openapi: 3.0.3
info: {title: Toys, version: "1.0"}
servers: [{url: /v1.0}]
paths:
  /toys:
    post:
      operationId: create_toy
      requestBody: {required: true, content: {application/json: {schema: {$ref: "#/components/schemas/Toy"}}}}
      responses: {"201": {description: Made, content: {application/json: {schema: {type: object}}}}}
  /toys/{toy_id}:
    parameters: [{name: toy_id, in: path, required: true, schema: {type: string, format: uuid}}]
    get:
      operationId: read_toy
      parameters: [{name: fields, in: query, schema: {type: integer, minimum: 1, maximum: 10, default: 1}}]
      responses: {"200": {description: The toy, content: {application/json: {schema: {type: object}}}}}
components:
  schemas:
    Toy:
      type: object
      additionalProperties: false
      required: [name, description, price, url, coordinates]
      properties:
        name: {type: string, minLength: 1, maxLength: 200}
        description: {type: string, maxLength: 10000}
        price: {type: integer, minimum: 0, maximum: 1000000000000}
        recurrency: {type: string, enum: [daily, weekly, monthly]}
        url: {type: string, maxLength: 2048}
        images: {type: array, maxItems: 50, items: {type: object, required: [url], properties: {url: {type: string}}}}
        coordinates:
          type: object
          required: [lat, lon]
          properties:
            lat: {type: number, minimum: -90, maximum: 90}
            lon: {type: number, minimum: -180, maximum: 180}
"""
TOY = {
    "name": "A bright room near the canal",
    "description": "Large windows, a desk, and a quiet courtyard. " * 6,
    "price": 540,
    "recurrency": "monthly",
    "url": "https://toys.example/listings/8471",
    "images": [{"url": f"https://toys.example/images/{number}.jpg"} for number in range(4)],
    "coordinates": {"lat": 52.4951, "lon": 13.4232},
}


class Toys:
    """The controller; what it does is next to nothing."""

    def create_toy(self, body: dict[str, Any]) -> Any:
        return body | {"id": str(uuid4()), "version": 1}, 201, {"ETag": '"1"', "Location": "/v1.0/toys/1"}

    def read_toy(self, toy_id: str, fields: int) -> Any:
        return TOY | {"id": toy_id, "version": fields}, 200, {"ETag": '"1"'}


def ours(port: int, spec: Path) -> None:
    import logging

    from common.observability import configure_logging
    from common.web.app import create_app
    from common.web.serve import HttpServer

    configure_logging("toys", "WARNING")
    app = create_app(name="toys", spec=spec, controller=Toys, modules=[])
    logging.getLogger("common.web.access").setLevel("WARNING")  # connexion as it comes has no access log of its own
    HttpServer(app, "127.0.0.1", port).run()


def connexion_as_it_comes(port: int, spec: Path) -> None:
    import connexion
    import uvicorn
    from connexion.resolver import Resolver

    app = connexion.FlaskApp(__name__, specification_dir=spec.parent)
    app.add_api(spec.name, resolver=Resolver(lambda name: getattr(Toys(), name)))
    uvicorn.run(app, port=port, log_level="warning", access_log=False)


VARIANTS = {"connexion": connexion_as_it_comes, "common.web": ours}


@contextmanager
def served(variant: str, spec: Path) -> Iterator[int]:
    """The variant in a process of its own, ready to answer; gives its port."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    process = multiprocessing.get_context("spawn").Process(target=VARIANTS[variant], args=(port, spec), daemon=True)
    process.start()
    try:
        wait_until_answering(port)
        yield port
    finally:
        process.terminate()
        process.join(15)


def wait_until_answering(port: int) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), 30) as client:
                client.sendall(request("GET"))
                if client.recv(12) == b"HTTP/1.1 200":
                    return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def request(method: str) -> bytes:
    import json

    if method == "GET":
        return f"GET /v1.0/toys/{uuid4()}?fields=2 HTTP/1.1\r\nHost: toys\r\nAccept: application/json\r\n\r\n".encode()
    body = json.dumps(TOY).encode()
    head = f"POST /v1.0/toys HTTP/1.1\r\nHost: toys\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def load(port: int, method: str, connections: int, seconds: float) -> float:
    """Requests per second over keep-alive connections, each sending its next request once it has its answer."""
    message, status = request(method), b" 200 " if method == "GET" else b" 201 "
    answered = 0
    until = time.monotonic() + seconds

    async def one() -> None:
        nonlocal answered
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while time.monotonic() < until:
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            if status not in head[:16]:
                raise RuntimeError(head.decode())
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            if length:
                await reader.readexactly(int(length))
            else:  # chunked
                while (size := int(await reader.readline(), 16)) or await reader.readline() != b"\r\n":
                    await reader.readexactly(size + 2)
            answered += 1
        writer.close()

    started = time.monotonic()
    await asyncio.gather(*(one() for _ in range(connections)))
    return answered / (time.monotonic() - started)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seconds", type=float, default=3)
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--connections", type=int, default=16)
    given = arguments.parse_args()
    best: dict[tuple[str, str], float] = {}
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "openapi.yaml"
        spec.write_text(SPEC)
        for number in range(given.rounds):
            for variant in VARIANTS:
                with served(variant, spec) as port:
                    for method in ("GET", "POST"):
                        rate = asyncio.run(load(port, method, given.connections, given.seconds))
                        best[variant, method] = max(rate, best.get((variant, method), 0))
                        print(f"round {number + 1}  {variant:<10} {method:<4} {rate:7.0f} req/s", flush=True)
    for method in ("GET", "POST"):
        slow, fast = best["connexion", method], best["common.web", method]
        print(f"{method:<4} connexion as it comes {slow:.0f}, common.web {fast:.0f} req/s: {fast / slow:.2f} times")


if __name__ == "__main__":
    main()
