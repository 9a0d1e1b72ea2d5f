"""The list of released schema files, which are never edited.

One line per file: `fingerprint sha256 path`, or `unreleased path` for a draft. Lines that start with # are comments.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common.events.catalogue import RELEASED, UNRELEASED, Schema

_LINE = re.compile(r"(?P<fingerprint>[0-9a-f]{16}) +(?P<sha256>[0-9a-f]{64}) +(?P<path>\S+)")
_DRAFT = re.compile(rf"{UNRELEASED} +(?P<path>\S+)")


@dataclass(frozen=True, slots=True)
class Release:
    """What was released under this path."""

    fingerprint: str  # hex, in the byte order of an event's header
    sha256: str  # of the file's bytes


class Released:
    """The list as it stands in a directory."""

    def __init__(self, lines: Sequence[str]) -> None:
        self._lines = list(lines)
        self._releases: dict[str, Release] = {}
        self._drafts: set[str] = set()
        self._wrong: list[tuple[int, str]] = []
        for number, line in enumerate(map(str.strip, lines), start=1):
            if not line or line.startswith("#"):
                continue
            draft, released = _DRAFT.fullmatch(line), _LINE.fullmatch(line)
            if (listed := draft or released) is None:
                self._wrong.append((number, "is neither `fingerprint sha256 path` nor `unreleased path`"))
            elif self.has(path := listed["path"]) or path in self._drafts:
                self._wrong.append((number, f"lists {path} a second time"))
            elif released:
                self._releases[path] = Release(released["fingerprint"], released["sha256"])
            else:
                self._drafts.add(path)

    @classmethod
    def load(cls, directory: Path) -> "Released":
        """An absent list is an empty one."""
        path = directory / RELEASED
        return cls(path.read_text(encoding="utf-8").splitlines() if path.exists() else [])

    def has(self, path: str) -> bool:
        return path in self._releases

    def findings(self, directory: Path, known: Sequence[Schema]) -> Iterator[tuple[str, str, str, str]]:
        """(file, "", rule, explanation) for every file that is not as it was released, not there, or not listed."""
        for number, explanation in self._wrong:
            yield RELEASED, "", "list", f"line {number} {explanation}"
        for path, release in self._releases.items():
            if not (directory / path).is_file():
                yield path, "", "gone", "was released, events that it describes are still around, and it is not there"
            elif _sha256(directory / path) != release.sha256:
                yield path, "", "edited", "is not what was released; restore it and write a new version"
        for schema in known:
            listed = self._releases.get(schema.path)
            if listed is None and schema.path not in self._drafts:
                yield schema.path, "", "unlisted", f"is not in {RELEASED}: release it, or list it as `{UNRELEASED} {schema.path}`"
            elif listed and listed.fingerprint != schema.fingerprint.hex():
                yield schema.path, "", "edited", f"the list says {listed.fingerprint}, not {schema.fingerprint.hex()}"
        for path in self._drafts:
            if not (directory / path).is_file():
                yield path, "", "gone", f"is listed as {UNRELEASED} and is not there"

    def append(self, directory: Path, files: Sequence[Schema]) -> None:
        """Writes the list with these files at its end; they are no drafts any more."""
        promoted = {file.path for file in files}
        kept = [line for line in self._lines if not ((draft := _DRAFT.fullmatch(line.strip())) and draft["path"] in promoted)]
        new = [f"{file.fingerprint.hex()} {_sha256(directory / file.path)} {file.path}" for file in files]
        (directory / RELEASED).write_text("\n".join([*kept, *new]) + "\n", encoding="utf-8")


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
