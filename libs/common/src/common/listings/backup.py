"""`export FILE` and `import` of such a file: all that is kept, out through the API and back into a database."""

import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from itertools import chain
from pathlib import Path
from typing import IO, Any, cast

import httpx
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn, TimeElapsedColumn

from common.backoff import Backoff
from common.errors import Invalid, Unavailable, WrongSetting
from common.events.codec import Undecodable
from common.events.container import MAGIC, Container
from common.listings.domain import Kind
from common.listings.export import kept
from common.listings.import_file import api_client, refusal
from common.listings.ports import Kept, Restored
from common.listings.use_cases import Restore
from common.security.principal import ADMIN
from common.web.validation import Schema

#: Listings that one transaction restores.
BATCH = 500
#: Bytes that are read at a time.
PIECE = 64 * 1024

Datum = dict[str, Any]


@dataclass
class Shown:
    """What has been counted, at what rate, as it goes and at the end."""

    names: tuple[str, ...]
    progress: Progress
    task: TaskID
    counts: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        counted = " · ".join(f"{self.counts[name]:,} {name}" for name in self.names)
        return f"{counted} · {self.counts.total() / max(time.monotonic() - self.started, 0.001):,.0f}/s"

    def count(self, name: str) -> None:
        self.counts[name] += 1
        if self.counts.total() % BATCH == 0:
            self.progress.update(self.task, report=str(self))


@contextmanager
def shown(what: str, total: int | None, *names: str) -> Iterator[Shown]:
    """Progress on standard error, and a line at the end; `total` are bytes."""
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)
    columns = BarColumn(20), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.fields[report]}", markup=False)
    with Progress(*columns, console=console) as progress:
        report = Shown(names, progress, progress.add_task(what, total=total, report=""))
        yield report
        progress.update(report.task, report=str(report))
    console.print(f"{what} {report.counts.total():,}: {report}")


def export_file(file: str, kind: Kind, url: str, container: Container, auth: httpx.Auth | None = None) -> None:
    """Writes an export of the API at `url` to `file` (`-` is standard output), reading it on the way to see that it is whole.

    It has another name until it is. Raises WrongSetting for a file that cannot be written, Unavailable where the export broke off.
    """
    with ExitStack() as stack:
        client = stack.enter_context(api_client(url, auth))
        out = stack.enter_context(_standard_output() if file == "-" else _replaced(Path(file)))
        report = stack.enter_context(shown("exported", None, kind.plural, "deleted"))
        try:
            with client.stream("GET", f"{kind.path}/export") as response:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise refusal(client, response, ADMIN)
                for datum in container.read(_copied(response.iter_bytes(), out, report)):
                    report.count(kind.plural if datum[kind.singular] else "deleted")
        except httpx.TransportError as error:
            raise Unavailable(
                f"the API at {client.base_url}", f"{str(error) or type(error).__name__}; there is no export"
            ) from None
        except Undecodable as error:
            raise Unavailable(f"the API at {client.base_url}", f"what it sent is no export of {kind.plural}: {error}") from None


def _copied(pieces: Iterable[bytes], out: IO[bytes], report: Shown) -> Iterator[bytes]:
    for piece in pieces:
        out.write(piece)
        report.progress.update(report.task, advance=len(piece))
        yield piece


@contextmanager
def _standard_output() -> Iterator[IO[bytes]]:
    if sys.stdout.isatty():
        raise WrongSetting("FILE", "an export is no text to look at; name a file, or lead standard output elsewhere")
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except OSError as error:
        raise WrongSetting("standard output", f"cannot be written: {error.strerror}") from None


@contextmanager
def _replaced(file: Path) -> Iterator[IO[bytes]]:
    """A file beside this one, which takes its place at the end, and leaves no trace when that is not reached."""
    part = file.with_name(f"{file.name}.part")
    try:
        with part.open("wb") as out:
            yield out
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as error:
        raise WrongSetting(str(file), f"cannot be written: {error.strerror}") from None
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)


def is_export(file: str) -> bool:
    """Does it start like an Avro container file? Takes nothing from standard input (`-`). Raises WrongSetting."""
    if file == "-":
        return cast(BufferedReader, sys.stdin.buffer).peek(len(MAGIC)).startswith(MAGIC)
    try:
        with Path(file).open("rb") as opened:
            return opened.read(len(MAGIC)) == MAGIC
    except OSError as error:
        raise WrongSetting(file, f"cannot be read: {error.strerror}") from None


