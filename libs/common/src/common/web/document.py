"""A service's OpenAPI document, with what it shares with other services taken in."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

Document = dict[str, Any]

#: In a document: what it is a special case of.
FROM = "x-from"


def load_document(spec: Path) -> Document:
    """The document in this file, whole.

    Where it says `x-from: {document: common/listings/operations.yaml, singular: item}`, it is laid over that one, in which `<singular>`
    has become `item`, `<Singular>` `Item`, and `<a singular>` `an item`; the same for whatever else stands there. Objects
    become one, lists follow one another, its own first; of everything else its own is taken.

    A `$ref` like `common/listings/openapi.yaml#/components/headers/ETag`, which names a file of a package, becomes one into the
    document's own components, where a copy of what it means stands under the same name. Raises ValueError for one that means nothing,
    or something else than a component of that name that is there already.
    """
    document: Document = yaml.safe_load(spec.read_text(encoding="utf-8"))
    if words := document.pop(FROM, None):
        document = _laid(document, yaml.safe_load(_worded(_packaged(words.pop("document")), words)))
    _Taken(document).take(document, "")
    return document


def _worded(text: str, words: Mapping[str, str]) -> str:
    for name, word in words.items():
        article = "an" if word[0] in "aeiou" else "a"
        for placeholder, put in ((name, word), (name.capitalize(), word.capitalize()), (f"a {name}", f"{article} {word}")):
            text = text.replace(f"<{placeholder}>", put)
    return text


def _laid(own: Any, shared: Any) -> Any:
    if isinstance(own, dict) and isinstance(shared, dict):
        both = {name: _laid(own[name], value) if name in own else value for name, value in shared.items()}
        return both | {name: value for name, value in own.items() if name not in shared}
    if isinstance(own, list) and isinstance(shared, list):
        return own + shared
    return own


def _packaged(file: str) -> str:
    """The text of a package's file, as in `common/listings/openapi.yaml`."""
    package, *path = file.split("/")
    return files(package).joinpath(*path).read_text(encoding="utf-8")


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
            self._files[file] = yaml.safe_load(_packaged(file))
        return self._files[file]
