"""Object container files: written for any Avro, read from any Avro, a block in memory at a time, and refused where they are wrong."""

import contextlib
import io
import json
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.events import container
from common.events.catalogue import Catalogue, UnknownType
from common.events.codec import Undecodable, Unencodable
from common.events.container import Container

THING = {
    "type": "record",
    "name": "Thing",
    "namespace": "atrium.things",
    "fields": [
        {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
        {"name": "text", "type": "string"},
        {"name": "number", "type": ["null", "long"], "default": None},
    ],
}
SECOND = THING | {"fields": [*THING["fields"], {"name": "more", "type": {"type": "array", "items": "string"}, "default": []}]}
ID = "01938b6e-5f0a-7c1e-8a55-0d6d1f6c2b11"
SYNC = bytes(range(16))

things = st.fixed_dictionaries(
    {
        "id": st.uuids().map(str),
        "text": st.text(st.characters(codec="utf-8")),
        "number": st.none() | st.integers(-(2**63), 2**63 - 1),
    }
)


def files_of(directory: Path, *schemas: Any) -> Container:
    """The container of things whose schema has these versions."""
    (directory / "things").mkdir(parents=True)
    for version, schema in enumerate(schemas, 1):
        (directory / "things" / f"Thing.v{version}.avsc").write_text(json.dumps(schema))
    return Container(Catalogue.load(directory), "Thing")


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Container:
    return files_of(tmp_path_factory.mktemp("schemas"), THING)


def thing(text: str = "", number: int | None = None) -> dict[str, Any]:
    return {"id": ID, "text": text, "number": number}


def whole(pieces: Iterable[bytes]) -> bytes:
    return b"".join(pieces)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


# Another Avro (fastavro's own writer and reader) agrees


@given(st.lists(things, max_size=30), st.integers(1, 500))
def test_what_was_written_is_read_again_in_pieces_of_any_size(files, data, size):
    file = whole(files.write(data))
    assert list(files.read(cut(file, size))) == data
    assert list(fastavro.reader(io.BytesIO(file))) == [each | {"id": UUID(each["id"])} for each in data]


@given(st.lists(things, max_size=30), st.sampled_from(["null", "deflate"]), st.integers(1, 200))
def test_what_another_avro_wrote_is_read(files, data, codec, interval):
    file = io.BytesIO()
    fastavro.writer(file, THING, data, codec=codec, sync_interval=interval)
    assert list(files.read([file.getvalue()])) == data


def test_an_older_writers_data_are_read_as_ours_and_a_newer_ones_too(tmp_path):
    old, new = files_of(tmp_path / "old", THING), files_of(tmp_path / "new", THING, SECOND)
    data = [thing(str(number)) for number in range(3)]
    read = list(new.read(old.write(data)))
    assert read == [each | {"more": []} for each in data]
    read[0]["more"].append("changes nothing else")
    assert read[1]["more"] == []
    assert list(old.read(new.write([each | {"more": ["x"]} for each in data]))) == data


# As a stream


def test_nothing_is_made_before_it_is_asked_for_and_the_first_data_come_with_the_header(files):
    asked = []

    def data() -> Iterator[dict[str, Any]]:
        for number in range(1000):
            asked.append(number)
            yield thing("x" * 1000, number)

    pieces = files.write(data())
    assert asked == []
    assert next(pieces).startswith(b"Obj\x01")
    assert 60 < len(asked) < 70
    next(pieces)
    assert 120 < len(asked) < 140

    def broken() -> Iterator[dict[str, Any]]:
        raise RuntimeError
        yield

    with pytest.raises(RuntimeError):
        next(files.write(broken()))


def test_memory_does_not_grow_with_the_file(files):
    def peak(count: int) -> int:
        tracemalloc.start()
        assert sum(1 for _ in files.read(files.write(thing("x" * 500, number) for number in range(count)))) == count
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    peak(100)
    assert peak(10_000) < 1.5 * peak(1_000)


def test_a_file_of_nothing_is_a_file(files):
    assert list(files.read(files.write([]))) == []


@pytest.mark.parametrize(
    ("datum", "field"),
    [({"id": ID}, "text"), (thing(number=2**63), "number"), (thing("\ud800"), "text"), (thing("x" * 2**20), "")],
)
def test_what_is_no_datum_is_refused_and_named(files, datum, field):
    with pytest.raises(Unencodable) as wrong:
        whole(files.write([thing(), datum]))
    assert (wrong.value.type, wrong.value.field) == ("Thing", field)


def test_a_type_that_nobody_knows_has_no_files(tmp_path):
    (tmp_path / "things").mkdir()
    with pytest.raises(UnknownType):
        Container(Catalogue.load(tmp_path), "Thing")


# Hostile, damaged, cut off


def header(schema: Any = THING, **more: bytes) -> bytes:
    metadata = {"avro.schema": schema if isinstance(schema, bytes) else json.dumps(schema).encode(), **more}
    file = io.BytesIO(b"Obj\x01")
    file.seek(4)
    fastavro.schemaless_writer(file, {"type": "map", "values": "bytes"}, metadata)
    return file.getvalue() + SYNC


def long(value: int) -> bytes:
    file = io.BytesIO()
    fastavro.schemaless_writer(file, "long", value)
    return file.getvalue()


def block(count: int, data: bytes, sync: bytes = SYNC, size: int | None = None) -> bytes:
    return long(count) + long(len(data) if size is None else size) + data + sync


def deflated(data: bytes) -> bytes:
    deflating = zlib.compressobj(wbits=-15)
    return deflating.compress(data) + deflating.flush()


DATUM = b"\x48" + ID.encode() + b"\x00\x00"
DEFLATE = {"avro.codec": b"deflate"}


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"", "does not start like"),
        (b"Obj", "does not start like"),
        (b"PK\x03\x04 and so on", "does not start like"),
        (b"Obj\x01", "ends too early"),
        (b"Obj\x01" + long(2**40), "ends too early"),
        (b"Obj\x01" + long(1) + long(2**40), "bytes are announced"),
        (b"Obj\x01" + long(1) + long(-1), "bytes are announced"),
        (b"Obj\x01" + b"\xff" * 11, "a number has too many bytes"),
        (b"Obj\x01" + long(101) + b"".join(b"\x06%03d\x00" % number for number in range(101)), "more than 100 entries"),
        (b"Obj\x01" + long(2) + b"\x02a\x00\x02a\x00", "'a' twice"),
        (header(**{"avro.codec": b"snappy"}), "codec 'snappy' is not known"),
        (header(b"{"), "schema cannot be used"),
        (header(b"[" * 100_000), "schema cannot be used"),
        (header("string"), "holds string, not record atrium.things.Thing"),
        (header(THING | {"name": "Other"}), "holds record atrium.things.Other"),
        (header(THING | {"fields": []}) + block(1, b"x"), "this is no Thing"),
        (header(THING | {"fields": [{"name": "id", "type": "Thing"}]}), "contains itself"),
        (header() + block(1, DATUM)[:-1], "block 1: it ends too early"),
        (header() + block(1, DATUM) + b"\x02", "block 2: it ends too early"),
        (header() + block(1, DATUM, sync=b"?" * 16), "block 1: what marks its end is not there"),
        (header() + block(1, DATUM + b"\x00"), "block 1: 1 bytes follow the last Thing"),
        (header() + block(2, DATUM), "block 1: the Thing ends too early"),
        (header() + block(-1, DATUM), "block 1: -1 data cannot be in"),
        (header() + block(2**60, b""), "data cannot be in 0 bytes"),
        (header() + block(1, b"\x04no\x00\x00"), "is no UUID in its canonical form"),
        (header() + block(1, DATUM, size=2**50), "bytes are announced"),
        (header(**DEFLATE) + block(1, b"\xff\xff\xff"), "cannot be inflated"),
        (header(**DEFLATE) + block(1, deflated(DATUM)[:-1]), "deflated bytes end too early"),
        (header(**DEFLATE) + block(1, deflated(bytes(300 * 2**20))), "inflates to more than 2097152 bytes"),
    ],
)
def test_what_is_no_file_of_things_is_refused_with_its_reason(files, file, reason):
    with pytest.raises(Undecodable, match=reason):
        list(files.read([file]))


