"""`/images/{name}`: the copies of images, or what there is to say of one that is not there."""

import asyncio
import hashlib
import logging

from starlette.types import ASGIApp, Receive, Scope, Send

from common.errors import Unavailable
from common.images.names import key_of
from common.images.store import Store
from common.images.table import FAILED, PENDING, Images
from common.web.bridge import Disconnected
from common.web.download import ABORT
from common.web.problems import Problem
from common.web.threads import Workers

log = logging.getLogger(__name__)

PATH = "/images/{name}"
#: Seconds after which to ask again; that a client may take to read; and bytes that all of them together may leave unread.
RETRY_AFTER, UNREAD, BUDGET = 5, 60.0, 128 * 1024 * 1024
_HEADERS = [
    (b"content-type", b"image/jpeg"),
    (b"cache-control", b"public, max-age=31536000, immutable"),
    # Should a browser ever be talked into taking it for a page, it is one that may do nothing. Other sites may show it.
    (b"content-security-policy", b"default-src 'none'; sandbox"),
    (b"cross-origin-resource-policy", b"cross-origin"),
]


def images_page(images: Images, store: Store, workers: Workers | None = None) -> ASGIApp:
    """The ASGI handler of PATH. Threads are held while database and store answer, never while a client reads."""
    workers = workers or Workers("images", 8)
    unread = 0

    def find(name: str) -> bytes:
        key = key_of(name)
        known = images.find(key) if key is not None else None
        if known is None:
            raise Problem("not-found", "No listing here has ever named this image")
        if known.state == PENDING:
            extensions = {"reason": known.reason} if known.reason else {}
            headers = (("Retry-After", str(RETRY_AFTER)), ("Cache-Control", "no-store"))
            raise Problem("not-found", "The image has not been fetched yet", extensions, headers)
        if known.state == FAILED:
            raise Problem("gone", known.detail, {"reason": known.reason}, (("Cache-Control", "max-age=300"),))
        data = store.get(name)
        if data is None:
            raise Unavailable("the image store", f"{name} is missing, which it was given", 60)
        return data

    async def handle(scope: Scope, _receive: Receive, send: Send) -> None:
        nonlocal unread
        if unread > BUDGET:
            raise Unavailable("this service", "too many images are being read", 5)
        data = await workers.run(find, scope["path_params"]["name"])
        etag = f'"{hashlib.sha256(data).hexdigest()[:32]}"'.encode()
        same = any(etag in value or value == b"*" for name, value in scope["headers"] if name == b"if-none-match")
        headers = [*_HEADERS, (b"etag", etag)]
        if not same:
            headers.append((b"content-length", str(len(data)).encode()))
        body = b"" if same or scope["method"] == "HEAD" else data
        unread += len(body)
        try:
            async with asyncio.timeout(UNREAD):
                await send({"type": "http.response.start", "status": 304 if same else 200, "headers": headers})
                await send({"type": "http.response.body", "body": body})
        except TimeoutError:
            if ABORT in scope:
                scope[ABORT]()
            raise Disconnected from None
        finally:
            unread -= len(body)

    return handle
