"""`import FILE`: sends a file of listings to the API in portions, shows how it goes, and keeps what was rejected."""

import hashlib
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import httpx
import orjson
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from common.errors import Unavailable, WrongSetting
from common.listings.domain import IDEMPOTENCY_KEY, Kind
from common.security.client import wanted

#: Lines and bytes per request: enough to keep the API busy, few enough to start anew when it goes away.
PORTION, PORTION_BYTES = 2000, 8 * 1024 * 1024
#: Outcomes of lines that were not taken.
REJECTED = ("invalid", "forbidden")
#: Seconds that an API which does not answer is tried again.
PATIENCE = 60.0


@dataclass
class Report:
    """What became of the file so far."""

    outcomes: Counter[str] = field(default_factory=Counter)
    started: float = field(default_factory=time.monotonic)

    def __str__(self) -> str:
        shown = " · ".join(
            f"{self.outcomes[name]:,} {name}"
            for name in ("created", "updated", "unchanged", *REJECTED)
            if self.outcomes[name] or name != "forbidden"
        )
        return f"{shown} · {sum(self.outcomes.values()) / max(time.monotonic() - self.started, 0.001):,.0f}/s"


def import_file(file: str, kind: Kind, url: str, auth: httpx.Auth | None = None, patience: float = PATIENCE) -> int:
    """Imports `file` (`-` is standard input) through the API at `url`. Exit status 0, or 1 where lines were rejected.

    Rejected lines are kept as they are beside the file, in `<file>.rejected.ndjson`, to be mended and imported; the reasons stand in
    `<file>.rejected.txt`. Raises WrongSetting for a file that cannot be read and a URL that is none, Unavailable when the API stays
    away for `patience` seconds: importing the file again goes on where it stopped. (Listings without a url are known again by their
    place in the file and what is sent with them, for a day.)
    """
    console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)
    report = Report()
    with ExitStack() as stack:
        lines, size = _opened(file, stack)
        client = stack.enter_context(api_client(url, auth))
        keeper = stack.enter_context(_Keeper(Path("import" if file == "-" else file)))
        columns = BarColumn(20), TaskProgressColumn(), TimeElapsedColumn(), TextColumn("{task.fields[report]}", markup=False)
        progress = stack.enter_context(Progress(*columns, console=console))
        task = progress.add_task("import", total=size, report="")
        first = 1
        for portion in _portions(lines):
            for outcome in _sent(
                client,
                kind,
                portion,
                first,
                patience,
                lambda reason: console.print(f"waiting up to {patience:g} s for {client.base_url}: {reason}"),
            ):
                report.outcomes[outcome["outcome"]] += 1
                if outcome["outcome"] in REJECTED:
                    keeper.keep(portion[outcome["line"] - first], outcome)
            first += len(portion)
            progress.update(task, advance=sum(map(len, portion)), report=str(report))
    console.print(f"{sum(report.outcomes.values()):,} listings: {report}")
    rejected = sum(report.outcomes[name] for name in REJECTED)
    if rejected:
        console.print(f"rejected lines are in {keeper.lines}, the reasons in {keeper.reasons}")
    return 1 if rejected else 0


def _opened(file: str, stack: ExitStack) -> tuple[IO[bytes], int | None]:
    """The file and its size in bytes, None where nobody knows."""
    if file == "-":
        return sys.stdin.buffer, None
    try:
        return stack.enter_context(Path(file).open("rb")), Path(file).stat().st_size
    except OSError as error:
        raise WrongSetting(file, f"cannot be read: {error.strerror}") from None


def api_client(url: str, auth: httpx.Auth | None = None) -> httpx.Client:
    """Raises WrongSetting for a URL that is none."""
    try:
        client = httpx.Client(base_url=url, auth=auth, timeout=httpx.Timeout(60, connect=5))
    except httpx.InvalidURL:
        client = None
    if client is None or client.base_url.scheme not in ("http", "https") or not client.base_url.host:
        raise WrongSetting("--url", f"must be an address like http://127.0.0.1:8001, not {url!r}")
    return client


