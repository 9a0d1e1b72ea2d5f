"""The public keys of an issuer, as its JWKS lists them (RFC 7517): from a file or a URL, fetched off the event loop, kept and renewed."""

import json
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWTError

from common.asking import Asking, NoAnswer
from common.errors import Unavailable

log = logging.getLogger(__name__)

#: What a key may sign with, by `kty` and `crv`: asymmetric algorithms alone, so that no public key ever serves as a shared secret.
ALGORITHMS: Mapping[tuple[str, str | None], tuple[str, ...]] = {
    ("RSA", None): ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
_MIN_RSA = 2048  # bits
_MAX_BYTES, _MAX_KEYS = 1024 * 1024, 200
#: Seconds: how old keys become before they are fetched again; between two attempts; how long a fetch may take; and how long a request
#: whose key is known waits for a renewal.
REFRESH, PAUSE, TIMEOUT, PATIENCE = 300.0, 5.0, 3.0, 0.5


@dataclass(frozen=True, slots=True)
class Key:
    """A public key and the algorithms that it may be used with."""

    id: str
    algorithms: tuple[str, ...]
    public: Any


@dataclass(frozen=True, slots=True)
class _Known:
    at: float
    keys: tuple[Key, ...]


@dataclass
class Keys:
    """The keys at `place`, a path or an http(s) URL. For one event loop at a time."""

    place: str
    refresh: float = REFRESH
    pause: float = PAUSE
    clock: Callable[[], float] = time.monotonic
    _known: _Known | None = field(default=None, init=False)
    _tried_at: float | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self._asking = Asking("jwks", self._fetch)

    async def find(self, id: str | None) -> tuple[Key, ...]:
        """The keys of this id; all of them for a token that names none. Empty when the issuer has no such key.

        What is `refresh` seconds old is renewed, and so it is for an id that is not known, though not within `pause` seconds of the
        last attempt; those who wait share it. While the issuer does not answer, what is known remains. Raises Unavailable while
        nothing has ever been known.
        """
        if self._known is None:
            await self._renew(TIMEOUT)
        elif self.clock() - self._known.at >= self.refresh:
            await self._renew(PATIENCE)
        if not self._with(id):
            await self._renew(TIMEOUT)
        if self._known is None:
            raise Unavailable("the issuer of tokens", retry_after=max(1, round(self.pause)))
        return self._with(id)

    def _with(self, id: str | None) -> tuple[Key, ...]:
        known = () if self._known is None else self._known.keys
        return known if id is None else tuple(key for key in known if key.id == id)

    async def _renew(self, seconds: float) -> None:
        now = self.clock()
        if not self._asking.under_way:
            if self._tried_at is not None and now - self._tried_at < self.pause:
                return
            self._tried_at = now
        try:
            await self._asking.answer(seconds)
        except (OSError, httpx.HTTPError, ValueError, RecursionError, NoAnswer) as error:
            log.warning("the keys of the issuer could not be fetched: %s", error)

    def _fetch(self) -> None:
        """Whether anybody still waits or not: who comes next finds them."""
        keys = tuple(read_keys(self._read()))
        if not keys:
            raise ValueError("there is no key in them that can be used")
        self._known = _Known(self.clock(), keys)

    def _read(self) -> bytes:
        if not self.place.startswith(("http://", "https://")):
            with Path(self.place).open("rb") as file:
                return _bounded(iter(lambda: file.read(65536), b""))
        with httpx.stream(
            "GET", self.place, timeout=TIMEOUT, headers={"Accept": "application/jwk-set+json, application/json"}
        ) as answer:
            if answer.status_code != httpx.codes.OK:
                raise ValueError(f"status {answer.status_code}")
            return _bounded(answer.iter_bytes())


def _bounded(pieces: Iterator[bytes]) -> bytes:
    whole = bytearray()
    for piece in pieces:
        whole += piece
        if len(whole) > _MAX_BYTES:
            raise ValueError(f"they are more than {_MAX_BYTES} bytes")
    return bytes(whole)


def read_keys(jwks: bytes) -> Iterator[Key]:
    """Those of a JWKS that verify signatures; others, and whatever is no key, are passed over. Raises ValueError for what is no JWKS."""
    document = json.loads(jwks)
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        raise ValueError("they are no JWKS")
    for each in listed[:_MAX_KEYS]:
        if isinstance(each, dict) and (key := _key(each)) is not None:
            yield key


def _key(jwk: Mapping[str, Any]) -> Key | None:
    kind, curve, operations = jwk.get("kty"), jwk.get("crv"), jwk.get("key_ops", ["verify"])
    if not (isinstance(kind, str) and (curve is None or isinstance(curve, str)) and isinstance(operations, list)):
        return None
    allowed = ALGORITHMS.get((kind, curve), ())
    if "alg" in jwk:
        allowed = tuple(name for name in allowed if name == jwk["alg"])
    if not allowed or jwk.get("use", "sig") != "sig" or "verify" not in operations or "d" in jwk:
        return None  # a private key in a JWKS is known to everybody
    try:
        public = PyJWK(dict(jwk), allowed[0]).key
    except (PyJWTError, ValueError, TypeError):
        return None
    if isinstance(public, RSAPublicKey) and public.key_size < _MIN_RSA:
        return None
    id = jwk.get("kid", "")
    return Key(id if isinstance(id, str) else "", allowed, public)
