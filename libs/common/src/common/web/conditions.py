"""Conditional requests, RFC 9110 section 13: the version of a listing is its entity tag."""

import re

from common.errors import Invalid, Stale

_TAG = re.compile(r'\s*(W/)?"([\x21\x23-\x7e\x80-\xff]*)"\s*(?:,|$)')
_VERSION = re.compile(r"[1-9][0-9]{0,17}", re.ASCII)


def etag(version: int) -> str:
    """The strong entity tag of a version: 7 → `"7"`."""
    return f'"{version}"'


def expected_versions(if_match: str | None) -> frozenset[int] | None:
    """The versions an If-Match header allows; None when any version will do (no header, or `*`).

    Tags that are weak or not ours match no version (If-Match compares strongly), so the set may be empty and nothing matches.
    Raises Invalid when the header is no list of entity tags: it was meant to protect a write, so it is not ignored.
    """
    if if_match is None or if_match.strip() == "*":
        return None
    tags = _tags(if_match)
    if tags is None:
        raise Invalid.field("If-Match", 'must be a list of entity tags, as in "7"', "header")
    return frozenset(int(tag) for weak, tag in tags if not weak and _VERSION.fullmatch(tag))


def require_version(expected: frozenset[int] | None, id: str, version: int) -> None:
    """Raises Stale unless the current version is among the expected ones."""
    if expected is not None and version not in expected:
        raise Stale(id, version)


def not_modified(if_none_match: str | None, version: int) -> bool:
    """Whether the client has this version already, so that 304 is the answer to its GET.

    Compares weakly, as If-None-Match does; a header that cannot be read is as if it were not there.
    """
    if if_none_match is None:
        return False
    if if_none_match.strip() == "*":
        return True
    return any(tag == str(version) for _, tag in _tags(if_none_match) or ())


def not_modified_answer(version: int) -> tuple[None, int, dict[str, str]]:
    """What a handler returns for 304."""
    return None, 304, {"ETag": etag(version)}


def _tags(header: str) -> list[tuple[bool, str]] | None:
    """(weak, opaque tag) of each; None when the header is malformed."""
    tags: list[tuple[bool, str]] = []
    position = 0
    header = header.strip().rstrip(",")
    while position < len(header):
        found = _TAG.match(header, position)
        if found is None:
            return None
        tags.append((found[1] is not None, found[2]))
        position = found.end()
    return tags or None
