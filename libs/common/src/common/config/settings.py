"""Environment → frozen dataclass; a wrong value raises WrongSetting, which names the variable and what it may be."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar, get_type_hints
from urllib.parse import urlsplit

from common.errors import WrongSetting

C = TypeVar("C")
TRUE, FALSE = {"1", "true", "yes", "on"}, {"0", "false", "no", "off"}
_ORIGIN = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://([a-z0-9_.-]+|\[[0-9a-f:.]+\])(:(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True)
class _Rule:
    names: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    schemes: tuple[str, ...]
    choices: tuple[str, ...]
    origins: bool


def setting(
    *names: str,
    default: Any = MISSING,
    minimum: float | None = None,
    maximum: float | None = None,
    schemes: tuple[str, ...] = (),
    choices: tuple[str, ...] = (),
    origins: bool = False,
) -> Any:
    """A dataclass field read from the first of the variables `names` that is set and not empty.

    `schemes` makes it a URL of one of these schemes, `choices` one of these words, in any case; `origins` makes each word of it
    an origin as browsers send it, or `*`; `minimum` and `maximum` bound a number. A default that is a function gets the other
    settings read so far, by field name, and the name of the `service`. In `names`, `{SERVICE}` stands for what the class calls itself.
    """
    return field(metadata={"rule": _Rule(names, minimum, maximum, schemes, choices, origins), "default": default})


def load(cls: type[C], environ: Mapping[str, str]) -> C:
    """Reads every field of the dataclass `cls`. Raises WrongSetting for the first value that cannot be used."""
    types = get_type_hints(cls)
    values: dict[str, Any] = {}
    service = getattr(cls, "SERVICE", "")
    for each in fields(cls):  # type: ignore[arg-type]
        rule: _Rule = each.metadata["rule"]
        names = [name.replace("{SERVICE}", service) for name in rule.names]
        name = next((name for name in names if environ.get(name, "").strip()), None)
        if name is not None:
            values[each.name] = _checked(name, rule, _PARSERS[types[each.name]](name, environ[name].strip()))
            continue
        default = each.metadata["default"]
        if default is MISSING:
            raise WrongSetting(names[0], "must be set")
        values[each.name] = default({**values, "service": service.lower()}) if callable(default) else default
    return cls(**values)


def without_password(url: str) -> str:
    """`url` as it may be logged: without user, password, query and fragment."""
    scheme, _, rest = url.partition("://")
    if rest.startswith("/"):
        return url  # a file
    address, *more = re.split(r"[?#]", rest, maxsplit=1)
    if any("@" in each for each in more):  # a password that was not escaped, or a query: who knows
        return f"{scheme}://…"
    return f"{scheme}://{address.rpartition('@')[2]}"


def _checked(name: str, rule: _Rule, value: Any) -> Any:
    if rule.minimum is not None and value < rule.minimum:
        raise WrongSetting(name, f"must be at least {rule.minimum:g}, not {value}")
    if rule.maximum is not None and value > rule.maximum:
        raise WrongSetting(name, f"must be at most {rule.maximum:g}, not {value}")
    if rule.choices:
        value = next((choice for choice in rule.choices if choice.casefold() == value.casefold()), value)
        if value not in rule.choices:
            raise WrongSetting(name, f"must be one of {', '.join(rule.choices)}, not {value!r}")
    if rule.origins:
        return tuple(_origin(name, text) for text in value)
    if rule.schemes:
        _check_url(name, value, rule.schemes)
    return value


def _check_url(name: str, value: str, schemes: tuple[str, ...]) -> None:
    scheme, _, rest = value.partition("://")
    # A URL may hold a password: name what is wrong without repeating it.
    if scheme not in schemes:
        raise WrongSetting(name, f"must be a URL that starts with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    if scheme in ("sqlite", "tantivy", "file"):
        if not rest.startswith("/") or len(rest) < 2:
            raise WrongSetting(name, f"must name a file, as in {scheme}:///path")
        return
    try:
        parts = urlsplit(value)
        complete = bool(parts.hostname) and parts.port != 0
    except ValueError:
        complete = False
    if not complete:
        raise WrongSetting(name, f"must name a host, as in {scheme}://host:port")


def _origin(name: str, text: str) -> str:
    """`text` as browsers write it: in lower case, without a final slash and the scheme's own port."""
    if text == "*":
        return text
    bare = text.lower().removesuffix("/")
    match = _ORIGIN.fullmatch(bare)
    if match is None or not 1 <= int(match["port"] or 1) <= 65535:
        raise WrongSetting(name, f"must be origins like https://www.example.org or http://localhost:3000, or *, not {text!r}")
    own = {"http": "80", "https": "443"}.get(match["scheme"])
    return bare.removesuffix(f":{own}") if match["port"] == own else bare


def _integer(name: str, text: str) -> int:
    if not (text.isascii() and text.removeprefix("-").isdigit() and len(text) < 20):
        raise WrongSetting(name, f"must be a whole number, not {text!r}")
    return int(text)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not -1e15 < value < 1e15:
        raise WrongSetting(name, f"must be a number, not {text!r}")
    return value


def _flag(name: str, text: str) -> bool:
    if text.lower() not in TRUE | FALSE:
        raise WrongSetting(name, f"must be true or false, not {text!r}")
    return text.lower() in TRUE


def _words(_name: str, text: str) -> tuple[str, ...]:
    return tuple(word for word in text.replace(",", " ").split() if word)


_PARSERS: dict[Any, Callable[[str, str], Any]] = {
    str: lambda _name, text: text,
    int: _integer,
    float: _number,
    bool: _flag,
    Path: lambda _name, text: Path(text).expanduser(),
    tuple[str, ...]: _words,
}
