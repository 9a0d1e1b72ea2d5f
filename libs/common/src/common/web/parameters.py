"""Path, query and header parameters: read strictly by the document, compiled once per operation."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes

from common.errors import FieldError
from common.web.schemas import Schema

# JSON's own grammar: no sign but minus, no leading zeros, no underscores, no digits of other scripts.
_INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})", re.ASCII)
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", re.ASCII)
_MAX_PARTS = 200  # besides what an operation's lists may hold
MISSING = object()


class Malformed(Exception):
    """The text is no value of the parameter's type; the message says what it must be."""


def decoded(text: str) -> str:
    """Percent-decoded (RFC 3986). Raises Malformed for what is not UTF-8 afterwards, or holds U+0000."""
    try:
        value = unquote_to_bytes(text).decode() if "%" in text else text
    except UnicodeDecodeError:
        raise Malformed("is not UTF-8 once its percent-encoding is undone") from None
    if "\0" in value:
        raise Malformed("contains the character U+0000")
    return value


def split_query(query: str, most: int = _MAX_PARTS) -> tuple[dict[str, list[str]], list[FieldError]]:
    """The values of each name in a raw query string (ASCII) of at most so many parts, in order, and what could not be read."""
    values: dict[str, list[str]] = {}
    errors: list[FieldError] = []
    if not query:
        return values, errors
    parts = query.replace("+", " ").split("&")
    if len(parts) > most:
        return values, [FieldError("query", "", f"has more than {most} parameters")]
    for part in parts:
        if not part:
            continue
        name, _, text = part.partition("=")
        try:
            name = decoded(name)
            values.setdefault(name, []).append(decoded(text))
        except Malformed as error:
            errors.append(FieldError("query", name[:100], str(error)))
            values.setdefault(name, [])
    return values, errors


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of an operation."""

    name: str
    where: str  # path, query, header
    argument: str  # of the handler; "" when it is not handed over
    required: bool
    default: Any
    array: bool
    separator: str  # between the items of an array within one value; "" when only repetition makes several
    convert: Callable[[str], Any]
    schema: Schema

    def value(self, texts: Sequence[str]) -> tuple[Any, tuple[FieldError, ...]]:
        """The value of what was sent, or what is wrong with it."""
        try:
            if self.array:
                if self.separator:
                    texts = [item for text in texts if text for item in text.split(self.separator)]
                value: Any = [self.convert(text) for text in texts]
            elif len(texts) != 1:
                raise Malformed("must be given once only")
            else:
                value = self.convert(texts[0])
        except Malformed as error:
            return MISSING, (FieldError(self.where, self.name, str(error)),)
        errors = self.schema.errors(value, self.where, self.name)
        # An item is named by its parameter: `near`, not `near[0]`.
        return value, tuple(FieldError(self.where, self.name, error.detail) for error in errors)


class Parameters:
    """The parameters of one operation: from what was sent to the handler's arguments."""

    def __init__(
        self, definitions: Iterable[Mapping[str, Any]], components: Mapping[str, Any], also_known: Iterable[str] = ()
    ) -> None:
        """Raises ValueError for a definition that cannot be compiled. `also_known` are query names others read (API keys)."""
        definitions = list(definitions)
        self._most = _MAX_PARTS + sum(each.get("schema", {}).get("maxItems", 0) for each in definitions if each["in"] == "query")
        self.all = tuple(_compiled(each, components) for each in definitions)
        self._path = [each for each in self.all if each.where == "path"]
        self._query = {each.name: each for each in self.all if each.where == "query"}
        self._headers = [each for each in self.all if each.where == "header"]
        self._also_known = frozenset(also_known)

    def read(
        self, path: Mapping[str, str], query: str, headers: Callable[[str], str | None]
    ) -> tuple[dict[str, Any], list[FieldError]]:
        """(arguments by name, everything that is wrong). `path` holds raw segments, `query` the raw query string,
        `headers` gives a header by its lower-case name."""
        arguments: dict[str, Any] = {}
        errors: list[FieldError] = []
        for parameter in self._path:
            try:
                text = [decoded(path[parameter.name])]
            except Malformed as error:
                errors.append(FieldError("path", parameter.name, str(error)))
                continue
            _take(parameter, text, arguments, errors)
        sent, broken = split_query(query, self._most)
        errors += broken
        unreadable = {error.name for error in broken}
        for name in sent:
            if name not in self._query and name not in self._also_known and name not in unreadable:
                errors.append(FieldError("query", name[:100], "is not a known parameter"))
        for name, parameter in self._query.items():
            if name not in unreadable:
                _take(parameter, sent.get(name), arguments, errors)
        for parameter in self._headers:
            text_or_none = headers(parameter.name.lower())
            _take(parameter, None if text_or_none is None else [text_or_none], arguments, errors)
        return arguments, errors


