"""An Avro schema as a tree, names resolved and references put in place, stricter than Avro where leniency bites later.

The rules are those of the Avro 1.11 specification. Refused beyond it: unknown attributes (typing errors), recursion (unbounded
depth), items without bytes (a count alone would fill the memory), and defaults that would have to be converted.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from common.errors import AtriumError

PRIMITIVES = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
NAMED = frozenset({"record", "enum", "fixed"})
NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: The default of a field that has none; None is a default.
NO_DEFAULT: Any = object()

_LOGICAL = {"logicalType", "precision", "scale"}
_ATTRIBUTES = {
    "record": {"name", "namespace", "doc", "aliases", "fields"},
    "enum": {"name", "namespace", "doc", "aliases", "symbols", "default"},
    "fixed": {"name", "namespace", "doc", "aliases", "size"} | _LOGICAL,
    "array": {"items"},
    "map": {"values"},
} | dict.fromkeys(PRIMITIVES, _LOGICAL)


@dataclass(eq=False)
class BadSchema(AtriumError):
    """A schema cannot be used."""

    path: str  # of the field within the schema, dotted; "" is the schema itself
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" if self.path else self.reason


@dataclass(frozen=True, slots=True)
class Type:
    """`kind` is a primitive, `record`, `enum`, `fixed`, `array`, `map` or `union`; the rest is set where the kind has it."""

    kind: str
    name: str = ""  # with its namespace
    logical: str = ""  # the logical type with its parameters
    aliases: tuple[str, ...] = ()  # with their namespaces
    fields: "tuple[Field, ...]" = ()
    symbols: tuple[str, ...] = ()
    default: str = ""  # the enum's; "" is none
    size: int = 0
    inner: "tuple[Type, ...]" = ()  # the items, the values, or the union's branches

    def __str__(self) -> str:
        shown = " | ".join(map(str, self.inner)) if self.kind == "union" else f"{self.kind} {self.name}".strip()
        return f"{shown} ({self.logical})" if self.logical else shown


@dataclass(frozen=True, slots=True)
class Field:
    """A record's field."""

    name: str
    type: Type
    default: Any = NO_DEFAULT
    aliases: tuple[str, ...] = ()


def parse(schema: object) -> Type:
    """The tree of a schema as JSON gave it. Raises BadSchema, naming the field."""
    return _Parser().type(schema, "", "")


def at(path: str, step: str) -> str:
    """The path of what stands at `step` (a field's name, or `[]`) below `path`."""
    return f"{path}.{step}" if path and not step.startswith("[") else path + step


