"""Tokens of an issuer of the tests' own: valid ones, and every kind that must be refused."""

import base64
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import RSAAlgorithm

#: Kinds of tokens that are nobody's: each gets 401, wherever a token is looked at.
REFUSED = (
    "wrong signature",
    "alg none",
    "HS256 with the public key",
    "expired",
    "not valid yet",
    "wrong audience",
    "wrong issuer",
    "no subject",
    "no expiry",
    "no audience",
    "subject is a number",
    "unknown kid",
    "kid is a path",
    "kid is a number",
    "key of its own in the header",
    "another algorithm of the key",
    "garbage",
    "deep header",
    "no ASCII",
    "oversized",
)


def new_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class TestIssuer:
    """Signs with a key of its own, which `jwks` lists; `rotate` makes another one."""

    __test__ = False  # pytest takes it for a test

    issuer: str = "https://issuer.example"
    audience: str = "atrium"
    kid: str = "first"
    key: RSAPrivateKey = field(default_factory=new_key)
    stranger: RSAPrivateKey = field(default_factory=new_key)

    def rotate(self, kid: str) -> None:
        self.kid, self.key = kid, new_key()

    def jwks(self) -> dict[str, Any]:
        public = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [public | {"kid": self.kid, "use": "sig", "alg": "RS256"}]}

    def write(self, file: Path) -> Path:
        """The JWKS, as OAUTH_JWKS names it."""
        file.write_text(json.dumps(self.jwks()))
        return file

    def environment(self, file: Path) -> dict[str, str]:
        """What a service is told of this issuer."""
        return {"OAUTH_ISSUER": self.issuer, "OAUTH_AUDIENCE": self.audience, "OAUTH_JWKS": str(self.write(file))}

    def claims(self, subject: str = "ann", scopes: str = "") -> dict[str, Any]:
        now = int(time.time())
        known = {"iss": self.issuer, "aud": self.audience, "sub": subject, "scope": scopes}
        return known | {"iat": now, "exp": now + 600}

    def token(
        self,
        subject: str = "ann",
        scopes: str = "",
        *,
        without: str = "",
        headers: Mapping[str, Any] | None = None,
        **claims: Any,
    ) -> str:
        """A valid one, unless `claims`, `headers` or a claim that it is `without` make it something else."""
        made = self.claims(subject, scopes) | claims
        made.pop(without, None)
        return jwt.encode(made, self.key, "RS256", {"kid": self.kid} | dict(headers or {}))

    def refused(self, kind: str, subject: str = "ann", scopes: str = "admin") -> str:
        """A token of one of the kinds in REFUSED, which would be good for everything if it were not of that kind."""
        claims = self.claims(subject, scopes)
        match kind:
            case "wrong signature":
                return jwt.encode(claims, self.stranger, "RS256", {"kid": self.kid})
            case "alg none":
                return _made({"alg": "none", "kid": self.kid}, claims, b"")
            case "HS256 with the public key":
                public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
                return _made({"alg": "HS256", "typ": "JWT", "kid": self.kid}, claims, public)
            case "expired":
                return self.token(subject, scopes, exp=int(time.time()) - 3600)
            case "not valid yet":
                return self.token(subject, scopes, nbf=int(time.time()) + 3600)
            case "wrong audience":
                return self.token(subject, scopes, aud="elsewhere")
            case "wrong issuer":
                return self.token(subject, scopes, iss="https://stranger.example")
            case "no subject":
                return self.token(subject, scopes, without="sub")
            case "no expiry":
                return self.token(subject, scopes, without="exp")
            case "no audience":
                return self.token(subject, scopes, without="aud")
            case "subject is a number":
                return self._signed(claims | {"sub": 7}, {"kid": self.kid})
            case "unknown kid":
                return self.token(subject, scopes, headers={"kid": "elsewhere"})
            case "kid is a path":
                return self.token(subject, scopes, headers={"kid": "../../../../dev/null"})
            case "kid is a number":
                return self._signed(claims, {"kid": 7})
            case "key of its own in the header":
                own = RSAAlgorithm.to_jwk(self.stranger.public_key(), as_dict=True)
                return jwt.encode(claims, self.stranger, "RS256", {"kid": "own", "jwk": own, "jku": "http://127.0.0.1:1/jwks"})
            case "another algorithm of the key":
                return jwt.encode(claims, self.key, "PS512", {"kid": self.kid})
            case "garbage":
                return "a.b.c"
            case "deep header":
                return f"{_encoded(b'[' * 3000)}.{_encoded(b'[' * 3000)}."
            case "no ASCII":
                return self.token(subject, scopes)[:-4] + "\xe4\xf6\xfc\xdf"
            case "oversized":
                return self.token(subject, scopes, padding="x" * 10_000)
        raise ValueError(f"there is no kind {kind!r} of tokens")

    def _signed(self, claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
        """What the library would not sign."""
        algorithm = RSAAlgorithm(RSAAlgorithm.SHA256)
        head, body = _encoded(_json({"alg": "RS256", "typ": "JWT", **header})), _encoded(_json(claims))
        return f"{head}.{body}.{_encoded(algorithm.sign(f'{head}.{body}'.encode(), self.key))}"


def bearer(token: str) -> dict[str, str | bytes]:
    """The headers that present it."""
    return {"Authorization": b"Bearer " + token.encode("latin-1")}


def _made(header: Mapping[str, Any], claims: Mapping[str, Any], secret: bytes) -> str:
    signed = f"{_encoded(_json(header))}.{_encoded(_json(claims))}"
    signature = hmac.digest(secret, signed.encode(), "sha256") if secret else b""
    return f"{signed}.{_encoded(signature)}"


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
