"""The gate for schema changes: FULL_TRANSITIVE, every version of a type can be read with every other, in both directions.

    python -m common.events.compatibility [DIRECTORY] [--release FILE]…

Prints `file: field.path: rule: explanation` per finding and exits 1 if there is any. The rules work on the schemas themselves, as
fingerprints ignore defaults, aliases, documentation and logical types. They are a little stricter than Avro's resolution: what
can be read but loses or changes its meaning (aliases, logical types, bytes for text) is refused too.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import schemas
from common.events import avro
from common.events.avro import NO_DEFAULT, Field, Type, at
from common.events.catalogue import BadFile, Schema, paths, read
from common.events.released import Released

#: Writer → readers that Avro promotes it to.
_PROMOTIONS = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}


@dataclass(frozen=True, slots=True, order=True)
class Finding:
    """What is wrong, and where. `path` is the field, dotted, `[]` for items; "" is the file or the whole schema."""

    file: str
    path: str
    rule: str
    explanation: str

    def __str__(self) -> str:
        return f"{self.file}: {self.path or '-'}: {self.rule}: {self.explanation}"


#: (path, rule, explanation)
Difference = tuple[str, str, str]


def compare(old: Type, new: Type, path: str = "") -> Iterator[Difference]:
    """Why data of one cannot be read with the other, whichever of the two wrote it."""
    if "union" in (old.kind, new.kind):
        yield from _unions(old, new, path)
    elif old.kind != new.kind:
        yield _kinds(old, new, path)
    else:
        if old.logical != new.logical:
            yield path, "logical type", f"{old} became {new}; readers would take one for the other"
        if old.name != new.name:
            known = old.name in new.aliases or new.name in old.aliases
            why = f"{old.name} became {new.name}" + (", and only one of the two schemas knows the alias" if known else "")
            yield path, "alias" if known else "name", why
        if old.size != new.size:
            yield path, "size", f"{old.name} had {old.size} bytes, now {new.size}"
        if old.kind == "enum":
            yield from _symbols(old, new, path)
        elif old.kind == "record":
            yield from _fields(old, new, path)
        for before, after in zip(old.inner, new.inner, strict=True):
            yield from compare(before, after, at(path, "[]"))


def _kinds(old: Type, new: Type, path: str) -> Difference:
    if new.kind in _PROMOTIONS.get(old.kind, ()):
        both = old.kind in _PROMOTIONS.get(new.kind, ())
        why = "not all bytes are text" if both else f"readers of the old schema cannot read a {new.kind} as {old.kind}"
        return path, "promotion", f"{old} became {new}; {why}"
    if old.kind in _PROMOTIONS.get(new.kind, ()):
        return path, "promotion", f"{old} became {new}; what was written as {old.kind} cannot be read as {new.kind}"
    return path, "type", f"{old} became {new}"


def _unions(old: Type, new: Type, path: str) -> Iterator[Difference]:
    before, after = ({avro.branch_key(branch): branch for branch in _branches(type)} for type in (old, new))
    for key in before.keys() - after.keys():
        yield path, "union", f"{key} is gone from {old}; what was written as {key} cannot be read as {new}"
    for key in after.keys() - before.keys():
        yield path, "union", f"{key} is new in {new}; readers of the old schema cannot read it as {old}"
    for key in before.keys() & after.keys():
        yield from compare(before[key], after[key], path)


def _branches(type: Type) -> tuple[Type, ...]:
    return type.inner if type.kind == "union" else (type,)


def _symbols(old: Type, new: Type, path: str) -> Iterator[Difference]:
    """A symbol that a reader does not know becomes the reader's default, so that the reader must have one."""
    for reader, writer, whose in ((old, new, "the old schema"), (new, old, "the new schema")):
        unknown = [symbol for symbol in writer.symbols if symbol not in reader.symbols]
        if unknown and not reader.default:
            yield path, "enum symbol", f"{whose} does not know {', '.join(unknown)} and has no default"


