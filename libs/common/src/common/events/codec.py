"""Events to bytes and back: Avro single-object encoding, read with the newest schema of the type that was written.

`C3 01`, the writer's CRC-64-AVRO fingerprint (8 bytes, little-endian), the datum in Avro's binary encoding (Avro 1.11, "Single
object encoding").
"""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any, NoReturn

from fastavro import parse_schema, schemaless_reader, schemaless_writer

from common.errors import AtriumError
from common.events.catalogue import Catalogue, UnknownSchema, UnknownType
from common.events.datum import Check, checker

MAGIC = b"\xc3\x01"
HEADER = len(MAGIC) + 8
#: Bytes. What a decoder allocates is at most a few hundred times the body, so the body's length is what bounds the memory.
LONGEST = 2**20


@dataclass(eq=False)
class Undecodable(AtriumError):
    """These bytes are not an event."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class Unencodable(AtriumError):
    """This is no event of its type."""

    type: str
    field: str  # dotted; "" is the event itself
    reason: str

    def __str__(self) -> str:
        return f"{self.type}.{self.field} {self.reason}" if self.field else f"{self.type}: {self.reason}"


@dataclass(frozen=True, slots=True)
class _Writer:
    header: bytes
    schema: Any
    check: Check


@dataclass(frozen=True, slots=True)
class _Reader:
    type: str
    written: Any
    wanted: Any  # None where the writer's schema is the newest
    check: Check


class Codec:
    """Encodes with the newest schema of a type, decodes what any schema of the catalogue wrote. Any thread may use it."""

    def __init__(self, catalogue: Catalogue, longest: int = LONGEST) -> None:
        self._longest = longest
        self._names = {known.fingerprint: f"urn:atrium:schema:{known.path.removesuffix('.avsc')}" for known in catalogue}
        self._writers: dict[str, _Writer] = {}
        self._readers: dict[bytes, _Reader] = {}
        for type in catalogue.types:
            newest = catalogue.newest(type)
            self._writers[type] = _Writer(MAGIC + newest.fingerprint, parse_schema(newest.raw), checker(newest.tree))
        for schema in catalogue:
            newest = catalogue.newest(schema.type)
            wanted = None if newest is schema else parse_schema(without_uuids(newest.raw))
            check = self._writers[schema.type].check
            self._readers[schema.fingerprint] = _Reader(schema.type, parse_schema(without_uuids(schema.raw)), wanted, check)

    @property
    def types(self) -> frozenset[str]:
        """The types that it encodes."""
        return frozenset(self._writers)

    def encode(self, type: str, datum: Mapping[str, Any]) -> bytes:
        """The body of an event. Raises Unencodable, naming the field.

        The datum has exactly the schema's fields; UUIDs are canonical strings or UUID, times aware datetimes.
        """
        writer = self._writers.get(type)
        if writer is None:
            raise Unencodable(type, "", str(UnknownType(type)))
        if wrong := writer.check(datum):
            raise Unencodable(type, *wrong)
        body = BytesIO()
        body.write(writer.header)
        schemaless_writer(body, writer.schema, dict(datum), strict=True, disable_tuple_notation=True)
        if body.tell() > self._longest:
            raise Unencodable(type, "", f"takes {body.tell()} bytes, more than {self._longest}")
        return body.getvalue()

    def decode(self, body: bytes) -> tuple[str, dict[str, Any]]:
        """The type and the datum as the newest schema of that type has it. UUIDs are strings, times are datetimes in UTC.

        What comes out can be encoded again. Raises UnknownSchema or Undecodable, and nothing else.
        """
        reader = self._readers.get(body[len(MAGIC) : HEADER])
        if reader is None or not body.startswith(MAGIC) or len(body) > self._longest:
            self._refuse(body)
        stream = BytesIO(body)
        stream.seek(HEADER)
        datum = read_datum(stream, reader.type, reader.written, reader.wanted, reader.check)
        if stream.tell() != len(body):
            raise Undecodable(f"{len(body) - stream.tell()} bytes follow the {reader.type}")
        return reader.type, datum

    def dataschema(self, body: bytes) -> str:
        """The URI by which CloudEvents name the schema of a body that a codec has encoded; of a newer installation's too."""
        fingerprint = body[len(MAGIC) : HEADER]
        return self._names.get(fingerprint) or f"urn:atrium:schema:{fingerprint.hex()}"

    def _refuse(self, body: bytes) -> NoReturn:
        if len(body) < HEADER:
            raise Undecodable(f"{len(body)} bytes are too few for a header")
        if not body.startswith(MAGIC):
            raise Undecodable(f"it starts with {body[: len(MAGIC)].hex()}, not with {MAGIC.hex()}")
        if len(body) > self._longest:
            raise Undecodable(f"{len(body)} bytes are more than {self._longest}")
        raise UnknownSchema(body[len(MAGIC) : HEADER].hex())


def read_datum(stream: BytesIO, type: str, written: Any, wanted: Any, check: Check) -> dict[str, Any]:
    """The datum that begins here, as the schema `wanted` has it; `wanted` is None where it is the same as `written`.

    Both without UUIDs. Raises Undecodable, and nothing else.
    """
    start = stream.tell()
    datum: dict[str, Any] = _read(stream, type, written, None)
    if wanted is not None:
        # Only now that all of it has been read once: fastavro does not see the end of the bytes where it skips a field.
        # And a copy, because it puts the schema's own lists in place as defaults.
        stream.seek(start)
        datum = copy.deepcopy(_read(stream, type, written, wanted))
    if wrong := check(datum):
        raise Undecodable(f"this is no {type}: {wrong[0]} {wrong[1]}")
    return datum


def _read(stream: BytesIO, type: str, written: Any, wanted: Any) -> Any:
    try:
        return schemaless_reader(stream, written, wanted)
    except EOFError:
        raise Undecodable(f"the {type} ends too early") from None
    except MemoryError:
        raise
    except Exception as error:  # what hostile bytes provoke in a decoder is not a closed list
        raise Undecodable(f"this is no {type}: {error!s:.200}") from error


def without_uuids(schema: Any) -> Any:
    """The same schema with UUIDs as plain strings: fastavro would make each a UUID, only for us to make it a string again."""
    match schema:
        case list():
            return [without_uuids(branch) for branch in schema]
        case {"type": "string", "logicalType": "uuid"}:
            return "string"
        case dict():
            inner = ("type", "items", "values", "fields")
            return {key: without_uuids(value) if key in inner else value for key, value in schema.items()}
    return schema
