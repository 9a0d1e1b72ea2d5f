"""Events to bytes and back: what the codec and the catalogue promise, on the real schemas and on schemas made for the purpose."""

import io
import json
import math
import random
import tracemalloc
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import fastavro
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import schemas
from common.events import avro
from common.events.catalogue import BadFile, Catalogue, UnknownSchema, UnknownType
from common.events.codec import HEADER, LONGEST, Codec, Undecodable, Unencodable

CATALOGUE = Catalogue.load()
CODEC = Codec(CATALOGUE)
EXAMPLES = schemas.DIRECTORY / "examples"


def recorded(version: int = 3) -> dict[str, Any]:
    """The recorded event's datum."""
    datum: dict[str, Any] = json.loads((EXAMPLES / f"RoomCreated.v{version}.json").read_text(encoding="utf-8"))
    return datum | {key: datetime.fromisoformat(datum[key]) for key in ("created_at", "updated_at")}


def not_stored(datum: dict[str, Any]) -> dict[str, Any]:
    """With images as they were before their copies had addresses."""
    return datum | {"images": [image | {"stored_url": "", "thumbnail_url": ""} for image in datum["images"]]}


def image(url: str | None) -> dict[str, Any]:
    return {"url": url, "stored_url": "https://a.example/b.jpg", "thumbnail_url": "https://a.example/c.jpg"}


def room(**changes: Any) -> dict[str, Any]:
    return recorded() | changes


def record(name: str, *fields: tuple[Any, ...], namespace: str = "atrium.rooms") -> dict[str, Any]:
    """A record's schema; a field is (name, type) or (name, type, default)."""
    listed = [{"name": field[0], "type": field[1]} | ({"default": field[2]} if len(field) > 2 else {}) for field in fields]
    return {"type": "record", "name": name, "namespace": namespace, "fields": listed}


def catalogue(directory: Path, **files: Any) -> Catalogue:
    """A catalogue of files `rooms/Thing.v1.avsc`, given as `Thing_v1=schema`."""
    for name, schema in files.items():
        path = directory / "rooms" / f"{name.replace('_', '.')}.avsc"
        path.parent.mkdir(exist_ok=True)
        path.write_text(schema if isinstance(schema, str) else json.dumps(schema), encoding="utf-8")
    return Catalogue.load(directory)


# What any event may hold

texts = st.text(st.characters(codec="utf-8"), max_size=40)
longs = st.integers(-(2**63), 2**63 - 1)
doubles = st.floats(allow_nan=False, allow_infinity=False)
times = st.datetimes(timezones=st.just(UTC))


def data(type: avro.Type) -> st.SearchStrategy[Any]:
    """Any datum of a type."""
    match type.kind:
        case "record":
            return st.fixed_dictionaries({field.name: data(field.type) for field in type.fields})
        case "union":
            return st.one_of([data(branch) for branch in type.inner])
        case "array":
            return st.lists(data(type.inner[0]), max_size=4)
        case "enum":
            return st.sampled_from(type.symbols)
    by_kind = {"string": texts, "long": longs, "double": doubles, "boolean": st.booleans(), "null": st.none()}
    return {"uuid": st.uuids().map(str), "timestamp-micros": times}.get(type.logical, by_kind.get(type.kind, st.nothing()))


events = st.one_of(st.tuples(st.just(name), data(CATALOGUE.newest(name).tree)) for name in sorted(CATALOGUE.types))


# The wire


def test_the_recorded_event_is_written_to_the_byte_and_read_again():
    golden = (EXAMPLES / "RoomCreated.v3.bin").read_bytes()
    assert CODEC.encode("RoomCreated", recorded()) == golden
    assert CODEC.decode(golden) == ("RoomCreated", recorded())


def test_what_was_recorded_before_images_were_stored_is_read_as_not_stored():
    written = (EXAMPLES / "RoomCreated.v2.bin").read_bytes()
    assert CODEC.decode(written) == ("RoomCreated", not_stored(recorded(version=2)))


