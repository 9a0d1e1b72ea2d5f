"""A service's OpenAPI document, with the components that it shares with other services taken in."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]


def load_document(spec: Path) -> Document:
    """The document in this file, whole.

    A `$ref` like `common/listings/openapi.yaml#/components/headers/ETag`, which names a file of a package, becomes one into the
    document's own components, where a copy of what it means stands under the same name. Raises ValueError for one that means nothing,
    or something else than a component of that name that is there already.
    """
    document: Document = yaml.safe_load(spec.read_text(encoding="utf-8"))
    _Taken(document).take(document, "")
    return document


class _Taken:
    """Fills a document's components with what it refers to elsewhere."""

    def __init__(self, document: Document) -> None:
        self._components: Document = document.setdefault("components", {})
        self._files: dict[str, Document] = {}
        self._origin: dict[tuple[str, str], str] = {}

    def take(self, node: Any, file: str) -> None:
        """Rewrites the references below `node`, which stands in `file`; empty is the document's own."""
        if isinstance(node, list):
            for each in node:
                self.take(each, file)
        elif isinstance(node, dict):
            reference = node.get("$ref")
            if isinstance(reference, str) and (file or not reference.startswith("#")):
                named, _, pointer = reference.partition("#")
                node["$ref"] = self._component(named or file, pointer)
            for each in list(node.values()):
                self.take(each, file)

    def _component(self, origin: str, pointer: str) -> str:
        try:
            _, components, section, name = pointer.split("/")
            component = self._read(origin)[components][section][name]
        except (ValueError, KeyError, OSError, ModuleNotFoundError) as error:
            raise ValueError(f"{origin}#{pointer} means nothing: {error!r}") from None
        present = self._components.setdefault(section, {})
        if name not in present:
            present[name], self._origin[section, name] = component, origin
            self.take(component, origin)
        elif self._origin.get((section, name)) != origin:
            raise ValueError(f"#{pointer} is there already, and is not that of {origin}")
        return f"#{pointer}"

    def _read(self, file: str) -> Mapping[str, Any]:
        if file not in self._files:
            package, *path = file.split("/")
            self._files[file] = yaml.safe_load(files(package).joinpath(*path).read_text(encoding="utf-8"))
        return self._files[file]
