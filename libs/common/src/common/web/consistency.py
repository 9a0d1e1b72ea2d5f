"""Read your writes: what a write answers in `Atrium-Consistency`, and what a search that sends it back asks for.

A token is `<kind>/<id>@<version>`, as in `rooms/01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11@7`; a header holds several, separated by commas.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from common.errors import Invalid

HEADER = "Atrium-Consistency"
PENDING = "atrium.pending"  # in the scope: the tokens that were asked for and are not searchable, once somebody has looked
#: Tokens of one request, and seconds that it may ask to wait.
MAX_TOKENS, MAX_WAIT = 20, 10

_TOKEN = re.compile(
    r"([a-z]{1,32})/([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12})@([1-9][0-9]{0,17})", re.ASCII
)
# One preference: a token, perhaps with a value, perhaps with parameters, which ours has not.
_PREFERENCE = re.compile(r'\s*([^\s=;,"]+)\s*(?:=\s*("(?:[^"\\]|\\.)*"|[^\s;,"]*))?\s*(?:;(?:"(?:[^"\\]|\\.)*"|[^,"])*)?(?:,|$)')


@dataclass(frozen=True, slots=True)
class Token:
    """Version `version` of something, or a newer one."""

    kind: str
    id: str
    version: int

    def __str__(self) -> str:
        return f"{self.kind}/{self.id}@{self.version}"


def written(kind: str, id: str, version: int) -> dict[str, str]:
    """The header with which a write names what it made."""
    return {HEADER: str(Token(kind, id, version))}


def asked_for(header: str, kinds: Iterable[str]) -> tuple[Token, ...]:
    """The tokens in a header, each once. Raises Invalid, which names the header, for what is none of these `kinds` has written."""
    tokens: dict[Token, None] = {}
    known = sorted(kinds)
    for text in header.split(","):
        found = _TOKEN.fullmatch(text.strip(" \t"))
        if found is None or found[1] not in known:
            form = " or ".join(f"{kind}/<id>@<version>" for kind in known)
            raise Invalid.field(HEADER, f"must be a list of {form}, separated by commas", "header")
        tokens[Token(found[1], str(UUID(found[2])), int(found[3]))] = None
        if len(tokens) > MAX_TOKENS:
            raise Invalid.field(HEADER, f"must hold at most {MAX_TOKENS} of them", "header")
    return tuple(tokens)


def preferred_wait(header: str) -> int | None:
    """The whole seconds that a Prefer header (RFC 7240) asks to wait, MAX_WAIT at most; None where it does not ask.

    The first `wait` counts; what cannot be read is as if it were not there.
    """
    position = 0
    while position < len(header) and (found := _PREFERENCE.match(header, position)):
        position = found.end()
        if found[1].lower() == "wait":
            seconds = (found[2] or "").strip('"')
            return min(int(seconds), MAX_WAIT) if re.fullmatch(r"[0-9]{1,1000}", seconds) else None
    return None


def still_pending(scope: Mapping[str, Any]) -> dict[str, list[str]]:
    """What an answer says in `index`: `{"pending": [tokens that are not searchable yet]}`, nothing to who sent none."""
    pending = scope.get(PENDING)
    return {} if pending is None else {"pending": [str(token) for token in pending]}