@pytest.mark.parametrize("type", ["RoomCreated", "RoomUpdated"])
def test_what_was_recorded_before_rooms_were_furnished_is_read_as_not_known(type):
    written = (EXAMPLES / f"{type}.v1.bin").read_bytes()
    assert CODEC.decode(written) == (type, not_stored(recorded(version=1)) | {"furnished": None})
    assert CODEC.dataschema(written) == f"urn:atrium:schema:rooms/{type}.v1"


def test_a_body_is_a_marker_then_a_little_endian_fingerprint_then_what_any_avro_reader_reads():
    body = CODEC.encode("RoomCreated", recorded())
    schema = json.loads((schemas.DIRECTORY / "rooms" / "RoomCreated.v3.avsc").read_text(encoding="utf-8"))
    canonical = fastavro.schema.to_parsing_canonical_form(schema)
    assert body[:2] == b"\xc3\x01"
    assert int.from_bytes(body[2:HEADER], "little") == crc_64_avro(canonical.encode())
    read: Any = fastavro.schemaless_reader(io.BytesIO(body[HEADER:]), schema, None)
    assert read == recorded() | {"id": UUID(recorded()["id"])}


def crc_64_avro(data: bytes) -> int:
    """Bit by bit, from the specification's "Schema Fingerprints": the slow way, so that nothing is shared with what is tested."""
    empty = fingerprint = 0xC15D213AA4D7A795
    for byte in data:
        fingerprint ^= byte
        for _ in range(8):
            fingerprint = (fingerprint >> 1) ^ (empty if fingerprint & 1 else 0)
    return fingerprint


def test_the_slow_fingerprint_of_this_test_is_the_published_one():
    """The values for "null" and "int" that Avro's own implementations are tested with."""
    assert crc_64_avro(b'"null"') == 7195948357588979594
    assert crc_64_avro(b'"int"') == 8247732601305521295


@pytest.mark.parametrize(
    ("schema", "canonical"),
    [
        ({"type": "string", "logicalType": "uuid"}, '"string"'),
        (["null", {"type": "long", "logicalType": "timestamp-micros"}], '["null","long"]'),
        (
            {"doc": "d", "fields": [], "aliases": ["B"], "name": "A", "type": "record", "namespace": "x.y"},
            '{"name":"x.y.A","type":"record","fields":[]}',
        ),
        (
            record(
                "A",
                ("a", {"type": "enum", "name": "E", "symbols": ["p", "q"], "default": "p"}),
                ("b", {"type": "array", "items": record("other.B", ("c", "int"))}),
                ("d", ["null", "E", "other.B"], None),
                namespace="n",
            ),
            (
                '{"name":"n.A","type":"record","fields":['
                '{"name":"a","type":{"name":"n.E","type":"enum","symbols":["p","q"]}},'
                '{"name":"b","type":{"type":"array","items":{"name":"other.B","type":"record","fields":[{"name":"c","type":"int"}]}}},'
                '{"name":"d","type":["null","n.E","other.B"]}]}'
            ),
        ),
    ],
    ids=["logical", "union", "attributes", "nested names"],
)
def test_the_canonical_form_is_the_specifications(schema, canonical):
    assert fastavro.schema.to_parsing_canonical_form(schema) == canonical


# Round trips


@given(events)
def test_what_is_encoded_is_decoded(event):
    name, datum = event
    body = CODEC.encode(name, datum)
    assert CODEC.decode(body) == (name, datum)
    assert CODEC.encode(*CODEC.decode(body)) == body


def test_uuids_come_out_as_strings_and_times_in_utc():
    there = datetime(2025, 6, 1, 1, 30, tzinfo=timezone(timedelta(hours=2)))
    identity = UUID(recorded()["id"])
    _, datum = CODEC.decode(CODEC.encode("RoomCreated", room(id=identity, created_at=there)))
    assert datum["id"] == str(identity)
    assert type(datum["id"]) is str
    assert datum["created_at"] == there
    assert datum["created_at"].utcoffset() == timedelta(0)


