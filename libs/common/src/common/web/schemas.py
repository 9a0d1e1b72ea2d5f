"""OpenAPI 3.0 schemas, compiled once to jsonschema-rs validators whose errors name the field."""

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import jsonschema_rs

from common.errors import FieldError

MAX_ERRORS = 20
# Without the least 64-bit integer: integers below it come out of the parser as that very number, as a float.
_INT64 = (1 - 2**63, 2**63 - 1)
_ARTICLES = {"integer": "a whole number", "object": "an object", "array": "an array", "string": "a string", "number": "a number"}
_ARTICLES |= {"boolean": "true or false", "null": "null"}
_FORMATS = {
    "uuid": "a UUID",
    "uri": "an absolute URI",
    "date-time": "a date and time as in 2026-01-31T12:00:00Z",
    "date": "a date",
}

# Only how it begins, so that it is named together with all else that is wrong; the rest is the domain's to say.
_WEB_ADDRESS = re.compile(r"\s*https?://", re.IGNORECASE)
_OUR_FORMATS = {"web-address": lambda text: _WEB_ADDRESS.match(text) is not None}


class Schema:
    """One compiled schema for what comes in.

    Properties marked `readOnly` may be sent, with any value; `read_only` lists those of the outermost object.
    """

    def __init__(self, schema: Mapping[str, Any], components: Mapping[str, Any]) -> None:
        """Raises ValueError for a schema that cannot be compiled. `components` is the document's, for `$ref`."""
        document = for_input(schema)
        document["components"] = {"schemas": {name: for_input(each) for name, each in components.get("schemas", {}).items()}}
        self._document = document
        self._validator = jsonschema_rs.Draft202012Validator(document, formats=_OUR_FORMATS, validate_formats=True, offline=True)
        outermost = _resolved(schema, components)
        self.read_only = frozenset(
            name for name, each in outermost.get("properties", {}).items() if _resolved(each, components).get("readOnly")
        )

    def errors(self, value: object, where: str = "body", name: str = "") -> tuple[FieldError, ...]:
        """What is wrong with the value, at most MAX_ERRORS; empty when it is valid. `name` is put before every path."""
        if self._validator.is_valid(value):
            return ()
        found: list[FieldError] = []
        for error in islice(self._validator.iter_errors(value), MAX_ERRORS):
            found += _field_errors(error, where, name, self._document)
        return tuple(dict.fromkeys(found))[:MAX_ERRORS]  # a rule that is said twice is broken twice


def for_input(schema: Any) -> dict[str, Any]:
    """An OpenAPI 3.0 schema as JSON Schema 2020-12, whose formats include uuid: nullable, readOnly, exclusive bounds as booleans,
    and integers of 64 bits, said in its words.
    """
    if not isinstance(schema, Mapping):
        raise ValueError(f"a schema must be an object, not {schema!r:.80}")
    if "$ref" in schema:
        return {"$ref": schema["$ref"]}
    if schema.get("readOnly"):
        return {}
    result: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties":
            result[key] = {name: for_input(each) for name, each in value.items()}
        elif key in ("allOf", "anyOf", "oneOf"):
            result[key] = [for_input(each) for each in value]
        elif key in ("items", "not") or (key == "additionalProperties" and isinstance(value, Mapping)):
            result[key] = for_input(value)
        elif key == "required":
            hidden = {
                name for name, each in schema.get("properties", {}).items() if isinstance(each, Mapping) and each.get("readOnly")
            }
            result |= {key: kept} if (kept := [name for name in value if name not in hidden]) else {}
        elif key not in (
            "nullable",
            "example",
            "default",
            "description",
            "title",
            "discriminator",
            "xml",
            "externalDocs",
            "deprecated",
        ):
            result[key] = value
    for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
        if result.pop(exclusive, False) is True and bound in result:
            result[exclusive] = result.pop(bound)
    if result.get("type") == "integer":
        result.setdefault("minimum", _INT64[0])
        result.setdefault("maximum", _INT64[1])
    return _nullable(result) if schema.get("nullable") else result


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    if "enum" in schema and None not in schema["enum"]:
        schema["enum"] = [*schema["enum"], None]
    if isinstance(schema.get("type"), str) and not {"allOf", "anyOf", "oneOf"} & schema.keys():
        return schema | {"type": [schema["type"], "null"]}
    # Not anyOf, whose one error names neither the field within nor what is wrong with it.
    return {"if": {"type": "null"}, "else": schema}


def _resolved(schema: Mapping[str, Any], components: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in schema:
        schema = components["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def _field_errors(error: jsonschema_rs.ValidationError, where: str, name: str, document: Mapping[str, Any]) -> list[FieldError]:
    path = name
    for step in error.instance_path:
        path = f"{path}[{step}]" if isinstance(step, int) else _joined(path, step)
    kind = error.kind
    match kind.name:
        case "required":
            return [FieldError(where, _joined(path, kind.property), "is missing")]  # type: ignore[attr-defined]
        case "additionalProperties":
            return [FieldError(where, _joined(path, each)[:200], "is not a known property") for each in kind.unexpected]  # type: ignore[attr-defined]
        case "pattern" | "format" if hint := _hint(error.schema_path, document):
            return [FieldError(where, path, hint)]
        case "type" if error.instance is None:
            return [FieldError(where, path, f"{_detail(kind, error.message)}, not null")]
    return [FieldError(where, path, _detail(kind, error.message))]


def _hint(steps: Sequence[str | int], document: Mapping[str, Any]) -> str:
    """What the schema with the broken rule says of itself (`x-hint`), in place of a regular expression; empty if nothing."""
    schema: Any = document
    try:
        for step in steps[:-1]:  # the last is the rule; references have been followed
            schema = schema[step]
        return str(schema.get("x-hint", ""))
    except (LookupError, TypeError, AttributeError):
        return ""


def _joined(path: str, step: str) -> str:
    return f"{path}.{step}" if path else step


def _detail(kind: Any, message: str) -> str:
    """What the value must be. It does not repeat the value, which may be anything and of any size."""
    match kind.name:
        case "type":
            return f"must be {' or '.join(_ARTICLES[each] for each in kind.types)}"
        case "format":
            return f"must be {_FORMATS.get(kind.format, f'a valid {kind.format}')}"
        case "enum":
            return f"must be one of {', '.join(str(each) for each in kind.options)}"[:300]
        case "pattern":
            return f"must match {kind.pattern}"[:300]
        case "minimum" | "exclusiveMinimum":
            return f"must be {'at least' if kind.name == 'minimum' else 'greater than'} {kind.limit}"
        case "maximum" | "exclusiveMaximum":
            return f"must be {'at most' if kind.name == 'maximum' else 'less than'} {kind.limit}"
        case "minLength":
            return "must not be empty" if kind.limit == 1 else f"must have at least {kind.limit} characters"
        case "maxLength":
            return f"must have at most {kind.limit} characters"
        case "minItems" | "maxItems" | "minProperties" | "maxProperties":
            thing = "items" if kind.name.endswith("Items") else "properties"
            return f"must have at {'least' if kind.name.startswith('min') else 'most'} {kind.limit} {thing}"
        case "uniqueItems":
            return "must not hold the same item twice"
        case "multipleOf":
            return f"must be a multiple of {kind.multiple_of}"
        case "anyOf" | "oneOf":
            return "matches none of the forms it may have" if "None" not in type(kind).__name__ else "matches more than one form"
        case "not":
            return "has a form it must not have"
        case _:
            return message[:200]
