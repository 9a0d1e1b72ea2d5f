"""What stands before every operation: how often its sender may ask, and who it comes from. Before its body is read."""

from dataclasses import dataclass, field
from typing import Any

from connexion.lifecycle import ConnexionRequest
from connexion.security import NO_VALUE, AbstractSecurityHandler
from starlette.types import ASGIApp, Receive, Scope, Send

from common.errors import MissingScope
from common.security import current
from common.security.config import SecurityConfig
from common.security.keys import Keys
from common.security.limits import RateLimit
from common.security.principal import ANONYMOUS, LOCAL, Principal
from common.security.tokens import InvalidToken, Tokens
from common.web.addresses import Addresses
from common.web.problems import Problem


@dataclass(frozen=True)
class Guard:
    """Without `tokens` every request is LOCAL: there is no issuer, and the service listens to its own machine alone."""

    tokens: Tokens | None = None
    token_url: str = ""  # where Swagger UI fetches one
    subjects: RateLimit | None = None
    senders: RateLimit | None = None
    addresses: Addresses = field(default_factory=Addresses)

    @classmethod
    def of(cls, config: SecurityConfig) -> "Guard":
        """As the settings say."""
        issuer, audience, jwks = config.oauth_issuer, config.oauth_audience, config.oauth_jwks
        return cls(
            tokens=Tokens(issuer, audience, Keys(jwks)) if issuer else None,
            token_url=config.oauth_token_url,
            subjects=RateLimit(config.rate_limit) if config.rate_limit else None,
            senders=RateLimit(config.rate_limit_address) if config.rate_limit_address else None,
            addresses=Addresses(config.trusted_proxies),
        )

    def before(self, target: ASGIApp, *, secured: bool) -> ASGIApp:
        """`target`, for those who may. Only where it is `secured` the Authorization header is looked at: a wrong one is refused then,
        though the operation may do without."""

        async def enter(scope: Scope, receive: Receive, send: Send) -> None:
            if self.senders is not None:
                _count(self.senders, self.addresses.of(scope))
            principal = LOCAL
            if self.tokens is not None:
                principal = await _authenticated(self.tokens, scope) if secured else ANONYMOUS
            current.use(principal)
            if self.subjects is not None and principal.owner:
                _count(self.subjects, principal.owner)
            await target(scope, receive, send)

        return enter


async def _authenticated(tokens: Tokens, scope: Scope) -> Principal:
    """ANONYMOUS without an Authorization header. Raises InvalidToken, Unavailable."""
    sent = [value for name, value in scope["headers"] if name == b"authorization"]
    if not sent:
        return ANONYMOUS
    scheme, _, token = sent[0].decode("latin-1").partition(" ")
    if len(sent) > 1 or scheme.lower() != "bearer":
        raise InvalidToken("the Authorization header must be one, `Bearer` and a token")
    return await tokens.principal(token.strip())


def _count(limit: RateLimit, who: str) -> None:
    if seconds := limit.wait(who):
        raise Problem("too-many", headers=(("Retry-After", str(seconds)),))


class Scopes(AbstractSecurityHandler):  # type: ignore[misc]
    """connexion's `oauth2`: what an operation demands of the principal, who is known by now."""

    def get_fn(self, _scheme: Any, required: list[str]) -> Any:
        def verify(_request: ConnexionRequest) -> Any:
            principal = current.principal()
            if principal == ANONYMOUS:
                return NO_VALUE  # another alternative may do
            if missing := [scope for scope in required if not principal.may(scope)]:
                raise MissingScope.of(*missing)
            return {"sub": principal.owner}

        return verify