def test_a_mapping_that_is_no_dict_and_a_tuple_of_images_can_be_encoded():
    images = tuple(MappingProxyType(image) for image in recorded()["images"])
    assert CODEC.encode("RoomCreated", MappingProxyType(room(images=images))) == CODEC.encode("RoomCreated", recorded())


def test_every_type_and_field_is_documented():
    def undocumented(schema: Any, path: str) -> list[str]:
        if isinstance(schema, list):
            return [found for branch in schema for found in undocumented(branch, path)]
        if not isinstance(schema, dict):
            return []
        found = [path] if "name" in schema and not schema.get("doc") else []
        inside = [("fields", schema.get("fields", [])), ("type", schema.get("type")), ("items", schema.get("items"))]
        return found + [one for key, inner in inside for one in undocumented(inner, f"{path}.{schema.get('name', key)}")]

    assert [found for schema in CATALOGUE for found in undocumented(schema.raw, schema.path)] == []


# What cannot be encoded


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": 1}, "name"),
        ({"name": b"room"}, "name"),
        ({"name": None}, "name"),
        ({"name": "lone \ud800"}, "name"),
        ({"price": 1.0}, "price"),
        ({"price": True}, "price"),
        ({"price": "1"}, "price"),
        ({"price": 2**63}, "price"),
        ({"price": -(2**63) - 1}, "price"),
        ({"price": 10**5000}, "price"),
        ({"recurrency": "hourly"}, "recurrency"),
        ({"recurrency": []}, "recurrency"),
        ({"property_size": "18.5"}, "property_size"),
        ({"property_size": True}, "property_size"),
        ({"property_size": math.nan}, "property_size"),
        ({"property_size": math.inf}, "property_size"),
        ({"property_size": 2**53 + 1}, "property_size"),
        ({"property_size": ("double", 1.0)}, "property_size"),
        ({"is_visible": 1}, "is_visible"),
        ({"is_visible": None}, "is_visible"),
        ({"id": "0197A3F0-5C00-7B1E-8D7A-3F0C2B9E4D11"}, "id"),
        ({"id": "{0197a3f0-5c00-7b1e-8d7a-3f0c2b9e4d11}"}, "id"),
        ({"id": ""}, "id"),
        ({"created_at": datetime(2025, 1, 1)}, "created_at"),  # noqa: DTZ001
        ({"created_at": "2025-01-01T00:00:00Z"}, "created_at"),
        ({"created_at": 0}, "created_at"),
        ({"created_at": datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))}, "created_at"),
        ({"coordinates": None}, "coordinates"),
        ({"coordinates": {"lat": 1.0}}, "coordinates.lon"),
        ({"coordinates": {"lat": 1.0, "lon": 1.0, "alt": 1.0}}, "coordinates.alt"),
        ({"coordinates": {"lat": 1.0, "lon": "1"}}, "coordinates.lon"),
        ({"area": {"id": None, "name": "n", "city": "c", "country": 5, "coordinates": None}}, "area.country"),
        ({"area": {"id": None, "name": "n", "city": "c", "country": "x", "coordinates": {"lat": 0.0}}}, "area.coordinates.lon"),
        ({"images": "https://a.example"}, "images"),
        ({"images": {"url": "https://a.example"}}, "images"),
        ({"images": [image("https://a.example"), image(None)]}, "images[1].url"),
        ({"images": [image("https://a.example"), None]}, "images[1]"),
        ({"deleted": False}, "deleted"),
        ({"-type": "RoomCreated"}, "-type"),
    ],
)
def test_what_does_not_fit_the_schema_is_refused_with_the_fields_name(changes, field):
    with pytest.raises(Unencodable) as refused:
        CODEC.encode("RoomCreated", room(**changes))
    assert (refused.value.type, refused.value.field) == ("RoomCreated", field)
    str(refused.value).encode()  # can be logged