def _portions(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    portion: list[bytes] = []
    size = 0
    for line in lines:
        portion.append(line)
        size += len(line)
        if len(portion) == PORTION or size >= PORTION_BYTES:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _sent(
    client: httpx.Client, kind: Kind, portion: list[bytes], first: int, patience: float, waiting: Callable[[str], None]
) -> Iterator[dict[str, Any]]:
    """The outcome of each line, numbered from `first`; an API that is away or stops half-way is asked again for what it has not
    answered, and `waiting` is told why, once until it answers again.

    What was answered is left blank then, so that all others keep their place, by which the API knows them again.
    """
    key = f"{first}-{hashlib.sha256(b''.join(portion)).hexdigest()}"
    done, pause, deadline, told = 0, 0.2, time.monotonic() + patience, False
    while True:
        reason, answered = "it stopped half-way", 0
        try:
            for outcome in _outcomes(client, kind, key, [b"\n"] * done + portion[done:]):
                if outcome["outcome"] == "aborted":
                    reason = outcome["problem"].get("detail", reason)
                    break
                answered = outcome["line"]
                yield outcome | {"line": first + answered - 1}
            else:
                return
        except httpx.TransportError as error:
            reason = str(error) or type(error).__name__
        done = max(done, answered)
        if answered:
            pause, deadline, told = 0.2, time.monotonic() + patience, False
        if time.monotonic() > deadline:
            line = first + done
            raise Unavailable(
                f"the API at {client.base_url}", f"{reason}; importing the file again, as it is, goes on from line {line}"
            )
        if not told:
            waiting(reason)
            told = True
        time.sleep(pause)
        pause = min(2 * pause, 2.0)


def _outcomes(client: httpx.Client, kind: Kind, key: str, lines: list[bytes]) -> Iterator[dict[str, Any]]:
    headers = {"Content-Type": "application/x-ndjson", IDEMPOTENCY_KEY: key}
    with client.stream("POST", f"{kind.path}/import", content=b"".join(lines), headers=headers) as response:
        if response.status_code == httpx.codes.OK:
            yield from _read(client, kind, response.iter_bytes())
            return
        response.read()
    if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
        yield {"line": 0, "outcome": "aborted", "problem": {"detail": detail_of(response) or "it answered 503"}}
        return
    raise refusal(client, response, f"{kind.plural}:write")


def refusal(client: httpx.Client, response: httpx.Response, scope: str) -> Unavailable:
    """That an operation which needs this scope was answered otherwise than it should; the response has been read."""
    told = f"it answered {response.status_code}", detail_of(response), wanted(response, scope)
    return Unavailable(f"the API at {client.base_url}", " ".join(filter(None, told)))


def detail_of(response: httpx.Response) -> str:
    """What a problem's answer says of it; empty where it is no problem's."""
    try:
        return str(response.json().get("detail", ""))
    except (ValueError, AttributeError):
        return ""


def _read(client: httpx.Client, kind: Kind, chunks: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """The lines of an answer. (`iter_lines` would also split at U+2028 and the like, within a text.)"""
    rest = b""
    try:
        for chunk in chunks:
            *whole, rest = (rest + chunk).split(b"\n")
            yield from map(orjson.loads, whole)
        if rest:
            yield orjson.loads(rest)
    except orjson.JSONDecodeError:
        raise Unavailable(f"the API at {client.base_url}", f"what answers there is no {kind.plural} API") from None


class _Keeper:
    """Writes rejected lines and their reasons beside the file; without any, there are no such files."""

    def __init__(self, file: Path) -> None:
        self.lines, self.reasons = Path(f"{file}.rejected.ndjson"), Path(f"{file}.rejected.txt")
        self._open: list[IO[Any]] = []

    def keep(self, line: bytes, outcome: dict[str, Any]) -> None:
        if not self._open:
            try:
                self._open = [self.lines.open("wb"), self.reasons.open("w", encoding="utf-8")]
            except OSError as error:
                raise self._cannot(error) from None
        self._open[0].write(line.rstrip(b"\r\n") + b"\n")
        self._open[1].write(f"line {outcome['line']}: {outcome['problem']['detail']}\n")

    def __enter__(self) -> "_Keeper":
        try:
            for stale in (self.lines, self.reasons):
                stale.unlink(missing_ok=True)
        except OSError as error:
            raise self._cannot(error) from None
        return self

    def _cannot(self, error: OSError) -> WrongSetting:
        return WrongSetting(str(self.lines), f"cannot be written: {error.strerror}")

    def __exit__(self, *_: object) -> None:
        for file in self._open:
            file.close()