def _fields(old: Type, new: Type, path: str) -> Iterator[Difference]:
    before, after = ({field.name: field for field in type.fields} for type in (old, new))
    gone, added = [before[name] for name in before if name not in after], [after[name] for name in after if name not in before]
    for field in gone:
        here = at(path, field.name)
        if heir := _heir(field, added):
            yield (
                here,
                "alias",
                f"became {heir.name}, with an alias that only one of the schemas knows: the other's readers miss it",
            )
        elif field.default is NO_DEFAULT:
            yield here, "removal", "is gone and had no default: readers of the old schema cannot do without it"
    for field in added:
        if field.default is NO_DEFAULT:
            yield at(path, field.name), "default", "is new and has no default: what was written before cannot be read"
    for name in before.keys() & after.keys():
        yield from compare(before[name].type, after[name].type, at(path, name))


def _heir(field: Field, added: Sequence[Field]) -> Field | None:
    return next((one for one in added if field.name in one.aliases or one.name in field.aliases), None)


def check(directory: Path) -> list[Finding]:
    """Every finding in the directory, sorted."""
    findings: list[Finding] = []
    known: list[Schema] = []
    for path in paths(directory):
        try:
            known.append(read(directory, path))
        except BadFile as error:
            findings.append(Finding(error.path, error.field, "schema", error.reason))
    released = Released.load(directory)
    findings += [Finding(*finding) for finding in released.findings(directory, known)]
    findings += _versions(known)
    findings += [Finding(schema.path, *wrong) for schema in known for wrong in _closed_enums(schema.tree, "")]
    for one, other in combinations(sorted(known, key=lambda schema: schema.version), 2):
        if one.fingerprint == other.fingerprint:
            why = "is the same, because it ignores defaults, aliases, documentation and logical types"
            findings.append(Finding(other.path, "", "fingerprint", f"{one.fingerprint.hex()} {why} ({one.path})"))
        if one.type == other.type:
            differences = sorted(compare(one.tree, other.tree))
            findings += [Finding(other.path, path, rule, f"{why} ({one.path})") for path, rule, why in differences]
    return sorted(findings)


def _versions(known: Sequence[Schema]) -> Iterator[Finding]:
    by_type: dict[str, list[Schema]] = {}
    for schema in known:
        by_type.setdefault(schema.type, []).append(schema)
    for versions in by_type.values():
        for expected, schema in enumerate(sorted(versions, key=lambda schema: schema.version), start=1):
            if schema.version != expected:
                yield Finding(schema.path, "", "version", f"{schema.version} comes where {expected} is missing or taken")
                break


def _closed_enums(type: Type, path: str) -> Iterator[Difference]:
    if type.kind == "enum" and not type.default:
        yield path, "enum default", f"{type.name} has no default and could never get another symbol"
    for field in type.fields:
        yield from _closed_enums(field.type, at(path, field.name))
    for inner in type.inner:
        yield from _closed_enums(inner, path if type.kind == "union" else at(path, "[]"))


def release(directory: Path, files: Sequence[str]) -> list[Finding]:
    """Appends the files to the list of releases if the gate would pass with them; else changes nothing and says why not."""
    draft = Released.load(directory)
    on_disk = set(paths(directory))
    unfit = [Finding(file, "", "release", "is not there") for file in files if file not in on_disk]
    unfit += [Finding(file, "", "release", "is released already") for file in files if draft.has(file)]
    others = [finding for finding in check(directory) if not (finding.rule == "unlisted" and finding.file in files)]
    if unfit or others:
        return unfit + others
    draft.append(directory, [read(directory, file) for file in files])
    return []


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m common.events.compatibility", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("directory", nargs="?", type=Path, default=schemas.DIRECTORY)
    parser.add_argument("--release", action="append", default=[], metavar="FILE", help="release it (named from the directory)")
    given = parser.parse_args(arguments)
    findings = release(given.directory, given.release) if given.release else check(given.directory)
    sys.stdout.writelines(f"{finding}\n" for finding in findings)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
