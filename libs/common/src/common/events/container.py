"""Avro object container files (Avro 1.11, "Object container files") of any length, written and read as streams of bytes.

A header with the writer's schema, then blocks: how many data, how many bytes, those bytes deflated, 16 bytes that mark the block's end.
The format does not say where a file ends. Ours say so: their last block holds nothing, and the header announces it.
"""

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from io import BytesIO
from typing import Any

from fastavro import parse_schema, schemaless_writer

from common.events import avro
from common.events.catalogue import Catalogue
from common.events.codec import LONGEST, Undecodable, Unencodable, read_datum, without_uuids
from common.events.datum import checker

CONTENT_TYPE = "application/avro"
MAGIC = b"Obj\x01"
#: In the header: the file's last block holds nothing.
ENDS = "atrium.ends"

_BLOCK = 64 * 1024  # bytes of data after which a block is written
#: Bytes that a block may have, before and after inflation; what is decoded from them is held one datum at a time.
_LARGEST = 2 * LONGEST
_METADATA = {"type": "map", "values": "bytes"}
#: Entries that a header may have, and bytes that each may.
_ENTRIES, _ENTRY = 100, 2**20
_SYNC = 16


class Container:
    """Files of data of one type. Any thread may use it."""

    def __init__(self, catalogue: Catalogue, type: str) -> None:
        """Raises UnknownType."""
        self._type, self._newest = type, catalogue.newest(type)
        self._written = parse_schema(self._newest.raw)
        self._wanted = parse_schema(without_uuids(self._newest.raw))
        self._check = checker(self._newest.tree)

    def write(self, data: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
        """The bytes of a file, a block at a time, made as they are asked for; the first come with the first data.

        Raises Unencodable, naming the field, and what `data` raises.
        """
        sync = os.urandom(_SYNC)
        metadata = {"avro.schema": json.dumps(self._newest.raw).encode(), "avro.codec": b"deflate", ENDS: b"true"}
        made, block, count = BytesIO(), BytesIO(), 0
        made.write(MAGIC)
        schemaless_writer(made, _METADATA, metadata)
        made.write(sync)
        header = made.getvalue()
        for datum in data:
            start = block.tell()
            if wrong := self._check(datum):
                raise Unencodable(self._type, *wrong)
            schemaless_writer(block, self._written, dict(datum), strict=True, disable_tuple_notation=True)
            if block.tell() - start > LONGEST:
                raise Unencodable(self._type, "", f"takes {block.tell() - start} bytes, more than {LONGEST}")
            count += 1
            if block.tell() >= _BLOCK:
                yield header + _block(count, block.getvalue(), sync)
                header, block, count = b"", BytesIO(), 0
        last = _block(count, block.getvalue(), sync) if count else b""
        yield header + last + _block(0, b"", sync)

    def read(self, pieces: Iterable[bytes]) -> Iterator[dict[str, Any]]:
        """The data of a file as the newest schema of the type has them, in order, whoever wrote it; `pieces` are its bytes.

        Raises Undecodable where it is no such file, has been damaged or is not whole; what came before that has been given out.
        """
        source = _Source(pieces)
        metadata, sync = _header(source)
        inflate = _CODECS.get(metadata.get("avro.codec", b"null"))
        if inflate is None:
            raise Undecodable(f"its codec {_shown(metadata['avro.codec'])} is not known here; null and deflate are")
        written, wanted = self._resolution(metadata)
        ended = ENDS not in metadata
        number = 0
        while source.more():
            number += 1
            try:
                count, data = _taken(source, sync, inflate)
                stream = BytesIO(data)
                for _ in range(count):
                    yield read_datum(stream, self._type, written, wanted, self._check)
                if stream.tell() != len(data):
                    raise Undecodable(f"{len(data) - stream.tell()} bytes follow the last {self._type}")
            except Undecodable as error:
                raise Undecodable(f"block {number}: {error.reason}") from error
            ended = ENDS not in metadata or count == 0
        if not ended:
            raise Undecodable(f"it ends after block {number}, without the mark that it is whole")

    def _resolution(self, metadata: Mapping[str, bytes]) -> tuple[Any, Any]:
        """The writer's schema and, unless it is the same, ours; fastavro's, without UUIDs."""
        try:
            raw = json.loads(metadata.get("avro.schema", b""))
            if raw == self._newest.raw:
                return self._wanted, None
            tree = avro.parse(raw)
            if tree.name != self._newest.tree.name:
                raise Undecodable(f"it holds {tree}, not {self._newest.tree}")
            return parse_schema(without_uuids(raw)), self._wanted
        except Undecodable:
            raise
        except Exception as error:  # what a hostile schema provokes is not a closed list
            raise Undecodable(f"its schema cannot be used: {error!s:.200}") from error


class _Source:
    """Takes so many bytes at a time from pieces of any size."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._held = bytearray()

    def more(self) -> bool:
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return False
            self._held += piece
        return True

    def take(self, size: int) -> bytes:
        while len(self._held) < size:
            piece = next(self._pieces, None)
            if piece is None:
                raise Undecodable("it ends too early")
            self._held += piece
        taken = bytes(self._held[:size])
        del self._held[:size]
        return taken

    def long(self) -> int:
        """A long in Avro's encoding: variable length, zigzag."""
        value = 0
        for shift in range(0, 70, 7):
            byte = self.take(1)[0]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)
        raise Undecodable("a number has too many bytes")

    def bytes(self, limit: int) -> bytes:
        size = self.long()
        if not 0 <= size <= limit:
            raise Undecodable(f"{size} bytes are announced, where there may be {limit}")
        return self.take(size)