@pytest.mark.parametrize("field", sorted(recorded()))
def test_a_missing_field_is_refused_even_if_it_has_a_default(field):
    with pytest.raises(Unencodable, match="is missing") as refused:
        CODEC.encode("RoomCreated", {key: value for key, value in recorded().items() if key != field})
    assert refused.value.field == field


def test_the_largest_listing_fits():
    """Every maximum of the rooms API at once, in characters of four bytes."""
    url = "https://a.example/" + "𝄞" * 2030
    event = room(name="𝄞" * 200, description="𝄞" * 20_000, provider="𝄞" * 100, url=url, images=[image(url)] * 50)
    assert CODEC.decode(CODEC.encode("RoomCreated", event)) == ("RoomCreated", event)


def test_an_event_of_no_known_type_and_one_that_is_too_long_are_refused():
    with pytest.raises(Unencodable, match="RoomPainted"):
        CODEC.encode("RoomPainted", recorded())
    with pytest.raises(Unencodable, match="more than"):
        CODEC.encode("RoomCreated", room(description="a" * LONGEST))


junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.datetimes(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3) | st.tuples(inner, inner),
    max_leaves=6,
)


@given(st.sampled_from(sorted(recorded())), junk)
def test_a_field_of_anything_is_encoded_faithfully_or_refused_by_name(field, value):
    refused_field = ""
    try:
        body = CODEC.encode("RoomCreated", room(**{field: value}))
    except Unencodable as refused:
        refused_field = refused.field
    if refused_field:
        assert refused_field.split(".")[0].split("[")[0] == field
    else:
        assert CODEC.decode(body)[1][field] == value


# What cannot be decoded


def decodes(body: bytes) -> bool:
    """Whether it is an event; anything but the two errors that are promised comes through."""
    try:
        name, datum = CODEC.decode(body)
    except (Undecodable, UnknownSchema):
        return False
    CODEC.encode(name, datum)  # what comes out can always go in again
    return True


@given(events)
def test_no_part_of_an_event_is_an_event(event):
    body = CODEC.encode(*event)
    assert not any(decodes(body[:length]) for length in range(len(body)))
    assert not decodes(body + b"\0")


@given(events, st.randoms(use_true_random=False))
def test_a_damaged_event_is_decoded_or_refused_and_nothing_else(event, chance: random.Random):
    body = bytearray(CODEC.encode(*event))
    for _ in range(chance.randint(1, 4)):
        place = chance.randrange(HEADER, len(body))
        match chance.randrange(3):
            case 0:
                body[place] = chance.choice([0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256)])
            case 1:
                body.insert(place, chance.randrange(256))
            case _ if len(body) > HEADER + 1:
                del body[place]
    decodes(bytes(body))


@given(st.sampled_from([schema.fingerprint for schema in CATALOGUE]), st.binary(max_size=300))
def test_garbage_behind_a_good_header_is_refused_or_decoded_and_nothing_else(fingerprint, garbage):
    decodes(b"\xc3\x01" + fingerprint + garbage)


@given(st.binary(max_size=40))
@example(b"")
@example(b"\xc3\x01")
@example(b"\xc3\x01" + b"\0" * 7)
def test_what_has_no_header_is_undecodable(body):
    if len(body) < HEADER or body[:2] != b"\xc3\x01":
        with pytest.raises(Undecodable):
            CODEC.decode(body)


def test_an_unknown_fingerprint_is_named_as_it_stands_in_the_header():
    with pytest.raises(UnknownSchema) as unknown:
        CODEC.decode(b"\xc3\x01" + bytes.fromhex("0123456789abcdef") + b"whatever")
    assert unknown.value.fingerprint == "0123456789abcdef"


def long(value: int) -> bytes:
    """Avro's zig-zag variable-length encoding."""
    rest = (value << 1) ^ (value >> 63)
    encoded = bytearray()
    while rest > 0x7F:
        encoded.append(rest & 0x7F | 0x80)
        rest >>= 7
    return bytes([*encoded, rest])


