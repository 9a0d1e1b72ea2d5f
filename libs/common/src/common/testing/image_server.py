"""A server of images on this machine, most of them not what they should be: what a worker that fetches for strangers may meet."""

import contextlib
import gzip
import ssl
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from PIL import Image

#: What the stream would come to if somebody took it all, and how much of it is sent at a time; bytes.
STREAM, PIECE = 10 * 1024**3, 64 * 1024


def jpeg(width: int = 640, height: int = 480, colour: str = "teal", **options: Any) -> bytes:
    """A good one. `options` are Pillow's, as `exif=`."""
    file = BytesIO()
    Image.new("RGB", (width, height), colour).save(file, "JPEG", **options)
    return file.getvalue()


@cache
def pixel_bomb(side: int = 20_000) -> bytes:
    """A whole PNG of a few kilobytes that decodes to `side` * `side` pixels."""
    packer, row = zlib.compressobj(9), bytes(1 + (side + 7) // 8)
    data = b"".join([*(packer.compress(row * 100) for _ in range(side // 100)), packer.flush()])

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def scan_bomb(scans: int, side: int = 64) -> bytes:
    """A progressive JPEG whose last pass comes so many times more: a few dozen bytes each, whatever its `side`."""
    *_, last = (whole := jpeg(side, side, progressive=True)[:-2]).split(b"\xff\xda")
    return whole + (b"\xff\xda" + last) * scans + b"\xff\xd9"


@dataclass
class ImageServer:
    """`asked` counts requests by path. `ended` releases whoever is made to wait."""

    port: int = 0
    asked: Counter[str] = field(default_factory=Counter)
    ended: threading.Event = field(default_factory=threading.Event)

    @property
    def address(self) -> str:
        """For IMAGES_ALLOW."""
        return f"127.0.0.1:{self.port}"

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def redirect(self, to: str) -> str:
        """The url of something that redirects to `to`."""
        return self.url(f"/redirect.jpg?to={quote(to, safe='')}")


@contextmanager
def image_server(tls: ssl.SSLContext | None = None) -> Iterator[ImageServer]:
    """One on a free port of loopback, over TLS if asked to. Its paths are those of the table below; `/good…` is anything that starts so."""
    served = ImageServer()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            served.asked[path] += 1
            with contextlib.suppress(OSError):  # they hang up on us, and rightly so
                (_good if path.startswith("/good") else _PATHS.get(path, _missing))(self, served)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads, server.block_on_close = True, False
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    served.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, name="image-server", daemon=True)
    thread.start()
    try:
        yield served
    finally:
        served.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


Answer = Callable[[BaseHTTPRequestHandler, ImageServer], None]


def _send(handler: BaseHTTPRequestHandler, body: bytes, type: str = "image/jpeg", status: int = 200, **headers: str) -> None:
    handler.send_response(status)
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    for name, value in ({"Content-Type": type, "Content-Length": str(len(body))} | more).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(body)


def _good(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    _send(handler, jpeg())


def _missing(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    _send(handler, b"not here", "text/plain", 404)


def _failing(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    _send(handler, b"trouble", "text/plain", 500)


def _failing_once(handler: BaseHTTPRequestHandler, server: ImageServer) -> None:
    (_failing if server.asked[urlsplit(handler.path).path] == 1 else _good)(handler, server)


def _stream(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    handler.send_response(200)
    handler.send_header("Content-Type", "image/jpeg")
    handler.end_headers()
    handler.wfile.write(jpeg())
    for _piece in range(STREAM // PIECE):
        handler.wfile.write(bytes(PIECE))


def _said_to_be_large(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    _send(handler, jpeg(), Content_Length=str(STREAM))


def _bomb(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    _send(handler, pixel_bomb(), "image/png")


def _scans(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    _send(handler, scan_bomb(100_000))


def _gzip_bomb(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    _send(handler, gzip.compress(bytes(64 * 1024**2)), Content_Encoding="gzip")


def _html(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    _send(handler, b"<!doctype html><script>alert(1)</script>")


def _silent(_: BaseHTTPRequestHandler, server: ImageServer) -> None:
    server.ended.wait()


def _drip(handler: BaseHTTPRequestHandler, server: ImageServer) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while not server.ended.wait(0.05):
        handler.wfile.write(b"\xff")


def _truncated(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    _send(handler, jpeg()[:-900])


def _short(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    _send(handler, jpeg(), Content_Length=str(len(jpeg()) + 1000))


def _headers(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    for number in range(1_000_000):
        handler.wfile.write(b"X-%d: %s\r\n" % (number, b"x" * 1000))


def _preliminary(handler: BaseHTTPRequestHandler, server: ImageServer) -> None:
    """One answer that says nothing yet after the other."""
    with contextlib.suppress(OSError):
        while not server.ended.is_set():
            handler.wfile.write(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)


def _no_http(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    handler.wfile.write(jpeg())


def _redirect(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    _send(handler, b"", status=302, Location=parse_qs(urlsplit(handler.path).query)["to"][0])


def _loop(handler: BaseHTTPRequestHandler, _: ImageServer) -> None:
    _send(handler, b"", status=301, Location="/loop.jpg")


_PATHS: dict[str, Answer] = {
    "/stream.jpg": _stream,
    "/said-to-be-large.jpg": _said_to_be_large,
    "/bomb.png": _bomb,
    "/scans.jpg": _scans,
    "/gzip.jpg": _gzip_bomb,
    "/html.jpg": _html,
    "/silent.jpg": _silent,
    "/drip.jpg": _drip,
    "/truncated.jpg": _truncated,
    "/short.jpg": _short,
    "/headers.jpg": _headers,
    "/no-http.jpg": _no_http,
    "/preliminary.jpg": _preliminary,
    "/redirect.jpg": _redirect,
    "/loop.jpg": _loop,
    "/failing.jpg": _failing,
    "/failing-once.jpg": _failing_once,
}
