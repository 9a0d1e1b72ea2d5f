"""How a service says who it is to another: a token from a file, or one that the issuer gives it (RFC 6749, section 4.4)."""

import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote_plus

import httpx

from common.errors import Unavailable, WrongSetting
from common.security.config import SecurityConfig

_TIMEOUT = httpx.Timeout(5.0)
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

    For synchronous clients, of any number of threads, which share a fetch. Raises Unavailable when the issuer gives none.
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
        token = self._current(refused="")
        request.headers["Authorization"] = f"Bearer {token}"
        answer = yield request
        if answer.status_code == httpx.codes.UNAUTHORIZED and isinstance(request.stream, httpx.ByteStream):  # else it is used up
            request.headers["Authorization"] = f"Bearer {self._current(refused=token)}"
            yield request

    def _current(self, refused: str) -> str:
        with self._lock:
            if self._token in ("", refused) or self.clock() >= self._until:
                self._token, life = self._fetch()
                self._until = self.clock() + max(life - _EARLY, life / 2)
            return self._token

    def _fetch(self) -> tuple[str, float]:
        """A token, and how many seconds it lives."""
        credentials = httpx.BasicAuth(quote_plus(self.client), quote_plus(self.secret()))
        form = {"grant_type": "client_credentials", "scope": self.scope}
        try:
            answer = httpx.post(self.url, data=form, auth=credentials, timeout=_TIMEOUT)
            if answer.status_code != httpx.codes.OK:
                raise Unavailable("the issuer of tokens", f"it answered {answer.status_code}")
            given = answer.json()
            token, life = given["access_token"], float(given.get("expires_in", _LIFE))
        except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise Unavailable("the issuer of tokens", str(error)) from error
        if not isinstance(token, str) or not (token.isascii() and token.isprintable()):
            raise Unavailable("the issuer of tokens", "it answered something else than a token")
        return token, life