def text(value: str) -> bytes:
    return long(len(value.encode())) + value.encode()


ID = "0197a3f0-5c00-7b1e-8d7a-3f0c2b9e4d11"


def heartbeat(source: bytes, at: bytes) -> bytes:
    return b"\xc3\x01" + CATALOGUE.newest("Heartbeat").fingerprint + source + at


@pytest.mark.parametrize(
    "body",
    [
        heartbeat(long(2**62) + b"rooms", long(0)),
        heartbeat(long(-1) + b"rooms", long(0)),
        heartbeat(long(-(2**63)) + b"rooms", long(0)),
        heartbeat(long(2) + b"\xc3\x28", long(0)),
        heartbeat(long(3) + b"\xed\xa0\x80", long(0)),
        heartbeat(b"\x80" * 1000, long(0)),
        heartbeat(text("rooms"), long(2**63 - 1)),
        heartbeat(text("rooms"), long(-(2**63))),
        heartbeat(text("rooms"), b"\xff" * 10),
        heartbeat(text("rooms" * LONGEST), long(0)),
    ],
    ids=["long text", "length -1", "lowest length", "utf-8", "surrogate", "endless length", "late", "early", "endless", "big"],
)
def test_hostile_scalars_are_undecodable(body):
    with pytest.raises(Undecodable):
        CODEC.decode(body)


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    numbers = {"type": "array", "items": "long"}
    names = {"type": "map", "values": "string"}
    flags = {"type": "array", "items": ["null", "boolean"]}
    schema = record("Lists", ("a", numbers), ("b", names), ("c", flags))
    return Codec(catalogue(tmp_path_factory.mktemp("lists"), Lists_v1=schema))


def test_blocks_with_and_without_their_size_are_read(lists):
    head = lists.encode("Lists", {"a": [], "b": {}, "c": []})[:HEADER]
    numbers = long(-2) + long(2) + long(5) + long(6) + long(1) + long(7) + long(0)  # two items in two bytes, then one
    names = long(1) + text("k") + text("v") + long(0)
    assert lists.decode(head + numbers + names + long(0)) == ("Lists", {"a": [5, 6, 7], "b": {"k": "v"}, "c": []})


@pytest.mark.parametrize("count", [2**62, 2**63 - 1, -(2**62), -(2**63), 10**9, -(10**9)])
@pytest.mark.parametrize("before", [b"", long(0), long(0) * 2], ids=["longs", "map", "unions"])
def test_a_hostile_block_count_is_undecodable_and_costs_no_memory(lists, count, before):
    head = lists.encode("Lists", {"a": [], "b": {}, "c": []})[:HEADER]
    tracemalloc.start()
    try:
        with pytest.raises(Undecodable):
            lists.decode(head + before + long(count) + long(1) + bytes(100_000))
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_an_event_of_nothing_but_empty_pictures_costs_bounded_memory():
    """The worst that fits: one byte of the body becomes a record of its own."""
    body = CODEC.encode("RoomCreated", room(images=[]))
    before = body[: body.rindex(b"\x01\x00") + 1]  # is_visible and the empty list
    tracemalloc.start()
    try:
        with pytest.raises(Undecodable, match="too early"):
            CODEC.decode(before + long(2**40) + bytes(LONGEST - len(body)))
        assert tracemalloc.get_traced_memory()[1] < 400 * LONGEST
    finally:
        tracemalloc.stop()


@given(st.dictionaries(texts, texts, max_size=4), st.lists(st.none() | st.booleans(), max_size=4))
def test_maps_and_lists_of_unions_come_back(lists, names, flags):
    event = {"a": [1], "b": names, "c": flags}
    assert lists.decode(lists.encode("Lists", event)) == ("Lists", event)


# Versions

