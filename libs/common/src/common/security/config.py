"""The settings of who may do what, and how often, which every service has."""

import ipaddress
from dataclasses import dataclass
from typing import ClassVar

from common.config import setting
from common.errors import WrongSetting


@dataclass(frozen=True, kw_only=True)
class SecurityConfig:
    """To be inherited by a service's own, which names itself in `SERVICE`. Raises WrongSetting for settings that do not fit together."""

    SERVICE: ClassVar[str] = ""
    WRITES: ClassVar[bool] = True  # whether it takes any; who only reads may listen to all the world without an issuer

    host: str = setting("{SERVICE}_HOST", default="127.0.0.1")
    oauth_issuer: str = setting("{SERVICE}_OAUTH_ISSUER", "OAUTH_ISSUER", default="")  # as `iss` spells it
    oauth_audience: str = setting("{SERVICE}_OAUTH_AUDIENCE", "OAUTH_AUDIENCE", default="")
    oauth_jwks: str = setting("{SERVICE}_OAUTH_JWKS", "OAUTH_JWKS", default="")  # a file, or an http(s) URL
    oauth_token_url: str = setting("{SERVICE}_OAUTH_TOKEN_URL", "OAUTH_TOKEN_URL", schemes=("http", "https"), default="")
    oauth_client_id: str = setting("{SERVICE}_OAUTH_CLIENT_ID", "OAUTH_CLIENT_ID", default="")
    oauth_client_secret: str = setting("{SERVICE}_OAUTH_CLIENT_SECRET", "OAUTH_CLIENT_SECRET", default="")
    oauth_client_secret_file: str = setting("{SERVICE}_OAUTH_CLIENT_SECRET_FILE", "OAUTH_CLIENT_SECRET_FILE", default="")
    oauth_token_file: str = setting("{SERVICE}_OAUTH_TOKEN_FILE", "OAUTH_TOKEN_FILE", default="")  # read at each request
    rate_limit: int = setting("{SERVICE}_RATE_LIMIT", "RATE_LIMIT", default=0, minimum=0)  # a minute, for each subject
    rate_limit_address: int = setting("{SERVICE}_RATE_LIMIT_ADDRESS", "RATE_LIMIT_ADDRESS", default=0, minimum=0)  # likewise
    trusted_proxies: tuple[str, ...] = setting("{SERVICE}_TRUSTED_PROXIES", "TRUSTED_PROXIES", default=())  # CIDR

    def __post_init__(self) -> None:
        for network in self.trusted_proxies:
            try:
                ipaddress.ip_network(network, strict=False)
            except ValueError:
                raise WrongSetting("TRUSTED_PROXIES", f"must be networks like 10.0.0.0/8, not {network!r}") from None
        if not self.oauth_issuer:
            self._check_open()
            return
        for name, value in (("OAUTH_AUDIENCE", self.oauth_audience), ("OAUTH_JWKS", self.oauth_jwks)):
            if not value:
                raise WrongSetting(name, "must be set, since OAUTH_ISSUER is")

    def _check_open(self) -> None:
        """Without an issuer, whoever reaches the service may do everything."""
        for name, value in (("OAUTH_AUDIENCE", self.oauth_audience), ("OAUTH_JWKS", self.oauth_jwks)):
            if value:
                raise WrongSetting("OAUTH_ISSUER", f"must be set, since {name} is")
        if self.WRITES and not _is_loopback(self.host):
            raise WrongSetting(
                f"{self.SERVICE}_HOST" if self.SERVICE else "HOST",
                f"{self.host} lets other machines in, and without OAUTH_ISSUER everybody may write: "
                "set OAUTH_ISSUER, OAUTH_AUDIENCE and OAUTH_JWKS, or listen on 127.0.0.1",
            )


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