def _take(parameter: Parameter, texts: Sequence[str] | None, arguments: dict[str, Any], errors: list[FieldError]) -> None:
    if texts is None:
        if parameter.required:
            errors.append(FieldError(parameter.where, parameter.name, "is missing"))
        elif parameter.default is not MISSING and parameter.argument:
            arguments[parameter.argument] = parameter.default
        return
    value, wrong = parameter.value(texts)
    errors += wrong
    if parameter.argument:
        arguments[parameter.argument] = value


def _compiled(definition: Mapping[str, Any], components: Mapping[str, Any]) -> Parameter:
    name, where = definition["name"], definition["in"]
    schema = definition.get("schema")
    style = definition.get("style", "form" if where == "query" else "simple")
    if where not in ("path", "query", "header") or schema is None or style not in ("form", "simple"):
        raise ValueError(f"parameter {name}: only path, query and header with a schema in form or simple style are read")
    array = schema.get("type") == "array"
    kind = (schema.get("items", {}) if array else schema).get("type", "string")
    if kind not in _CONVERTERS:
        raise ValueError(f"parameter {name}: {kind} cannot be read from text")
    return Parameter(
        name=name,
        where=where,
        argument="" if where == "header" else re.sub(r"[^0-9a-zA-Z_]", "_", name),
        required=bool(definition.get("required")),
        default=schema.get("default", MISSING),
        array=array,
        separator="" if style == "form" and definition.get("explode", True) else ",",
        convert=_CONVERTERS[kind],
        schema=Schema(schema, components),
    )


def _integer(text: str) -> int:
    if not _INTEGER.fullmatch(text):
        raise Malformed("must be a whole number")
    return int(text)


def _number(text: str) -> int | float:
    if not _NUMBER.fullmatch(text) or len(text) > 40:
        raise Malformed("must be a number")
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise Malformed("must be a number that is not as large")
    return value


def _boolean(text: str) -> bool:
    if text not in ("true", "false"):
        raise Malformed("must be true or false")
    return text == "true"


_CONVERTERS: Mapping[str, Callable[[str], Any]] = {"string": str, "integer": _integer, "number": _number, "boolean": _boolean}


def bind_arguments(
    parameters: Parameters, handler: Callable[..., Any], has_body: bool, accepted: Mapping[str, Any]
) -> dict[str, str]:
    """How each argument is called by the handler: its own name, or with `_` behind it where it would hide a built-in.

    `accepted` are the handler's parameters (inspect.signature). Raises ValueError for one that the handler lacks.
    """
    renamed: dict[str, str] = {}
    names = [each.argument for each in parameters.all if each.argument] + (["body"] if has_body else [])
    anything = any(each.kind is each.VAR_KEYWORD for each in accepted.values())
    for name in names:
        found = next((spelling for spelling in (name, f"{name}_") if spelling in accepted), name if anything else None)
        if found is None:
            raise ValueError(f"{getattr(handler, '__qualname__', handler)} lacks the argument {name}")
        renamed[name] = found
    for each in parameters.all:
        optional = each.argument and not each.required and each.default is MISSING
        if optional and not anything and accepted[renamed[each.argument]].default is accepted[renamed[each.argument]].empty:
            raise ValueError(f"{getattr(handler, '__qualname__', handler)} must give {each.argument} a default: it is optional")
    return renamed