V1 = record(
    "Thing",
    ("id", {"type": "string", "logicalType": "uuid"}),
    ("colour", {"type": "enum", "name": "Colour", "symbols": ["red", "green"], "default": "red"}),
    ("old", "string", "gone"),
)
V2 = record(
    "Thing",
    ("note", ["null", {"type": "string", "logicalType": "uuid"}], None),
    ("colour", {"type": "enum", "name": "Colour", "symbols": ["blue", "red", "green"], "default": "blue"}),
    ("id", {"type": "string", "logicalType": "uuid"}),
    ("tags", {"type": "array", "items": "string"}, []),
    ("at", ["null", {"type": "long", "logicalType": "timestamp-micros"}], None),
)


def test_what_an_older_version_wrote_is_read_as_the_newest(tmp_path):
    old = Codec(catalogue(tmp_path, Thing_v1=V1)).encode("Thing", {"id": ID, "colour": "green", "old": "x"})
    new = Codec(catalogue(tmp_path, Thing_v2=V2))
    expected = {"id": ID, "colour": "green", "note": None, "tags": [], "at": None}
    assert new.decode(old) == ("Thing", expected)
    assert new.decode(new.encode("Thing", expected)) == ("Thing", expected)


def test_a_default_belongs_to_the_event_that_it_fills(tmp_path):
    old = Codec(catalogue(tmp_path, Thing_v1=V1)).encode("Thing", {"id": ID, "colour": "green", "old": "x"})
    new = Codec(catalogue(tmp_path, Thing_v2=V2))
    new.decode(old)[1]["tags"].append("mine")
    assert new.decode(old)[1]["tags"] == []


def test_no_part_of_an_older_versions_event_is_an_event(tmp_path):
    old = Codec(catalogue(tmp_path, Thing_v1=V1)).encode("Thing", {"id": ID, "colour": "green", "old": "x"})
    new = Codec(catalogue(tmp_path, Thing_v2=V2))
    for length in range(len(old)):
        with pytest.raises(Undecodable):
            new.decode(old[:length])


def test_a_consumer_that_was_not_upgraded_says_that_it_does_not_know_the_schema(tmp_path):
    old = Codec(catalogue(tmp_path, Thing_v1=V1))
    new = Codec(catalogue(tmp_path, Thing_v2=V2))
    event = new.encode("Thing", {"id": ID, "colour": "blue", "note": None, "tags": [], "at": None})
    with pytest.raises(UnknownSchema):
        old.decode(event)
    assert old.dataschema(event) == f"urn:atrium:schema:{event[2:HEADER].hex()}"
    assert new.dataschema(event) == "urn:atrium:schema:rooms/Thing.v2"


def test_nothing_is_written_with_a_draft(tmp_path):
    catalogue(tmp_path, Thing_v1=V1, Thing_v2=V2)
    (tmp_path / "RELEASED").write_text("unreleased rooms/Thing.v2.avsc\n", encoding="utf-8")
    assert Catalogue.load(tmp_path).newest("Thing").version == 1


def test_the_newest_version_is_the_highest_number_not_the_last_name(tmp_path):
    versions = {f"Thing_v{n}": record("Thing", *((f"f{i}", "string", "") for i in range(n))) for n in range(1, 11)}
    assert catalogue(tmp_path, **versions).newest("Thing").version == 10


# The catalogue


def test_a_type_that_is_not_in_the_catalogue_is_named():
    with pytest.raises(UnknownType, match="RoomPainted"):
        CATALOGUE.newest("RoomPainted")


def one(type: Any, *default: Any) -> dict[str, Any]:
    """The schema of Thing with one field."""
    return record("Thing", ("a", type, *default))


THING = one("string")


