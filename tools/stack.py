"""What `make run`, `make demo` and `make reset` agree on: services, addresses, settings. Standard library only."""

from __future__ import annotations

import os
import sys
import tomllib
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


class StackError(Exception):
    """Something is not as it must be; the message is one line for people."""


@dataclass(frozen=True, slots=True)
class Service:
    """One process of the stack, and the pages that it serves: what it is, and its path."""

    name: str
    default_port: int
    migrates: bool
    pages: tuple[tuple[str, str], ...]
    script: str = ""  # of tools/, where it is no package

    @property
    def command(self) -> list[str]:
        """What runs all of it."""
        if self.script:
            return [sys.executable, str(Path(__file__).parent / self.script), "serve"]
        return [sys.executable, "-m", self.name, "all"]


def found(repository: Path) -> Iterator[Service]:
    """Each says in its pyproject.toml where it listens, and where to look first; one with migrations is one of listings."""
    for manifest in (repository / "services").glob("*/pyproject.toml"):
        name, said = manifest.parent.name, tomllib.loads(manifest.read_text(encoding="utf-8"))["tool"]["atrium"]
        migrates = (manifest.parent / "src" / name / "adapters" / "migrations").is_dir()
        yield Service(name, said["port"], migrates, (("API", said.get("page", f"/v1.0/{name}")), ("try it", "/v1.0/ui/")))


SERVICES = tuple(sorted(found(REPOSITORY), key=lambda service: service.default_port))

#: Gives tokens to whoever asks. Runs with the others where ISSUER is set, which then want one for each write.
ISSUER = Service("issuer", 8009, False, (("about", "/.well-known/oauth-authorization-server"),), "issuer.py")
AUDIENCE = "atrium"


def running(values: Mapping[str, str]) -> tuple[Service, ...]:
    """What `make run` starts."""
    return (ISSUER, *SERVICES) if _wants_issuer(values) else SERVICES


def chosen() -> Service:
    """The service that SERVICE names, one that listings are written to."""
    name = os.environ.get("SERVICE") or "rooms"
    for service in SERVICES:
        if service.name == name and service.migrates:
            return service
    raise StackError(f"SERVICE must be {' or '.join(each.name for each in SERVICES if each.migrates)}, not {name!r}")


def environment() -> dict[str, str]:
    """The environment, on top of what `.env` in the repository says; DATA_DIR is made absolute."""
    path = REPOSITORY / ".env"
    values = {**_parse(path), **os.environ}
    values["DATA_DIR"] = str(data_dir(values))
    return _issued(values) if _wants_issuer(values) else values


def _wants_issuer(values: Mapping[str, str]) -> bool:
    return values.get("ISSUER", "").lower() not in ("", "0", "false", "no", "off")


def _issued(values: dict[str, str]) -> dict[str, str]:
    """With the settings that make services trust the development issuer, and let it tell them from strangers."""
    issuer = url(ISSUER, values)
    told = {
        "OAUTH_ISSUER": issuer,
        "OAUTH_AUDIENCE": AUDIENCE,
        "OAUTH_JWKS": f"{issuer}/jwks",
        "OAUTH_TOKEN_URL": f"{issuer}/token",
        "OAUTH_CLIENT_ID": "atrium",
        "OAUTH_CLIENT_SECRET": "development",
    }
    if values.get("OAUTH_ISSUER", issuer) not in ("", issuer):
        raise StackError(f"ISSUER is set, and so is OAUTH_ISSUER, to {values['OAUTH_ISSUER']}: services trust one issuer")
    return {**values, **told}


def data_dir(values: Mapping[str, str]) -> Path:
    """Where the embedded backends keep everything; a relative one is taken from the repository."""
    return REPOSITORY / Path(values.get("DATA_DIR") or ".data").expanduser()


def address(service: Service, values: Mapping[str, str]) -> tuple[str, int]:
    """Host and port that a service is told to listen on."""
    variable = f"{service.name.upper()}_PORT"
    text = values.get(variable) or str(service.default_port)
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 65535):
        raise StackError(f"{variable} must be a port from 1 to 65535, not {text!r}")
    return values.get(f"{service.name.upper()}_HOST") or "127.0.0.1", int(text)


def url(service: Service, values: Mapping[str, str]) -> str:
    """Where this machine reaches a service."""
    host, port = address(service, values)
    reached = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    return f"http://{reached}:{port}"


def is_ready(base: str) -> bool:
    """Whether `/readyz` answers 200."""
    try:
        with urllib.request.urlopen(f"{base}/readyz", timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (OSError, urllib.error.HTTPError):
        return False


def _parse(path: Path) -> dict[str, str]:
    """Lines of `NAME=value`, blank ones and `# comments`; quotes around a value are taken off."""
    values = {}
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StackError(f".env cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise StackError(f".env cannot be read: byte {error.start + 1} is not UTF-8") from None
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip().removeprefix("export ")
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not equals or not name.strip().isidentifier():
            raise StackError(f".env, line {number}: NAME=value is expected, not {line.strip()!r}")
        if "\0" in value:
            raise StackError(f".env, line {number}: a value cannot hold a zero byte")
        values[name.strip()] = value.strip().strip("\"'")
    return values
