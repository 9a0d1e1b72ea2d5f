"""Which path leads where: one walk over the raw path's segments, which also knows what `Allow` is to say.

Raw segments, so that an encoded slash stays within its segment; a trailing slash makes no difference, and nothing redirects.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from common.web.problems import Problem

T = TypeVar("T")


@dataclass
class _Node(Generic[T]):
    names: dict[str, "_Node[T]"] = field(default_factory=dict)
    any: "_Node[T] | None" = None
    methods: dict[str, tuple[T, tuple[str, ...]]] = field(default_factory=dict)  # and the names of the path's parameters


class Routes(Generic[T]):
    """Targets by path template (`/rooms/{room_id}`) and method. A literal segment goes before a parameter."""

    def __init__(self) -> None:
        self._root: _Node[T] = _Node()

    def add(self, method: str, template: str, target: T) -> None:
        """Raises ValueError for a path that has the method already, or a segment that is only partly a parameter."""
        node, names = self._root, []
        for segment in _segments(template):
            if segment.startswith("{") and segment.endswith("}"):
                names.append(segment[1:-1])
                node.any = node.any or _Node()
                node = node.any
            elif "{" in segment:
                raise ValueError(f"{template}: a parameter must be a whole segment")
            else:
                node = node.names.setdefault(segment, _Node())
        if method in node.methods:
            raise ValueError(f"{method} {template} is there twice")
        node.methods[method] = (target, tuple(names))

    def find(self, method: str, raw_path: str) -> tuple[T, dict[str, str]] | None:
        """(target, raw value of each path parameter), or None when there is no such path.

        HEAD finds what GET would. Raises Problem 405 with `Allow` when the path is there, but not with the method; as OpenAPI has
        it, a literal path is that path and no value of a parameter.
        """
        for node, values in self._nodes(self._root, _segments(raw_path), 0, ()):
            found = node.methods.get(method) or (node.methods.get("GET") if method == "HEAD" else None)
            if found:
                return found[0], dict(zip(found[1], values, strict=True))
            raise Problem("method-not-allowed", f"{method[:20]} is not possible here", headers=(("Allow", allow(node.methods)),))
        return None

    def _nodes(
        self, node: _Node[T], segments: list[str], at: int, values: tuple[str, ...]
    ) -> Iterator[tuple[_Node[T], tuple[str, ...]]]:
        if at == len(segments):
            if node.methods:
                yield node, values
            return
        segment = segments[at]
        if segment in node.names:
            yield from self._nodes(node.names[segment], segments, at + 1, values)
        if node.any and segment:
            yield from self._nodes(node.any, segments, at + 1, (*values, segment))


def allow(methods: Iterable[str]) -> str:
    """The value of `Allow` for a path with these methods."""
    known = {*methods, "OPTIONS"}
    return ", ".join(sorted(known | {"HEAD"} if "GET" in known else known))


def _segments(path: str) -> list[str]:
    path = path[1:] if path.startswith("/") else path
    if path.endswith("/"):
        path = path[:-1]
    return path.split("/") if path else []
