"""JSON merge patch, RFC 7396."""

from collections.abc import Mapping
from typing import Any


def apply(target: Any, patch: Any) -> Any:
    """The target with the patch merged in, as RFC 7396 section 2 defines it. Neither argument is changed.

    Members that are null in the patch are removed; objects merge member by member; anything else replaces.
    """
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = apply(result.get(name), value)
    return result
