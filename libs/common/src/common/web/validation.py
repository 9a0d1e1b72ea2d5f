"""Validation against a service's OpenAPI document, for what does not come in as one request: import lines, merge results."""

from collections.abc import Callable
from pathlib import Path

from common.errors import FieldError
from common.web.document import load_document
from common.web.json_input import parse_json
from common.web.schemas import Schema

__all__ = ["Schema", "parse_json", "schema_validator"]


def schema_validator(spec: Path, component: str) -> Callable[[object], tuple[FieldError, ...]]:
    """A function that says what is wrong with a value by `#/components/schemas/<component>`; empty when it is valid.

    It has the rules of a request body: properties marked readOnly may be there, with any value.
    Raises ValueError when the document has no such component or it cannot be compiled.
    """
    return component_schema(spec, component).errors


def component_schema(spec: Path, component: str) -> Schema:
    """The compiled component, which also knows its `read_only` properties."""
    document = load_document(spec)
    components = document.get("components", {})
    if component not in components.get("schemas", {}):
        raise ValueError(f"{spec.name} has no #/components/schemas/{component}")
    return Schema({"$ref": f"#/components/schemas/{component}"}, components)
