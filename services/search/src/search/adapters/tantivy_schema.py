"""How a kind of listings lies in Tantivy: the schema of a folder, and the documents written under it."""

from typing import Any
from uuid import UUID

import orjson
import tantivy
from tantivy import Schema, SchemaBuilder

from search.domain import Document
from search.kinds import Column, Kind
from search.projection import Fields


def build_schema(kind: Kind) -> Schema:
    """The fields of one generation; another release that needs other fields, or another order of them, needs another generation."""
    builder = SchemaBuilder()
    builder.add_text_field("id", tokenizer_name="raw", index_option="basic")
    builder.add_text_field("progress", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_integer_field("progress_as_of", stored=True)
    builder.add_bytes_field("source", stored=True)
    builder.add_integer_field("version", fast=True)
    _add_number(builder, "id")
    builder.add_unsigned_field("cell", indexed=True, fast=True)
    for name in ("deleted", "visible", *kind.columns(Column.FLAG)):
        builder.add_boolean_field(name, indexed=True)
    for name in kind.words:
        builder.add_text_field(name, tokenizer_name="whitespace", index_option="basic")
    for name in kind.columns(Column.KEYWORD):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic", fast=True)
    for name in kind.columns(Column.ID):
        builder.add_text_field(name, tokenizer_name="raw", index_option="basic")
        _add_number(builder, name)
    for name in kind.columns(Column.INTEGER):
        builder.add_integer_field(name, indexed=True, fast=True)
    for name in kind.columns(Column.FLOAT):
        builder.add_float_field(name, indexed=True, fast=True)
    return builder.build()


def _add_number(builder: SchemaBuilder, name: str) -> None:
    """An id once more as two numbers: columns of text cannot be read for many documents at once."""
    builder.add_unsigned_field(f"{name}_high", fast=True)
    builder.add_unsigned_field(f"{name}_low", fast=True)


def _put_number(written: tantivy.Document, name: str, id: str) -> None:
    number = UUID(id).int
    written.add_unsigned(f"{name}_high", number >> 64)
    written.add_unsigned(f"{name}_low", number & (2**64 - 1))


def stored(kind: Kind, document: Document, fields: Fields | None) -> tantivy.Document:
    """`document` as it is written; without `fields` it is found by its id alone."""
    written = tantivy.Document()
    written.add_text("id", document.id)
    _put_number(written, "id", document.id)
    written.add_integer("version", document.version)
    written.add_boolean("deleted", document.deleted)
    written.add_boolean("visible", fields is not None)
    source = {name: getattr(document, name) for name in Document.__slots__ if name != "listing"}
    written.add_bytes("source", orjson.dumps(source | {kind.singular: document.listing}))
    if fields is None:
        return written
    if fields.point is not None:
        written.add_unsigned("cell", fields.point.cell)
    for name, text in fields.words.items():
        written.add_text(name, text)
    add: dict[Column, Any] = {
        Column.KEYWORD: written.add_text,
        Column.ID: written.add_text,
        Column.INTEGER: written.add_integer,
        Column.FLOAT: written.add_float,
        Column.FLAG: written.add_boolean,
    }
    for column, put in add.items():
        for name in kind.columns(column):
            if name in fields.columns:
                put(name, fields.columns[name])
    for name in kind.columns(Column.ID):
        if name in fields.columns:
            _put_number(written, name, str(fields.columns[name]))
    return written


def document(kind: Kind, found: tantivy.Document) -> Document:
    """Reads `stored` back."""
    source = orjson.loads(bytes(found["source"][0]))
    return Document(listing=source.pop(kind.singular), **source)