@pytest.mark.parametrize(
    ("name", "schema", "reason"),
    [
        ("Thing_v1", "{", "Expecting"),
        ("Thing_v1", '{"type": "record", "type": "record"}', "stands twice"),
        ("Thing_v1", '{"type": NaN}', "NaN"),
        ("Thing_v1", "[" * 100_000, "recursion"),
        ("Thing_v1", '"string"', "must define the record"),
        ("Thing_v1", "null", "is no type"),
        ("Thing_v1", record("Other", ("a", "string")), "must define the record atrium.rooms.Thing"),
        ("Thing_v1", THING | {"namespace": "atrium.items"}, "must define the record atrium.rooms.Thing"),
        ("thing_v1", THING | {"name": "thing"}, "is not called"),
        ("Thing_v01", THING, "is not called"),
        ("Thing", THING, "is not called"),
        ("Thing_v1", record("Thing", ("a", "string"), ("a", "string")), "a: a field needs a name of its own"),
        ("Thing_v1", record("Thing", ("a b", "string")), "a field needs a name"),
        ("Thing_v1", one("strin"), "a: nothing is called atrium.rooms.strin"),
        ("Thing_v1", one(["null", "Thing"], None), "a: atrium.rooms.Thing contains itself"),
        ("Thing_v1", one({"type": "array", "items": "null"}), "a: the items take no bytes"),
        ("Thing_v1", one({"type": "array", "items": record("Empty", ("n", "null"))}), "a: the items take no bytes"),
        ("Thing_v1", one(["null", "null"]), "a: a union needs"),
        ("Thing_v1", one(["null", ["null", "string"]]), "a: a union needs"),
        ("Thing_v1", one([]), "a: a union needs"),
        ("Thing_v1", one(["string", "null"], None), "a: None cannot be the default"),
        ("Thing_v1", one("string", 1), "a: 1 cannot be the default"),
        ("Thing_v1", one("long", True), "a: True cannot be the default"),
        ("Thing_v1", one("long", 2**63), "cannot be the default"),
        ("Thing_v1", one(V2["fields"][4]["type"][1], 0), "a: 0 cannot be the default"),
        ("Thing_v1", one({"type": "long", "logicalType": "timestamp-millis"}), "a: the codec does not support"),
        ("Thing_v1", one({"type": "array", "items": "bytes"}), "a[]: the codec does not support"),
        ("Thing_v1", one({"type": "enum", "name": "E", "symbols": ["x", "x"]}), "a: an enum needs symbols"),
        ("Thing_v1", one(V1["fields"][1]["type"] | {"default": "y"}), "not among the symbols"),
        ("Thing_v1", THING | {"dock": "Text"}, "has no attribute dock"),
        ("Thing_v1", THING | {"__fastavro_parsed": True}, "has no attribute __fastavro_parsed"),
        ("Thing_v1", THING | {"fields": [{"name": "a", "type": "string", "dock": ""}]}, "a: a field has no attribute dock"),
        ("Thing_v1", THING | {"fields": None}, "a record needs a list of fields"),
    ],
)
def test_a_bad_file_is_refused_at_load_by_its_name(tmp_path, name, schema, reason):
    with pytest.raises(BadFile) as bad:
        catalogue(tmp_path, **{name: schema})
    assert bad.value.path == f"rooms/{name.replace('_', '.')}.avsc"
    assert reason in str(bad.value)


def test_two_files_with_one_fingerprint_are_refused(tmp_path):
    with pytest.raises(BadFile, match=r"rooms/Thing\.v2\.avsc: has the same fingerprint as rooms/Thing\.v1\.avsc"):
        catalogue(tmp_path, Thing_v1=THING, Thing_v2=one("string", ""))


def test_two_services_with_one_type_are_refused(tmp_path):
    (tmp_path / "items").mkdir()
    (tmp_path / "items" / "Thing.v1.avsc").write_text(json.dumps(THING | {"namespace": "atrium.items"}), encoding="utf-8")
    with pytest.raises(BadFile, match="the same type"):
        catalogue(tmp_path, Thing_v1=THING)


def test_the_tree_is_what_fastavro_understands(tmp_path):
    """The catalogue's own parser accepts our schemas as fastavro does, field by field."""

    def fields(schema: Mapping[str, Any]) -> list[str]:
        return [field["name"] for field in schema["fields"]]

    for schema in CATALOGUE:
        assert [field.name for field in schema.tree.fields] == fields(fastavro.parse_schema(schema.raw))