def test_a_bomb_takes_no_memory(files):
    bomb = header(**DEFLATE) + block(1, deflated(bytes(300 * 2**20)))
    tracemalloc.start()
    with pytest.raises(Undecodable):
        list(files.read([bomb]))
    assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    tracemalloc.stop()


def test_what_came_before_the_damage_is_given_out(files):
    read = files.read([header() + block(1, DATUM) + block(1, DATUM) + b"damage" * 10])
    assert [next(read), next(read)] == [thing(), thing()]
    with pytest.raises(Undecodable, match="block 3"):
        next(read)


@given(st.integers(0, 10_000), st.integers(1, 400))
def test_a_file_of_ours_that_was_cut_anywhere_is_not_taken_for_whole(files, at, size):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(container, "_BLOCK", 100)
        file = whole(files.write([thing("x" * 50, number) for number in range(10)]))
    with pytest.raises(Undecodable):
        list(files.read(cut(file[: at % len(file)], size)))


@given(st.binary(max_size=200), st.integers(0, 2000))
def test_noise_is_refused_and_nothing_else_is_raised(files, noise, at):
    file = whole(files.write([thing("text", number) for number in range(5)]))
    at %= len(file)
    with contextlib.suppress(Undecodable):
        list(files.read([file[:at] + noise + file[at + len(noise) :]]))
