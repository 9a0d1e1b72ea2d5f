"""Fetches what a stranger named, and nothing that a stranger must not reach: public addresses only, within limits.

A name is resolved once, all that it resolves to is looked at, and the connection goes to just that: a name that resolves anew gains
nothing. Redirects are followed by hand, each looked at like the first url. Proxies of the environment are ignored.
"""

import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpcore
import httpx

from common.images.addresses import Allowed, is_public
from common.images.connection import Patience, Pinned, Resolve, TooSlow, resolve, resolved
from common.images.reasons import NotAvailable

_HEADERS: dict[bytes | str, bytes | str] = {
    "Accept": "image/jpeg, image/png, image/webp, image/gif, image/avif",
    "User-Agent": "atrium-images/1",
}
#: Statuses below 500 after which asking again may help: timeout, too early, too many requests.
_PASSING = {408, 425, 429}


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds for all of it, from the first name to the last byte; bytes of the image; redirects."""

    seconds: float = 20.0
    size: int = 10 * 1024 * 1024
    redirects: int = 5


@dataclass(frozen=True)
class Fetcher:
    """Safe to share between threads."""

    allowed: Allowed = field(default_factory=Allowed)
    limits: Limits = Limits()
    resolve: Resolve = resolve
    tls: ssl.SSLContext = field(default_factory=lambda: httpx.create_ssl_context(trust_env=False))

    def __call__(self, url: str, stop: threading.Event) -> bytes:
        """The bytes of an image, or of what claims to be one. Raises NotAvailable, and Stopped once `stop` is set."""
        patience = Patience(self.limits.seconds, stop)
        target = _parsed(url)
        try:
            for _ in range(self.limits.redirects + 1):
                with self._answer(target, patience) as answer:
                    if answer.status not in (301, 302, 303, 307, 308):
                        return self._body(answer)
                    target = _parsed(_header(answer, b"location"), target)
        except (TooSlow, httpcore.TimeoutException):
            raise NotAvailable("too-slow") from None
        except (httpcore.ConnectError, httpcore.UnsupportedProtocol):
            raise NotAvailable("unreachable") from None
        except (httpcore.NetworkError, httpcore.ProtocolError):
            raise NotAvailable("broken") from None
        raise NotAvailable("redirects", f"At most {self.limits.redirects} are followed.")

    @contextmanager
    def _answer(self, url: httpx.URL, patience: Patience) -> Iterator[httpcore.Response]:
        host, port = url.raw_host.decode("ascii"), url.port or {"http": 80, "https": 443}[url.scheme]
        addresses = self._addresses(host, port, patience)
        origin = httpcore.Origin(url.raw_scheme, url.raw_host, port)
        headers: dict[bytes | str, bytes | str] = {
            **_HEADERS,
            "Host": url.netloc.decode("ascii"),
            "Accept-Encoding": "identity",
            "Connection": "close",
        }
        backend = Pinned(addresses, patience)
        with (
            httpcore.HTTPConnection(origin, self.tls, network_backend=backend) as connection,
            connection.stream("GET", _target(url, port), headers=headers) as answer,
        ):
            backend.answered()
            yield answer

    def _addresses(self, host: str, port: int, patience: Patience) -> list[str]:
        try:
            found = list(resolved(host, port, patience, self.resolve))
        except OSError:
            raise NotAvailable("unknown-host") from None
        if not self.allowed(host, port):
            for address in found:
                if not is_public(address) and not self.allowed(address, port):
                    raise NotAvailable("forbidden-address")
        return found

    def _body(self, answer: httpcore.Response) -> bytes:
        if answer.status != 200:
            passing = answer.status >= 500 or answer.status in _PASSING
            raise NotAvailable("server-error" if passing else "refused", f"It answers with status {answer.status}.")
        if _header(answer, b"content-encoding").lower() not in ("", "identity"):
            raise NotAvailable("encoded")
        too_large = NotAvailable("too-large", f"At most {self.limits.size} are taken.")
        length = _header(answer, b"content-length")
        if length.isdigit() and int(length[:18]) > self.limits.size:
            raise too_large
        body = bytearray()
        for piece in answer.iter_stream():
            body += piece
            if len(body) > self.limits.size:
                raise too_large
        return bytes(body)


def _parsed(text: str, base: httpx.URL | None = None) -> httpx.URL:
    """Raises NotAvailable for what is no url of an image, or of no host that could be on the internet."""
    try:
        url = httpx.URL(text) if base is None else base.join(text)
    except (httpx.InvalidURL, ValueError):
        raise NotAvailable("wrong-url") from None
    if url.scheme not in ("http", "https") or not url.raw_host or url.userinfo or not 1 <= (url.port or 80) <= 65535:
        raise NotAvailable("wrong-url")
    return url


def _target(url: httpx.URL, port: int) -> httpcore.URL:
    return httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=port, target=url.raw_path)


def _header(answer: httpcore.Response, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in answer.headers if key.lower() == name), "")