@dataclass(frozen=True)
class Restoration:
    """Restores an export. Exit status 0, or 1 where some could not be: `<file>.rejected.avro` has those, `….txt` the reasons.

    Raises WrongSetting for a file that is damaged or not whole, after all that could be read was restored; Unavailable when the
    database stays away, or its outbox full, for `patience` seconds: restoring the file again goes on.
    """

    kind: Kind
    restore: Restore
    container: Container
    schema: Schema

    def __call__(self, file: str, patience: float) -> int:
        name = "import" if file == "-" else file
        rejected, reasons = Path(f"{name}.rejected.avro"), Path(f"{name}.rejected.txt")
        broken: list[Undecodable] = []
        try:
            with ExitStack() as stack:
                source = sys.stdin.buffer if file == "-" else stack.enter_context(Path(file).open("rb"))
                size = None if file == "-" else Path(file).stat().st_size
                for stale in (rejected, reasons):
                    stale.unlink(missing_ok=True)
                report = stack.enter_context(shown("restored", size, "restored", "unchanged", "rejected"))
                refused = self._refused(_readable(self.container.read(_pieces(source, report)), broken), report, patience)
                if (first := next(refused, None)) is not None:
                    with reasons.open("w", encoding="utf-8") as why, rejected.open("wb") as out:
                        out.writelines(self.container.write(_explained(chain([first], refused), why)))
                    report.progress.console.print(f"what was rejected is in {rejected}, the reasons in {reasons}")
        except OSError as error:
            raise WrongSetting(error.filename or name, f"cannot be read or written: {error.strerror}") from None
        if broken:
            raise WrongSetting(file, f"is no whole export: {broken[0]}; what could be read before that was restored")
        return 1 if report.counts["rejected"] else 0

    def _refused(self, data: Iterable[Datum], report: Shown, patience: float) -> Iterator[tuple[Datum, str]]:
        """Restores, and gives out what could not be and why."""
        for batch in _batches(data):
            ready: list[tuple[Datum, Kept]] = []
            for datum in batch:
                try:
                    ready.append((datum, kept(self.kind, datum, self.schema)))
                except (Invalid, Undecodable) as error:
                    report.count("rejected")
                    yield datum, str(error)
            outcomes = self._patiently([each for _, each in ready], report, patience)
            for (datum, _), outcome in zip(ready, outcomes, strict=True):
                report.count("rejected" if outcome.outcome == "taken" else outcome.outcome)
                if outcome.outcome == "taken":
                    yield (
                        datum,
                        f"the living {self.kind.singular} {outcome.holder} has its url {datum[self.kind.singular]['url']}",
                    )

    def _patiently(self, ready: list[Kept], report: Shown, patience: float) -> list[Restored]:
        backoff, deadline, told = Backoff(longest=2.0), time.monotonic() + patience, False
        while True:
            try:
                return list(self.restore(ready))
            except Unavailable as error:
                if time.monotonic() > deadline:
                    raise Unavailable(error.neighbour, f"{error.reason}; restoring the file again goes on") from error
                if not told:
                    report.progress.console.print(f"waiting up to {patience:g} s: {error}")
                told = True
            time.sleep(backoff.pause())


def _pieces(source: IO[bytes], report: Shown) -> Iterator[bytes]:
    while piece := source.read(PIECE):
        report.progress.update(report.task, advance=len(piece))
        yield piece


def _readable(data: Iterable[Datum], broken: list[Undecodable]) -> Iterator[Datum]:
    """As much as can be read; what stands in the way of more goes to `broken`."""
    try:
        yield from data
    except Undecodable as error:
        broken.append(error)


def _batches(data: Iterable[Datum]) -> Iterator[list[Datum]]:
    batch: list[Datum] = []
    for datum in data:
        batch.append(datum)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _explained(refused: Iterable[tuple[Datum, str]], why: IO[str]) -> Iterator[Datum]:
    for datum, reason in refused:
        why.write(f"{datum['id']}: {reason}\n")
        yield datum
