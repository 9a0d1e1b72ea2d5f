"""The gate for schema changes: what each rule lets through and stops, and the verdicts against what fastavro really does."""

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import fastavro
import pytest

import schemas
from common.events import avro
from common.events.catalogue import Catalogue
from common.events.compatibility import check, compare, main, release


def enum(*symbols: str, default: str | None = None, name: str = "E") -> dict[str, Any]:
    return {"type": "enum", "name": name, "symbols": list(symbols)} | ({"default": default} if default else {})


def fixed(size: int) -> dict[str, Any]:
    return {"type": "fixed", "name": "F", "size": size}


def logical(type: str, logical_type: str, **parameters: int) -> dict[str, Any]:
    return {"type": type, "logicalType": logical_type} | parameters


def nested(*fields: dict[str, Any], name: str = "R", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)} | more


def array(items: Any) -> dict[str, Any]:
    return {"type": "array", "items": items}


def mapped(values: Any) -> dict[str, Any]:
    return {"type": "map", "values": values}


def field(name: str, type: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": type} | more


def thing(*fields: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The schema of an event; it always has the field `a`, so that no version is empty."""
    return {"type": "record", "name": "Thing", "namespace": "atrium.rooms", "fields": [field("a", "string"), *fields]} | more


X = "x"
UUID = logical("string", "uuid")
MICROS = logical("long", "timestamp-micros")

#: (old, new): both can be read with the other.
LEGAL = {
    "nothing changed": (thing(field(X, "long")), thing(field(X, "long"))),
    "field added with a default": (thing(), thing(field(X, "string", default=""))),
    "nullable field added": (thing(), thing(field(X, ["null", MICROS], default=None))),
    "list added": (thing(), thing(field(X, array("long"), default=[]))),
    "map added": (thing(), thing(field(X, mapped("long"), default={}))),
    "enum added": (thing(), thing(field(X, enum("p", "q", default="p"), default="q"))),
    "field with a default removed": (thing(field(X, "string", default="")), thing()),
    "one removed, one added": (thing(field(X, "long", default=0)), thing(field("y", "long", default=0))),
    "fields reordered": (thing(field(X, "long"), field("y", "double")), thing(field("y", "double"), field(X, "long"))),
    "default changed": (thing(field(X, "long", default=0)), thing(field(X, "long", default=1))),
    "default dropped": (thing(field(X, "long", default=0)), thing(field(X, "long"))),
    "documented": (thing(field(X, "long")), thing(field(X, "long", doc="X marks the spot."), doc="A thing.")),
    "alias added": (thing(field(X, "long")), thing(field(X, "long", aliases=["ex"]), aliases=["Thingy"])),
    "symbol added": (
        thing(field(X, enum("p", "q", default="p"))),
        thing(field(X, enum("p", "q", "r", default="q"))),
    ),
    "symbol removed": (
        thing(field(X, enum("p", "q", "r", default="p"))),
        thing(field(X, enum("p", "q", default="p"))),
    ),
    "symbols reordered": (thing(field(X, enum("p", "q"))), thing(field(X, enum("q", "p")))),
    "branches reordered": (thing(field(X, ["null", "string", "long"])), thing(field(X, ["long", "null", "string"]))),
    "union of one": (thing(field(X, "string")), thing(field(X, ["string"]))),
    "nested field added": (thing(field(X, nested())), thing(field(X, nested(field("y", "long", default=0))))),
    "nested in a union": (
        thing(field(X, ["null", nested(field("y", "long"))])),
        thing(field(X, ["null", nested(field("y", "long"), field("z", "boolean", default=True))])),
    ),
    "nested in items": (
        thing(field(X, array(nested(field("y", "long"))))),
        thing(field(X, array(nested(field("z", "string", default="z"), field("y", "long"))))),
    ),
    "nested in values": (
        thing(field(X, mapped(nested(field("y", "long", default=1), field("z", "long"))))),
        thing(field(X, mapped(nested(field("z", "long"))))),
    ),
    "type defined elsewhere": (
        thing(field(X, nested(field("y", "long"))), field("z", ["null", "R"], default=None)),
        thing(field("z", ["null", nested(field("y", "long"))], default=None), field(X, "R")),
    ),
}

#: (old, new, path, rule): at least one cannot be read with the other.
ILLEGAL = {
    "added without default": (thing(), thing(field(X, "string")), X, "default"),
    "added nullable without default": (thing(), thing(field(X, ["null", "string"])), X, "default"),
    "removed without default": (thing(field(X, "string")), thing(), X, "removal"),
    "nested, added without default": (
        thing(field(X, ["null", nested(field("y", "long"))])),
        thing(field(X, ["null", nested(field("y", "long"), field("z", "long"))])),
        "x.z",
        "default",
    ),
    "in items, removed without default": (
        thing(field(X, array(nested(field("y", "long"), field("z", "long"))))),
        thing(field(X, array(nested(field("y", "long"))))),
        "x[].z",
        "removal",
    ),
    "in values of items": (thing(field(X, array(mapped("long")))), thing(field(X, array(mapped("string")))), "x[][]", "type"),
    "int to long": (thing(field(X, "int")), thing(field(X, "long")), X, "promotion"),
    "long to int": (thing(field(X, "long")), thing(field(X, "int")), X, "promotion"),
    "int to double": (thing(field(X, "int")), thing(field(X, "double")), X, "promotion"),
    "long to double": (thing(field(X, "long")), thing(field(X, "double")), X, "promotion"),
    "double to float": (thing(field(X, "double")), thing(field(X, "float")), X, "promotion"),
    "bytes to string": (thing(field(X, "bytes")), thing(field(X, "string")), X, "promotion"),
    "long to string": (thing(field(X, "long")), thing(field(X, "string")), X, "type"),
    "record to map": (thing(field(X, nested(field("y", "long")))), thing(field(X, mapped("long"))), X, "type"),
    "string to enum": (thing(field(X, "string")), thing(field(X, enum("p", default="p"))), X, "type"),
    "symbol added, old reader without default": (
        thing(field(X, enum("p"))),
        thing(field(X, enum("p", "q", default="p"))),
        X,
        "enum symbol",
    ),
    "symbol removed, new reader without default": (
        thing(field(X, enum("p", "q", default="p"))),
        thing(field(X, enum("p"))),
        X,
        "enum symbol",
    ),
    "symbol renamed": (thing(field(X, enum("p"))), thing(field(X, enum("q", default="q"))), X, "enum symbol"),
    "branch added": (thing(field(X, ["null", "string"])), thing(field(X, ["null", "string", "long"])), X, "union"),
    "branch removed": (thing(field(X, ["null", "string", "long"])), thing(field(X, ["null", "string"])), X, "union"),
    "made nullable": (thing(field(X, "string")), thing(field(X, ["null", "string"])), X, "union"),
    "made mandatory": (thing(field(X, ["null", "string"])), thing(field(X, "string")), X, "union"),
    "branch widened": (thing(field(X, ["null", "int"])), thing(field(X, ["null", "long"])), X, "union"),
    "field renamed with an alias": (
        thing(field(X, "long")),
        thing(field("y", "long", aliases=[X])),
        X,
        "alias",
    ),
    "field renamed with an alias and defaults": (
        thing(field(X, "long", default=0)),
        thing(field("y", "long", default=0, aliases=[X])),
        X,
        "alias",
    ),
    "type renamed with an alias": (
        thing(field(X, enum("p", name="Old"))),
        thing(field(X, enum("p", name="New") | {"aliases": ["Old"]})),
        X,
        "alias",
    ),
    "type renamed": (thing(field(X, nested(name="Old"))), thing(field(X, nested(name="New"))), X, "name"),
    "type in another namespace": (
        thing(field(X, nested(field("y", "long")))),
        thing(field(X, nested(field("y", "long"), namespace="atrium.common"))),
        X,
        "name",
    ),
    "event renamed": (thing(), thing() | {"name": "Thingy"}, "", "name"),
    "event in another namespace": (thing(), thing() | {"namespace": "atrium.items"}, "", "name"),
    "size changed": (thing(field(X, fixed(8))), thing(field(X, fixed(16))), X, "size"),
    "logical type added": (thing(field(X, "string")), thing(field(X, UUID)), X, "logical type"),
    "logical type dropped": (thing(field(X, ["null", MICROS])), thing(field(X, ["null", "long"])), X, "logical type"),
    "logical type changed": (
        thing(field(X, MICROS)),
        thing(field(X, logical("long", "timestamp-millis"))),
        X,
        "logical type",
    ),
    "scale changed": (
        thing(field(X, logical("bytes", "decimal", precision=9, scale=2))),
        thing(field(X, logical("bytes", "decimal", precision=9, scale=3))),
        X,
        "logical type",
    ),
}
#: What Avro's resolution lets through: it reads, but something is lost, means something else, or only some values can be read.
STRICTER_THAN_AVRO = {
    "bytes to string",
    "field renamed with an alias and defaults",
    "type in another namespace",
    "event in another namespace",
    "logical type changed",
}


@pytest.mark.parametrize(("old", "new"), LEGAL.values(), ids=LEGAL)
def test_a_legal_change_passes_in_both_directions(old, new):
    assert list(compare(avro.parse(old), avro.parse(new))) == []
    assert list(compare(avro.parse(new), avro.parse(old))) == []


@pytest.mark.parametrize(("old", "new", "path", "rule"), ILLEGAL.values(), ids=ILLEGAL)
def test_an_illegal_change_is_found_with_its_field_and_rule(old, new, path, rule):
    assert {difference[:2] for difference in compare(avro.parse(old), avro.parse(new))} >= {(path, rule)}
    assert list(compare(avro.parse(new), avro.parse(old))), "what cannot go forward cannot go back"


def test_nothing_but_the_change_is_found():
    for name, (old, new, path, rule) in ILLEGAL.items():
        found = {difference[:2] for difference in compare(avro.parse(old), avro.parse(new))}
        beside = {("y", "default")} if name == "field renamed with an alias" else set()
        assert found - beside == {(path, rule)}, name


# The verdicts against reality


def samples(type: avro.Type) -> list[Any]:
    """Data of a type that visits each of its symbols and branches."""
    match type.kind:
        case "record":
            each = {one.name: samples(one.type) for one in type.fields}
            longest = max((len(values) for values in each.values()), default=1)
            return [{name: values[i % len(values)] for name, values in each.items()} for i in range(longest)]
        case "union":
            return [datum for branch in type.inner for datum in samples(branch)]
        case "array":
            return [[], samples(type.inner[0])]
        case "map":
            return [{}, {str(i): datum for i, datum in enumerate(samples(type.inner[0]))}]
        case "enum":
            return list(type.symbols)
        case "fixed":
            return [bytes(type.size)]
    numbers = {"int": 7, "long": 2**40, "float": 0.5, "double": 0.1}
    scalars = numbers | {"null": None, "boolean": True, "bytes": b"\x01", "string": "s"}
    return ["0197a3f0-5c00-7b1e-8d7a-3f0c2b9e4d11" if type.logical == "uuid" else scalars[type.kind]]


def reads(writer: dict[str, Any], reader: dict[str, Any]) -> bool:
    """Whether fastavro reads everything that one wrote with the other, and what it read is the other's."""
    for datum in samples(avro.parse(writer)):
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, writer, datum)
        length = stream.tell()
        stream.seek(0)
        try:
            read: Any = fastavro.schemaless_reader(stream, writer, reader)
            if stream.tell() != length or not fastavro.validate(read, reader, strict=True, raise_errors=False):
                return False
        except (fastavro.read.SchemaResolutionError, ValueError):
            return False
    return True


@pytest.mark.parametrize(("old", "new"), LEGAL.values(), ids=LEGAL)
def test_what_passes_can_really_be_read_both_ways(old, new):
    assert reads(old, new)
    assert reads(new, old)


@pytest.mark.parametrize("name", sorted(ILLEGAL.keys() - STRICTER_THAN_AVRO))
def test_what_does_not_pass_really_cannot_be_read_one_way_or_the_other(name):
    old, new, *_ = ILLEGAL[name]
    assert not (reads(old, new) and reads(new, old))


@pytest.mark.parametrize("name", sorted(STRICTER_THAN_AVRO))
def test_what_is_stricter_than_avro_is_said_to_be(name):
    old, new, *_ = ILLEGAL[name]
    assert reads(old, new)
    assert reads(new, old)


# A directory


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """One released schema, and room for more."""
    put(tmp_path, "Thing.v1", thing(field(X, "long")))
    assert release(tmp_path, ["rooms/Thing.v1.avsc"]) == []
    return tmp_path


def put(directory: Path, name: str, schema: Any, service: str = "rooms") -> str:
    path = directory / service / f"{name}.avsc"
    path.parent.mkdir(exist_ok=True)
    path.write_text(schema if isinstance(schema, str) else json.dumps(schema, indent=2), encoding="utf-8")
    return f"{service}/{name}.avsc"


def found(directory: Path) -> list[tuple[str, str, str]]:
    return [(finding.file, finding.path, finding.rule) for finding in check(directory)]


def test_the_committed_schemas_pass():
    assert check(schemas.DIRECTORY) == []


def test_each_version_is_compared_with_all_before_it_not_only_the_last(directory):
    """A field goes with v2 and comes back as something else with v3: each neighbour can be read with the next."""
    put(directory, "Thing.v1", thing(field(X, "long", default=0)))
    put(directory, "Thing.v2", thing())
    put(directory, "Thing.v3", thing(field(X, "string", default="")))
    findings = [finding for finding in check(directory) if finding.rule == "type"]
    assert [str(finding) for finding in findings] == ["rooms/Thing.v3.avsc: x: type: long became string (rooms/Thing.v1.avsc)"]


def test_a_released_file_that_was_edited_even_in_a_comment_is_noticed(directory):
    put(directory, "Thing.v1", thing(field(X, "long", doc="New words.")))
    assert found(directory) == [("rooms/Thing.v1.avsc", "", "edited")]


def test_a_released_file_that_is_gone_is_noticed(directory):
    (directory / "rooms" / "Thing.v1.avsc").unlink()
    assert found(directory) == [("rooms/Thing.v1.avsc", "", "gone")]


def test_a_wrong_fingerprint_in_the_list_is_noticed(directory):
    listed = directory / "RELEASED"
    fingerprint = listed.read_text(encoding="utf-8").split()[0]
    listed.write_text(listed.read_text(encoding="utf-8").replace(fingerprint, "0123456789abcdef"), encoding="utf-8")
    assert found(directory) == [("rooms/Thing.v1.avsc", "", "edited")]


def test_a_file_that_is_not_listed_is_noticed_until_it_is_called_unreleased(directory):
    path = put(directory, "Thing.v2", thing(field(X, "long"), field("y", "long", default=0)))
    assert found(directory) == [(path, "", "unlisted")]
    with (directory / "RELEASED").open("a", encoding="utf-8") as listed:
        listed.write(f"unreleased {path}\n")
    assert found(directory) == []


def test_a_draft_is_checked_too(directory):
    path = put(directory, "Thing.v2", thing())
    with (directory / "RELEASED").open("a", encoding="utf-8") as listed:
        listed.write(f"unreleased {path}\nunreleased rooms/Other.v1.avsc\n")
    assert found(directory) == [("rooms/Other.v1.avsc", "", "gone"), (path, X, "removal")]


@pytest.mark.parametrize("line", ["rooms/Thing.v1.avsc", "0123 rooms/Thing.v1.avsc", "unreleased rooms/Thing.v1.avsc"])
def test_a_line_of_the_list_that_is_wrong_or_repeated_is_noticed(directory, line):
    with (directory / "RELEASED").open("a", encoding="utf-8") as listed:
        listed.write(f"# a comment\n\n{line}\n")
    assert found(directory) == [("RELEASED", "", "list")]


@pytest.mark.parametrize(
    "change",
    [{"doc": "New words."}, {"default": 1}, {"type": MICROS}, {"aliases": ["ex"]}, {"order": "ignore"}],
    ids=["doc", "default", "logical type", "alias", "order"],
)
def test_two_schemas_with_one_fingerprint_are_refused(directory, change):
    path = put(directory, "Thing.v2", thing(field(X, "long") | change))
    assert (path, "", "fingerprint") in found(directory)


def test_a_missing_version_is_noticed(directory):
    path = put(directory, "Thing.v3", thing(field(X, "long"), field("y", "long", default=0)))
    assert (path, "", "version") in found(directory)


def test_a_first_version_other_than_1_is_noticed(directory):
    path = put(directory, "Other.v2", thing() | {"name": "Other"})
    assert (path, "", "version") in found(directory)


def test_one_type_in_two_services_is_noticed(directory):
    path = put(directory, "Thing.v1", thing(field(X, "long")) | {"namespace": "atrium.items"}, service="items")
    assert {rule for file, _, rule in found(directory) if file in (path, "rooms/Thing.v1.avsc")} >= {"name", "version"}


def test_an_enum_that_could_never_grow_is_noticed(directory):
    path = put(directory, "Thing.v2", thing(field(X, "long"), field("y", ["null", array(enum("p"))], default=None)))
    assert (path, "y[]", "enum default") in found(directory)


@pytest.mark.parametrize(
    ("name", "schema", "path"),
    [
        ("Thing.v2", "{", ""),
        ("Thing.v2", thing(field(X, "lnog")), X),
        ("Thing.v2", thing(field(X, "long", defualt=0)), X),
        ("Thing.v2", thing(field(X, "long", default="0")), X),
        ("Thing.v2", thing() | {"name": "Thingy"}, ""),
        ("Thing.v2", thing() | {"namespace": "atrium.items"}, ""),
        ("Thing.v02", thing(), ""),
        ("Thing", thing(), ""),
        ("thing.v1", thing() | {"name": "thing"}, ""),
    ],
)
def test_a_file_that_is_no_schema_of_its_name_is_named_with_its_field(directory, name, schema, path):
    bad = put(directory, name, schema)
    assert (bad, path, "schema") in found(directory)


# Releasing


def test_a_release_appends_one_line_and_nothing_else(directory):
    before = (directory / "RELEASED").read_text(encoding="utf-8")
    path = put(directory, "Thing.v2", thing(field(X, "long"), field("y", "long", default=0)))
    assert release(directory, [path]) == []
    after = (directory / "RELEASED").read_text(encoding="utf-8")
    assert after.startswith(before)
    assert after.removeprefix(before).split()[2:] == [path]
    assert check(directory) == []


def test_a_released_draft_is_no_draft_any_more(directory):
    path = put(directory, "Thing.v2", thing(field(X, "long"), field("y", "long", default=0)))
    with (directory / "RELEASED").open("a", encoding="utf-8") as listed:
        listed.write(f"unreleased {path}\n")
    assert Catalogue.load(directory).newest("Thing").version == 1
    assert release(directory, [path]) == []
    assert check(directory) == []
    assert Catalogue.load(directory).newest("Thing").version == 2


def test_what_does_not_pass_is_not_released(directory):
    before = (directory / "RELEASED").read_text(encoding="utf-8")
    path = put(directory, "Thing.v2", thing())
    assert [(finding.path, finding.rule) for finding in release(directory, [path])] == [(X, "removal")]
    again = release(directory, ["rooms/Nothing.v1.avsc", "rooms/Thing.v1.avsc"])
    assert [finding.rule for finding in again if finding.file != path] == ["release", "release"]
    assert (directory / "RELEASED").read_text(encoding="utf-8") == before


# The command


def test_the_command_prints_one_line_per_finding_and_fails(directory, capsys):
    path = put(directory, "Thing.v2", thing())
    assert main([str(directory)]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"{path}: -: unlisted: ")
    assert second.startswith(f"{path}: x: removal: ")


def test_the_command_releases(directory):
    path = put(directory, "Thing.v2", thing(field(X, "long"), field("y", "long", default=0)))
    assert main([str(directory), "--release", path]) == 0
    assert main([str(directory)]) == 0


def test_the_command_says_nothing_about_the_committed_schemas():
    command = [sys.executable, "-m", "common.events.compatibility"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
