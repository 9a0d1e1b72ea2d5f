"""Bearer tokens: JWTs (RFC 7519, as access tokens RFC 9068) that an issuer has signed, verified to say who a request comes from."""

from dataclasses import dataclass
from typing import Any

import jwt

from common.errors import AtriumError
from common.security.keys import Keys
from common.security.principal import Principal

MAX_TOKEN = 8192  # characters; each of them is hashed before anything is known about its sender
_MAX_SUBJECT = 255
LEEWAY = 30.0  # seconds by which clocks may differ
_CLAIMS = ("exp", "aud", "iss", "sub")


@dataclass(eq=False)
class InvalidToken(AtriumError):
    """The token is not valid."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(frozen=True)
class Tokens:
    """Accepts the tokens of one issuer that are meant for one audience."""

    issuer: str
    audience: str
    keys: Keys

    async def principal(self, token: str) -> Principal:
        """Who presents this token. Raises InvalidToken, and Unavailable as long as the issuer's keys are not known."""
        if len(token) > MAX_TOKEN:
            raise InvalidToken(f"the token has more than {MAX_TOKEN} characters")
        id, algorithm = _header(token)
        usable = [key for key in await self.keys.find(id) if algorithm in key.algorithms]
        if not usable:
            raise InvalidToken("the issuer has no such key")
        refused = InvalidToken("")
        for key in usable:
            try:
                return self._principal(_verified(token, key.public, key.algorithms, self.audience, self.issuer))
            except InvalidToken as error:
                refused = error
        raise refused

    def _principal(self, claims: dict[str, Any]) -> Principal:
        subject = claims["sub"]
        if not (isinstance(subject, str) and 0 < len(subject) <= _MAX_SUBJECT and subject.isprintable()):
            raise InvalidToken(f"`sub` must be 1 to {_MAX_SUBJECT} printable characters")
        return Principal(self.issuer, subject, frozenset(_scopes(claims)))


def _header(token: str) -> tuple[str | None, str]:
    """The key's id, if it names one, and the algorithm: what the sender claims, good for looking up and for nothing else."""
    try:
        header = jwt.get_unverified_header(token)
    except Exception as error:  # whatever is wrong with it, its sender made it
        raise InvalidToken("the token is no signed JWT") from error
    id, algorithm = header.get("kid"), header.get("alg")
    if not isinstance(algorithm, str) or not (id is None or isinstance(id, str)):
        raise InvalidToken("the token is no signed JWT")
    return id, algorithm


def _verified(token: str, key: Any, algorithms: tuple[str, ...], audience: str, issuer: str) -> dict[str, Any]:
    """The claims."""
    try:
        return jwt.decode(
            token,
            key,
            algorithms=algorithms,  # the key's, not the token's
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY,
            options={"require": list(_CLAIMS)},
        )
    except jwt.PyJWTError as error:
        raise InvalidToken(_reason(error)) from error
    except Exception as error:  # whatever is wrong with it, its sender made it
        raise InvalidToken("the token cannot be read") from error


def _reason(error: jwt.PyJWTError) -> str:
    """In our words: the library's may repeat what the token holds."""
    match error:
        case jwt.ExpiredSignatureError():
            return "the token has expired"
        case jwt.ImmatureSignatureError():
            return "the token is not valid yet"
        case jwt.InvalidAudienceError():
            return "the token is meant for another audience"
        case jwt.InvalidIssuerError():
            return "the token is of another issuer"
        case jwt.MissingRequiredClaimError():
            return f"the token lacks `{error.claim}`"
        case jwt.InvalidSignatureError():
            return "the signature is wrong"
    return "the token cannot be read"


def _scopes(claims: dict[str, Any]) -> list[str]:
    """Words of `scope` (RFC 8693, section 4.2), or of `scp`, which some issuers write instead, also as a list."""
    given = claims.get("scope", claims.get("scp", ""))
    words = given.split() if isinstance(given, str) else given
    return [word for word in words if isinstance(word, str)] if isinstance(words, list) else []
