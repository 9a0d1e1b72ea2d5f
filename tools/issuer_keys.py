"""The keys of the development issuer, in a file: the first signs, and all of them are listed. Never of any use outside this machine."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from jwt.algorithms import ECAlgorithm

_KEPT = 2  # the one that signs, and the one before, for the tokens that it has signed
_PRIVATE = {"d"}


class IssuerKeys:
    """Made when they are first needed; read anew each time, as another process may rotate them."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def jwks(self) -> dict[str, Any]:
        """The public keys (RFC 7517)."""
        return {"keys": [{name: value for name, value in key.items() if name not in _PRIVATE} for key in self._read()]}

    def token(self, issuer: str, audience: str, subject: str, scope: str, seconds: int) -> str:
        """A JWT as RFC 9068 has them."""
        key, now = self._read()[0], int(time.time())
        claims = {"iss": issuer, "aud": audience, "sub": subject, "client_id": subject, "scope": scope}
        times = {"iat": now, "exp": now + seconds, "jti": str(uuid4())}
        return jwt.encode(claims | times, jwt.PyJWK(key).key, "ES256", {"kid": key["kid"], "typ": "at+jwt"})

    def rotate(self) -> str:
        """The id of the new key."""
        key = _new()
        made = self._written([key, *self._read()][:_KEPT])
        made.replace(self._file)
        return str(key["kid"])

    def _read(self) -> list[dict[str, Any]]:
        with contextlib.suppress(FileNotFoundError):
            keys: list[dict[str, Any]] = json.loads(self._file.read_text())["keys"]
            return keys
        made = self._written([_new()])
        with contextlib.suppress(FileExistsError):  # somebody else was first
            os.link(made, self._file)
        made.unlink()
        return self._read()

    def _written(self, keys: list[dict[str, Any]]) -> Path:
        """A file beside ours, for our eyes only, with these keys."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=self._file.parent, prefix=".issuer-")
        with os.fdopen(handle, "w") as file:
            json.dump({"keys": keys}, file)
        return Path(name)


def _new() -> dict[str, Any]:
    key = ECAlgorithm.to_jwk(generate_private_key(SECP256R1()), as_dict=True)
    return {**key, "kid": uuid4().hex[:12], "use": "sig", "alg": "ES256"}
