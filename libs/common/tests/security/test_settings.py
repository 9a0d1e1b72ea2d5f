"""Settings that do not fit together stop a service before it listens."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from common.config import load
from common.errors import WrongSetting
from common.security.client import FileToken, service_auth
from common.security.config import SecurityConfig
from common.web.guard import Guard

ISSUED = {"OAUTH_ISSUER": "https://issuer.example", "OAUTH_AUDIENCE": "atrium", "OAUTH_JWKS": "/keys.json"}


@dataclass(frozen=True, kw_only=True)
class Config(SecurityConfig):
    SERVICE: ClassVar = "TOYS"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_without_an_issuer_a_service_may_listen_to_its_own_machine(host: str) -> None:
    assert Guard.of(load(Config, {"TOYS_HOST": host})).tokens is None


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.1", "toys.example"])
def test_without_an_issuer_it_may_not_listen_to_others(host: str) -> None:
    with pytest.raises(WrongSetting, match=r"TOYS_HOST: .* set OAUTH_ISSUER, OAUTH_AUDIENCE and OAUTH_JWKS, or listen on 127"):
        load(Config, {"TOYS_HOST": host})
    assert Guard.of(load(Config, {"TOYS_HOST": host} | ISSUED)).tokens is not None


def test_a_service_that_takes_no_writes_may_be_seen_by_everybody() -> None:
    class Reads(Config):
        WRITES: ClassVar = False

    assert load(Reads, {"TOYS_HOST": "0.0.0.0"}).host == "0.0.0.0"


@pytest.mark.parametrize("missing", ISSUED)
def test_half_an_issuer_is_none(missing: str) -> None:
    with pytest.raises(WrongSetting, match=f"{missing}: must be set"):
        load(Config, {name: value for name, value in ISSUED.items() if name != missing})


def test_one_service_may_have_its_own() -> None:
    assert load(Config, ISSUED | {"TOYS_OAUTH_AUDIENCE": "toys"}).oauth_audience == "toys"


@pytest.mark.parametrize(
    ("name", "value"),
    [("TRUSTED_PROXIES", "10.0.0.0/99"), ("RATE_LIMIT", "-1"), ("RATE_LIMIT_ADDRESS", "many"), ("OAUTH_TOKEN_URL", "/x")],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(WrongSetting, match=name):
        load(Config, {name: value})


def test_limits_and_proxies_are_off_unless_set() -> None:
    assert Guard.of(load(Config, {})).senders is Guard.of(load(Config, {})).subjects is None
    guard = Guard.of(load(Config, {"RATE_LIMIT": "60", "RATE_LIMIT_ADDRESS": "600", "TRUSTED_PROXIES": "10.0.0.0/8, ::1"}))
    assert guard.senders is not None and guard.subjects is not None


def test_a_service_without_credentials_sends_no_token() -> None:
    assert service_auth(load(Config, {}), "admin") is None


@pytest.mark.parametrize("more", [{}, {"OAUTH_CLIENT_SECRET": "s"}, {"OAUTH_TOKEN_URL": "http://127.0.0.1/token"}])
def test_half_of_its_credentials_are_none(more: dict[str, str]) -> None:
    with pytest.raises(WrongSetting, match="since OAUTH_CLIENT_ID is"):
        service_auth(load(Config, {"OAUTH_CLIENT_ID": "toys"} | more), "admin")


def test_a_token_in_a_file_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "token"
    auth = service_auth(load(Config, {"OAUTH_TOKEN_FILE": str(file)}), "admin")
    assert isinstance(auth, FileToken)
    for token in ("one", "two"):
        file.write_text(f"{token}\n")
        request = next(auth.auth_flow(httpx.Request("GET", "http://toys.example")))
        assert request.headers["Authorization"] == f"Bearer {token}"