class _Parser:
    """Remembers the names that one schema has defined; None while a definition is still open."""

    def __init__(self) -> None:
        self._named: dict[str, Type | None] = {}

    def type(self, schema: object, namespace: str, path: str) -> Type:
        match schema:
            case str() if schema in PRIMITIVES:
                return Type(schema)
            case str():
                return self._referred(schema, namespace, path)
            case list():
                return self._union(schema, namespace, path)
            case dict():
                return self._definition(schema, namespace, path)
        raise BadSchema(path, f"{schema!r:.40} is no type")

    def _referred(self, name: str, namespace: str, path: str) -> Type:
        full = _full(name, namespace)
        if full not in self._named:
            raise BadSchema(path, f"nothing is called {full}")
        known = self._named[full]
        if known is None:
            raise BadSchema(path, f"{full} contains itself")
        return known

    def _union(self, schema: list[object], namespace: str, path: str) -> Type:
        branches = tuple(self.type(branch, namespace, path) for branch in schema)
        keys = [branch_key(branch) for branch in branches]
        if not branches or "union" in keys or len(set(keys)) != len(keys):
            raise BadSchema(path, "a union needs branches, no two of one kind, and none that is a union")
        return Type("union", inner=branches)

    def _definition(self, schema: dict[str, object], namespace: str, path: str) -> Type:
        kind = schema.get("type")
        if not isinstance(kind, str) or kind not in _ATTRIBUTES:
            raise BadSchema(path, f"{kind!r:.40} is no type that can be defined here")
        if unknown := schema.keys() - _ATTRIBUTES[kind] - {"type"}:
            raise BadSchema(path, f"a type {kind} has no attribute {min(unknown)}")
        if kind in NAMED:
            return self._named_type(kind, schema, namespace, path)
        if kind in ("array", "map"):
            inner = self.type(schema.get("items" if kind == "array" else "values"), namespace, at(path, "[]"))
            if kind == "array" and _is_empty(inner):
                raise BadSchema(path, "the items take no bytes, so that a count alone could fill the memory")
            return Type(kind, inner=(inner,))
        return Type(kind, logical=_logical(schema))

    def _named_type(self, kind: str, schema: dict[str, object], namespace: str, path: str) -> Type:
        full = _full(_string(schema, "name", path), _string(schema, "namespace", path, namespace))
        space = full.rpartition(".")[0]
        if not all(NAME.fullmatch(part) for part in full.split(".")) or full in PRIMITIVES:
            raise BadSchema(path, f"{full!r:.80} is no name")
        if full in self._named:
            raise BadSchema(path, f"{full} is defined twice")
        self._named[full] = None
        aliases = tuple(_full(alias, space) for alias in _strings(schema, "aliases", path))
        if kind == "record":
            made = Type(kind, name=full, aliases=aliases, fields=self._fields(schema, space, path))
        elif kind == "enum":
            symbols = tuple(_strings(schema, "symbols", path))
            if not symbols or len(set(symbols)) != len(symbols) or not all(NAME.fullmatch(symbol) for symbol in symbols):
                raise BadSchema(path, "an enum needs symbols, each a name and all different")
            default = _string(schema, "default", path, "")
            if default and default not in symbols:
                raise BadSchema(path, f"the default {default} is not among the symbols")
            made = Type(kind, name=full, aliases=aliases, symbols=symbols, default=default)
        else:
            size = schema.get("size")
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise BadSchema(path, "a fixed needs a size of at least one byte")
            made = Type(kind, name=full, aliases=aliases, size=size, logical=_logical(schema))
        self._named[full] = made
        return made

    def _fields(self, schema: dict[str, object], namespace: str, path: str) -> tuple[Field, ...]:
        listed = schema.get("fields")
        if not isinstance(listed, list):
            raise BadSchema(path, "a record needs a list of fields")
        fields: dict[str, Field] = {}
        for given in listed:
            if not isinstance(given, dict):
                raise BadSchema(path, "a field must be an object")
            name = _string(given, "name", path)
            here = at(path, name)
            if not NAME.fullmatch(name) or name in fields:
                raise BadSchema(here, "a field needs a name of its own")
            if unknown := given.keys() - {"name", "type", "doc", "default", "aliases", "order"}:
                raise BadSchema(here, f"a field has no attribute {min(unknown)}")
            type, default = self.type(given.get("type"), namespace, here), given.get("default", NO_DEFAULT)
            if default is not NO_DEFAULT and not _fits(default, type):
                raise BadSchema(here, f"{default!r:.40} cannot be the default of {type} (of a union, the first branch counts)")
            fields[name] = Field(name, type, default, tuple(_strings(given, "aliases", here)))
        return tuple(fields.values())


def branch_key(type: Type) -> str:
    """What tells the branches of a union apart."""
    return type.name or type.kind


def _fits(default: object, type: Type) -> bool:
    """Whether a reader can put this JSON value in place as it is. (Logical types, bytes and records: make them nullable.)"""
    match type.kind:
        case "union":
            return _fits(default, type.inner[0])
        case "null":
            return default is None
        case "boolean":
            return isinstance(default, bool)
        case "int" | "long":
            limit = 2**31 if type.kind == "int" else 2**63
            whole = isinstance(default, int) and not isinstance(default, bool)
            return whole and not type.logical and -limit <= cast(int, default) < limit
        case "float" | "double":
            return isinstance(default, int | float) and not isinstance(default, bool)
        case "string":
            return isinstance(default, str) and not type.logical
        case "enum":
            return default in type.symbols
        case "array":
            return default == []
        case "map":
            return default == {}
    return False


def _is_empty(type: Type) -> bool:
    """Whether a value of this type takes no bytes."""
    return type.kind == "null" or (type.kind == "record" and all(_is_empty(field.type) for field in type.fields))


def _full(name: str, namespace: str) -> str:
    return f"{namespace}.{name}" if namespace and "." not in name else name


def _logical(schema: Mapping[str, object]) -> str:
    parameters = [f"{key} {schema[key]}" for key in ("precision", "scale") if key in schema]
    return ", ".join([str(schema["logicalType"]), *parameters]) if "logicalType" in schema else ""


def _string(schema: Mapping[str, object], key: str, path: str, otherwise: str | None = None) -> str:
    value = schema.get(key, otherwise)
    if not isinstance(value, str):
        raise BadSchema(path, f"{key} is missing or is no string")
    return value


def _strings(schema: Mapping[str, object], key: str, path: str) -> list[str]:
    values = schema.get(key, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BadSchema(path, f"{key} must be a list of strings")
    return [str(value) for value in values]
