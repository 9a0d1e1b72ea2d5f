#!/usr/bin/env python3
"""`make service NAME=bicycles`: a service of listings of its own, made of `tools/scaffold`, and entered where services are listed.

What stands in `tools/scaffold` is a service of widgets, whose name becomes the new one's everywhere, in paths too.
"""

from __future__ import annotations

import importlib.util
import keyword
import os
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from common.events.compatibility import check, release
from stack import ISSUER, REPOSITORY, StackError, found

_NAME = re.compile(r"[a-z][a-z0-9]{1,29}")
#: Names that mean something in each service already: in Python, in events, in tables.
_TAKEN_SINGULARS = {
    *("aggregate", "any", "config", "controller", "given", "kind", "self", "service", "spec", "tables"),
    *("derived", "id", "owner", "version"),
}
_TAKEN_PLURALS = {"images", "outbox"}
_DOCUMENTS = ("openapi.yaml", "operations.yaml")
_WIDGET = re.compile(r"(?P<article>\b[Aa] (?=[Ww]idget\b))?(?P<word>[Ww]idgets?|WIDGETS?)|\b8999\b")
_IMPORTS = re.compile(r"(?:^from .+\n)+", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Names:
    plural: str
    singular: str
    port: int

    def put(self, text: str) -> str:
        """`text` of the scaffold, said of this service."""
        return _WIDGET.sub(self._put, text)

    def _put(self, match: re.Match[str]) -> str:
        if match["word"] is None:
            return str(self.port)
        word = self.plural if match["word"].lower().endswith("s") else self.singular
        said = {"w": word, "W": word.capitalize()}[match["word"][0]] if match["word"][1].islower() else word.upper()
        article = match["article"] or ""
        return f"{article.replace(' ', 'n ') if self.singular[0] in 'aeiou' else article}{said}"


def main() -> int:
    """0 when it was made; 2 with one line when it cannot be."""
    try:
        for line in made(REPOSITORY, os.environ.get("NAME", ""), os.environ.get("SINGULAR", "")):
            print(line)
    except StackError as error:
        print(f"atrium: {error}", file=sys.stderr)
        return 2
    return 0


def made(repository: Path, name: str, singular: str = "") -> Iterator[str]:
    """Makes the service, and tells what was made. Raises StackError before anything is written."""
    names = _names(repository, name, singular or _singular(name))
    if findings := check(repository / "schemas"):
        raise StackError(f"the schemas are not in order, and have to be first: {findings[0]}")
    files = dict(_files(names))
    entries = {path: entered((repository / path).read_text(encoding="utf-8"), names) for path, entered in _ENTERED.items()}
    for path, text in files.items():
        target = repository / path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("x", encoding="utf-8") as file:
            file.write(text)
    for path, text in entries.items():
        (repository / path).write_text(text, encoding="utf-8")
    schemas = [path.removeprefix("schemas/") for path in files if path.startswith("schemas/")]
    if findings := release(repository / "schemas", schemas):
        raise StackError(f"the schemas were written, and cannot be released: {findings[0]}")
    yield f"made {names.plural}, listings of which each is called {names.singular}, on port {names.port}:"
    wide = max(map(len, files))
    yield from (f"  {path:<{wide}} {text.count(chr(10)):>4} lines" for path, text in files.items() if text)
    yield f"entered it in {', '.join([*_ENTERED, 'schemas/RELEASED'])}"
    yield from _next(names)


def _next(names: Names) -> Iterator[str]:
    yield "next:"
    yield f'  make test ARGS="services/{names.plural}"    its tests, which are those of all listings'
    yield "  make run                             migrates its database and starts it with the others"
    yield f"  curl -d '{{\"name\": \"First\"}}' -H 'Content-Type: application/json' http://127.0.0.1:{names.port}/v1.0/{names.plural}"
    yield "  docs/recipes/add-a-service.md        its fields, and who hears of it"


def _singular(plural: str) -> str:
    for end, put in (("ies", "y"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("s", "")):
        if plural.endswith(end) and not plural.endswith("ss"):
            return plural.removesuffix(end) + put
    return plural


def _names(repository: Path, name: str, singular: str) -> Names:
    if not name:
        raise StackError("which name? `make service NAME=bicycles`")
    for variable, value in (("NAME", name), ("SINGULAR", singular)):
        if not _NAME.fullmatch(value) or keyword.iskeyword(value):
            raise StackError(f"{variable} must be 2 to 30 letters a to z and digits, a letter first, not {value[:60]!r}")
    if singular == name:
        raise StackError(f"NAME must be a plural other than its singular {name!r}; SINGULAR can name another one")
    if name in _TAKEN_PLURALS or (repository / "services" / name).exists() or (repository / "schemas" / name).exists():
        raise StackError(f"NAME {name!r} is taken")
    if _is_package(name):
        raise StackError(f"NAME {name!r} is taken by a Python package of this name")
    if singular in _TAKEN_SINGULARS | _components(repository):
        raise StackError(f"SINGULAR {singular!r} means something else in every service")
    if taken := next((repository / "schemas").glob(f"*/{singular.capitalize()}Created.v*.avsc"), None):
        raise StackError(f"SINGULAR {singular!r} is taken by {taken.parent.name}")
    ports = {service.default_port for service in found(repository)}
    port = max(ports) + 1
    return Names(name, singular, port + 1 if port == ISSUER.default_port else port)


def _is_package(name: str) -> bool:
    """(One that is left over of a service which was removed is none: nothing of it can be imported.)"""
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def _components(repository: Path) -> set[str]:
    """What the shared documents call components, in lower case."""
    listings = repository / "libs/common/src/common/listings"
    documents = [yaml.safe_load((listings / name).read_text(encoding="utf-8")) for name in _DOCUMENTS]
    return {name.lower() for document in documents for section in document["components"].values() for name in section}


def _files(names: Names) -> Iterator[tuple[str, str]]:
    """Path and text of each, from the repository."""
    scaffold = REPOSITORY / "tools" / "scaffold"
    for path in sorted(path for path in scaffold.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        text = names.put(path.read_text(encoding="utf-8"))
        yield names.put(path.relative_to(scaffold).as_posix()), _sorted_imports(text) if path.suffix == ".py" else text


def _sorted_imports(text: str) -> str:
    return _IMPORTS.sub(lambda block: "".join(sorted(block[0].splitlines(keepends=True), key=lambda line: line.split()[1])), text)


def _linted(text: str, names: Names) -> str:
    text = _listed(text, "root_packages =\n", f"    {names.plural}\n")
    text = _listed(text, "containers =\n", f"    {names.plural}\n")
    text = _listed(text, "source_modules =\n", f"    {names.plural}.domain\n")

    def siblings(match: re.Match[str]) -> str:
        return "    " + " | ".join(sorted([*match[0].strip().split(" | "), names.plural]))

    return re.sub(r"(?<=^layers =\n)    [a-z0-9 |]+$", siblings, text, count=1, flags=re.MULTILINE)


def _listed(text: str, header: str, line: str) -> str:
    """With this line among those below the header, in their order."""
    head, _, rest = text.partition(header)
    block = re.match(r"(?: {4}.+\n)*", rest)
    lines = block[0].splitlines(keepends=True) if block else []
    return f"{head}{header}{''.join(sorted([*lines, line]))}{rest[len(''.join(lines)) :]}"


def _after(pattern: str, line: str) -> Callable[[str, Names], str]:
    """Adds what is said of the service behind the last line of this pattern."""

    def entered(text: str, names: Names) -> str:
        last = list(re.finditer(pattern, text, re.MULTILINE))[-1]
        return f"{text[: last.end()]}\n{names.put(line)}{text[last.end() :]}"

    return entered


def _configured(text: str, names: Names) -> str:
    for pattern, line in (
        (r"^[A-Z]+_PORT=\d+$", "WIDGETS_HOST=127.0.0.1\nWIDGETS_PORT=8999"),
        (r"^#[A-Z]+_DATABASE_URL=.*$", "#WIDGETS_DATABASE_URL=postgresql+psycopg://atrium@127.0.0.1:5432/widgets"),
        (r"^#[A-Z]+_IMAGES_URL=.*$", "#WIDGETS_IMAGES_URL=http://127.0.0.1:8999/images"),
    ):
        text = _after(pattern, line)(text, names)
    return text


#: Where services are listed that do not find them by themselves.
_ENTERED: dict[str, Callable[[str, Names], str]] = {
    "tox.ini": _after(r"^    -e \{tox_root\}/services/.*$", "    -e {tox_root}/services/widgets"),
    ".importlinter": _linted,
    ".env.example": _configured,
}

if __name__ == "__main__":
    sys.exit(main())
