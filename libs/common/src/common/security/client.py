"""How a service says who it is to another: a token from a file, or one that the issuer gives it (RFC 6749, section 4.4)."""

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus

import httpx
import orjson

from common.deadline import Deadline
from common.errors import Unavailable, WrongSetting
from common.security.config import SecurityConfig

_TIMEOUT = 5.0  # seconds, for all of a fetch, and for who waits for that of another
_LONGEST = 64 * 1024  # bytes of an issuer's answer
_SETTINGS = "OAUTH_CLIENT_ID, OAUTH_CLIENT_SECRET and OAUTH_TOKEN_URL, or OAUTH_TOKEN_FILE"
#: What to do where a neighbour wants a token and nothing is set.
NO_CREDENTIALS = f"it wants a token: set {_SETTINGS}"
_EARLY = 30.0  # seconds before its end a token is no longer used; of a short one, half its life
_LIFE = 60.0  # of a token whose issuer does not say


def service_auth(config: SecurityConfig, scope: str) -> httpx.Auth | None:
    """What to hand to httpx as `auth`, as the settings say; None where they say nothing. Raises WrongSetting."""
    if config.oauth_token_file:
        return FileToken(Path(config.oauth_token_file))
    if not config.oauth_client_id:
        return None
    if not config.oauth_token_url:
        raise WrongSetting("OAUTH_TOKEN_URL", "must be set, since OAUTH_CLIENT_ID is")
    if not (config.oauth_client_secret or config.oauth_client_secret_file):
        raise WrongSetting("OAUTH_CLIENT_SECRET", "or OAUTH_CLIENT_SECRET_FILE must be set, since OAUTH_CLIENT_ID is")
    file = Path(config.oauth_client_secret_file) if config.oauth_client_secret_file else None

    def secret() -> str:
        return _read(file) if file else config.oauth_client_secret

    return ClientCredentials(config.oauth_token_url, config.oauth_client_id, secret, scope)


def wanted(answer: httpx.Response, scope: str) -> str:
    """What was missing where the answer is 401 or 403, in parentheses, to be put behind it; empty for any other."""
    if answer.status_code not in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
        return ""
    return f"(it wants a token with the scope {scope}, as these settings give it: {_SETTINGS})"


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise Unavailable("the token of this service", str(error)) from error


@dataclass
class FileToken(httpx.Auth):
    """The token in a file, which whoever keeps it fresh may replace at any time."""

    file: Path

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {_read(self.file)}"
        yield request


@dataclass
class ClientCredentials(httpx.Auth):
    """Fetches a token when one is needed, keeps it until shortly before its end, and once fetches another where it is refused.

    For synchronous clients, of any number of threads, which share a fetch. Raises Unavailable when the issuer gives none within five
    seconds, or before the Deadline of the request for which it is wanted.
    """

    url: str
    client: str
    secret: Callable[[], str]
    scope: str
    clock: Callable[[], float] = time.monotonic
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _token: str = field(default="", init=False)
    _until: float = field(default=0.0, init=False)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        deadline = Deadline.of(request)
        token = self._current("", deadline)
        request.headers["Authorization"] = f"Bearer {token}"
        answer = yield request
        if answer.status_code == httpx.codes.UNAUTHORIZED and isinstance(request.stream, httpx.ByteStream):  # else it is used up
            request.headers["Authorization"] = f"Bearer {self._current(token, deadline)}"
            yield request

    def _current(self, refused: str, deadline: Deadline | None) -> str:
        ends = time.monotonic() + min(_TIMEOUT, deadline.left if deadline else _TIMEOUT)
        if not self._lock.acquire(timeout=max(0.0, ends - time.monotonic())):
            raise _too_slow()
        try:
            if self._token in ("", refused) or self.clock() >= self._until:
                self._token, life = self._fetch(ends - time.monotonic())
                self._until = self.clock() + max(life - _EARLY, life / 2)
            return self._token
        finally:
            self._lock.release()

    def _fetch(self, seconds: float) -> tuple[str, float]:
        """A token, and how many seconds it lives."""
        if seconds <= 0:
            raise _too_slow()
        with Deadline(seconds) as deadline:
            try:
                given = orjson.loads(self._answer(deadline))
                token, life = given["access_token"], float(given.get("expires_in", _LIFE))
            except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
                if deadline.over:
                    raise _too_slow() from error
                raise Unavailable("the issuer of tokens", str(error)) from error
        if not isinstance(token, str) or not (token.isascii() and token.isprintable()):
            raise Unavailable("the issuer of tokens", "it answered something else than a token")
        return token, life

    def _answer(self, deadline: Deadline) -> bytes:
        credentials = httpx.BasicAuth(quote_plus(self.client), quote_plus(self.secret()))
        form = {"grant_type": "client_credentials", "scope": self.scope}
        with (
            httpx.Client(auth=credentials, timeout=deadline.left) as client,
            client.stream("POST", self.url, data=form, extensions=deadline.extensions) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise Unavailable("the issuer of tokens", f"it answered {answer.status_code}")
            body = b""
            for piece in answer.iter_bytes(_LONGEST):
                body += piece
                if len(body) > _LONGEST:
                    raise Unavailable("the issuer of tokens", f"it answered more than {_LONGEST} bytes")
            return body


def _too_slow() -> Unavailable:
    return Unavailable("the issuer of tokens", "it takes too long")
