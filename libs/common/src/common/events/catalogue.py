"""The event schemas that this installation knows: every version for reading, the newest of each type for writing."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro.schema

import schemas
from common.errors import AtriumError
from common.events import avro

#: `<service>/<Type>.v<N>.avsc`
FILE_NAME = re.compile(r"(?P<service>[a-z][a-z0-9_]*)/(?P<type>[A-Z][A-Za-z0-9]*)\.v(?P<version>[1-9][0-9]*)\.avsc")
#: The logical types that the codec converts, by what they annotate.
LOGICAL_TYPES = frozenset({("string", "uuid"), ("long", "timestamp-micros")})
#: The list of what was released, beside the schemas.
RELEASED = "RELEASED"
#: In the list, in place of a fingerprint: a draft. Drafts are checked, never used.
UNRELEASED = "unreleased"


@dataclass(eq=False)
class UnknownSchema(AtriumError):
    """The event was written with a schema that is not known here; upgrade consumers first."""

    fingerprint: str  # hex, in the header's byte order

    def __str__(self) -> str:
        return f"no schema here has the fingerprint {self.fingerprint}; upgrade consumers first"


@dataclass(eq=False)
class UnknownType(AtriumError):
    """No schema describes events of this type."""

    type: str

    def __str__(self) -> str:
        return f"no schema describes events of type {self.type}"


@dataclass(eq=False)
class BadFile(AtriumError):
    """A schema file cannot be used."""

    path: str  # below the directory, with slashes
    field: str  # dotted; "" is the file itself
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.field}: {self.reason}" if self.field else f"{self.path}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Schema:
    """One schema file. `type` is the bare name (`RoomCreated`), `fingerprint` the eight bytes that stand in an event's header."""

    path: str
    type: str
    version: int
    fingerprint: bytes
    tree: avro.Type
    raw: dict[str, Any]


class Catalogue:
    """Schemas, at most one per fingerprint. Immutable: any thread may ask."""

    def __init__(self, known: Iterable[Schema]) -> None:
        """Raises BadFile where two have one fingerprint, or two services one type."""
        self._by_fingerprint: dict[bytes, Schema] = {}
        self._newest: dict[str, Schema] = {}
        for schema in sorted(known, key=lambda schema: schema.version):
            twin = self._by_fingerprint.setdefault(schema.fingerprint, schema)
            if twin is not schema:
                raise BadFile(schema.path, "", f"has the same fingerprint as {twin.path}")
            older = self._newest.get(schema.type, schema)
            if older.tree.name != schema.tree.name or (older is not schema and older.version == schema.version):
                raise BadFile(schema.path, "", f"describes the same type as {older.path}")
            self._newest[schema.type] = schema

    @classmethod
    def load(cls, directory: Path = schemas.DIRECTORY) -> "Catalogue":
        """All schemas below the directory, without drafts. Raises BadFile."""
        unused = set(drafts(directory))
        return cls(read(directory, path) for path in paths(directory) if path not in unused)

    def __iter__(self) -> Iterator[Schema]:
        return iter(self._by_fingerprint.values())

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(self._newest)

    def newest(self, type: str) -> Schema:
        """The schema with which events of this type are written. Raises UnknownType."""
        try:
            return self._newest[type]
        except KeyError:
            raise UnknownType(type) from None


def paths(directory: Path) -> list[str]:
    """All schema files below the directory."""
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*.avsc"))


def drafts(directory: Path) -> list[str]:
    """The files that the list of releases calls unreleased."""
    listed = directory / RELEASED
    lines = listed.read_text(encoding="utf-8").splitlines() if listed.exists() else []
    return [words[-1] for words in map(str.split, lines) if words and words[0] == UNRELEASED]


def read(directory: Path, path: str) -> Schema:
    """One file. Raises BadFile."""
    named = FILE_NAME.fullmatch(path)
    if not named:
        raise BadFile(path, "", "is not called <service>/<Type>.v<N>.avsc")
    try:
        raw = json.loads((directory / path).read_bytes(), object_pairs_hook=_object, parse_constant=_constant)
        tree = avro.parse(raw)
        expected = f"atrium.{named['service']}.{named['type']}"
        if tree.kind != "record" or tree.name != expected:
            raise BadFile(path, "", f"must define the record {expected}, not {tree}")
        _refuse_unsupported(tree, "")
        fingerprint = bytes.fromhex(fastavro.schema.fingerprint(fastavro.schema.to_parsing_canonical_form(raw), "CRC-64-AVRO"))
    except avro.BadSchema as error:
        raise BadFile(path, error.path, error.reason) from error
    except (OSError, ValueError, RecursionError, fastavro.schema.SchemaParseException) as error:
        raise BadFile(path, "", str(error)) from error
    return Schema(path, named["type"], int(named["version"]), fingerprint, tree, raw)


def _refuse_unsupported(type: avro.Type, path: str) -> None:
    if (type.logical and (type.kind, type.logical) not in LOGICAL_TYPES) or type.kind in ("float", "fixed", "bytes"):
        raise avro.BadSchema(path, f"the codec does not support {type}")
    for field in type.fields:
        _refuse_unsupported(field.type, avro.at(path, field.name))
    for inner in type.inner:
        _refuse_unsupported(inner, path if type.kind == "union" else avro.at(path, "[]"))


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    repeated = [key for key, count in Counter(key for key, _ in pairs).items() if count > 1]
    if repeated:
        raise ValueError(f"the key {repeated[0]} stands twice in one object")
    return dict(pairs)


def _constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")