def _header(source: _Source) -> tuple[dict[str, bytes], bytes]:
    """The metadata, and what marks the end of each block."""
    try:
        magic = source.take(len(MAGIC))
    except Undecodable:
        magic = b""
    if magic != MAGIC:
        raise Undecodable("it does not start like an Avro container file")
    metadata: dict[str, bytes] = {}
    while count := source.long():
        if count < 0:  # then the size in bytes follows, for who would skip them
            source.long()
        for _ in range(abs(count)):
            if len(metadata) == _ENTRIES:
                raise Undecodable(f"its header has more than {_ENTRIES} entries")
            name = source.bytes(_ENTRY).decode("utf-8", "replace")
            if name in metadata:
                raise Undecodable(f"its header has {_shown(name.encode())} twice")
            metadata[name] = source.bytes(_ENTRY)
    return metadata, source.take(_SYNC)


def _taken(source: _Source, sync: bytes, inflate: Any) -> tuple[int, bytes]:
    """The next block: how many data, and their bytes."""
    count = source.long()
    data = inflate(source.bytes(_LARGEST))
    if source.take(_SYNC) != sync:
        raise Undecodable("what marks its end is not there: it was damaged")
    # Data take a byte at least: a count alone must not keep anyone busy.
    if not 0 <= count <= len(data):
        raise Undecodable(f"{count} data cannot be in {len(data)} bytes")
    return count, data


def _inflate(data: bytes) -> bytes:
    inflating = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflating.decompress(data, _LARGEST)
        whole = inflating.eof or not inflating.decompress(inflating.unconsumed_tail, 1)
    except zlib.error as error:
        raise Undecodable(f"it cannot be inflated: {error}") from None
    if not whole:
        raise Undecodable(f"it inflates to more than {_LARGEST} bytes")
    if not inflating.eof:
        raise Undecodable("its deflated bytes end too early")
    return inflated


_CODECS = {b"null": bytes, b"deflate": _inflate}


def _block(count: int, data: bytes, sync: bytes) -> bytes:
    deflating = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated = deflating.compress(data) + deflating.flush()
    return _long(count) + _long(len(deflated)) + deflated + sync


def _long(value: int) -> bytes:
    """A number that is not negative, in Avro's encoding."""
    rest, encoded = value << 1, bytearray()
    while rest > 0x7F:
        encoded.append(0x80 | rest & 0x7F)
        rest >>= 7
    encoded.append(rest)
    return bytes(encoded)


def _shown(text: bytes) -> str:
    return ascii(text[:40].decode("utf-8", "replace"))
