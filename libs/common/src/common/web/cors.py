"""Cross-origin requests, from an allow list; by default none are allowed."""

from collections.abc import Iterable

from starlette.types import Scope

# What a page may read and send beyond the few headers browsers allow anyway.
_EXPOSED = b"Atrium-Consistency, ETag, Link, Location, Preference-Applied, Retry-After, WWW-Authenticate, X-Request-Id"
_ALLOWED = b"Atrium-Consistency, Authorization, Content-Type, If-Match, If-None-Match, Idempotency-Key, Prefer, Traceparent, X-Request-Id"
_SECONDS = b"600"


class Cors:
    """The headers for a page from one of `origins` (scheme://host[:port]); `*` allows every page, without credentials."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.rstrip("/").encode() for origin in origins)
        self._any = b"*" in self._origins

    def headers(self, origin: bytes) -> list[tuple[bytes, bytes]]:
        """What an answer to a page from `origin` carries. `Vary` is there as soon as the answer depends on the origin."""
        if not self._origins:
            return []
        vary = [] if self._any else [(b"vary", b"Origin")]
        if not self._allows(origin):
            return vary
        return [
            *vary,
            (b"access-control-allow-origin", b"*" if self._any else origin),
            (b"access-control-expose-headers", _EXPOSED),
        ]

    def preflight(self, scope: Scope, allow: str) -> list[tuple[bytes, bytes]]:
        """What the answer to OPTIONS carries besides `headers`, when it is a preflight from an allowed page."""
        sent = dict(scope["headers"])
        if b"access-control-request-method" not in sent or not self._allows(sent.get(b"origin", b"")):
            return []
        return [
            (b"access-control-allow-methods", allow.encode()),
            (b"access-control-allow-headers", _ALLOWED),
            (b"access-control-max-age", _SECONDS),
        ]

    def _allows(self, origin: bytes) -> bool:
        return bool(origin) and (self._any or origin in self._origins)
