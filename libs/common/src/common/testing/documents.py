"""Documents that are run: the blocks of a Markdown file in order, in one shell, each judged by what the document shows after it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from common.testing.waiting import eventually

#: A line of what is shown stands for any line of the output that has it; this, for anything within the line.
ANYTHING = "…"

_FENCE = re.compile(r"(?P<ticks>```+)(?P<language>\w*)\s*")
_NOTE = re.compile(r"<!--\s*(?P<text>.*?)\s*-->")
_LINK = re.compile(r"\]\((?!https?:|#)(?P<path>[^)#\s]+)(?:#[^)\s]*)?\)")


@dataclass(frozen=True, slots=True)
class Step:
    """A block of code. `notes` are the HTML comments right before it, which readers do not see; `shown` is the text block behind it.

    A text block with notes of its own is a step by itself. A note `shows …` is a line of such a block that readers do not see.
    """

    language: str
    code: str
    line: int
    notes: tuple[str, ...] = ()
    shown: str = ""


def steps(document: Path) -> list[Step]:
    """The blocks of a document, each `text` block joined to the one that it shows the output of."""
    found: list[Step] = []
    for block in _blocks(document.read_text(encoding="utf-8").splitlines()):
        if block.language == "text" and not block.notes:
            assert found and not found[-1].shown, f"{document.name}:{block.line}: shows the output of nothing"
            found[-1] = replace(found[-1], shown=block.code)
        else:
            found.append(block)
    return found


def addressed(step: Step, addresses: Mapping[str, str]) -> Step:
    """The step on another stack: with its addresses for those of the document, and no other difference."""
    code = step.code
    for written, real in addresses.items():
        code = code.replace(written, real)
    return replace(step, code=code)


def missing(shown: str, output: str) -> str | None:
    """The first line of `shown` that the output does not have, searched in order; None where it has all of them."""
    position = 0
    for line in filter(None, map(str.strip, shown.splitlines())):
        wanted = re.compile(".*".join(map(re.escape, line.split(ANYTHING))))
        match = wanted.search(output, position)
        if match is None:
            return line
        position = match.end()
    return None


def dead_links(document: Path) -> list[str]:
    """The relative links of a document that lead to no file."""
    targets = [match["path"] for match in _LINK.finditer(document.read_text(encoding="utf-8"))]
    return [target for target in targets if not (document.parent / target).exists()]


class Terminal:
    """A shell in which blocks run one after the other as if they were pasted: what one sets, the next ones see.

    Blocks of Python run in an interpreter of their own, in the same folder. Nothing here is for more than one thread.
    """

    def __init__(self, shell: Sequence[str], directory: Path, environ: Mapping[str, str], scratch: Path) -> None:
        """Works in `directory`; `scratch` is a folder for what is run."""
        path = os.pathsep.join([str(Path(sys.executable).parent), environ.get("PATH", os.defpath)])
        self._command, self._directory, self._scratch = shell, directory, scratch
        self._environ = {**environ, "PATH": path}
        self._shell = subprocess.Popen(
            shell,
            cwd=directory,
            env=self._environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
        )

    def run(self, step: Step) -> tuple[int, str]:
        """The exit status of the step's last command, and all that it printed."""
        script = self._scratch / f"{step.line}.{step.language}"
        script.write_text(step.code, encoding="utf-8")
        if step.language == "python":
            done = subprocess.run(
                [sys.executable, str(script)], cwd=self._directory, env=self._environ, capture_output=True, text=True, check=False
            )
            return done.returncode, done.stdout + done.stderr
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        end = f"-- the end of {script} --"
        self._shell.stdin.write(f". '{script}' </dev/null\nprintf '\\n%s %s\\n' '{end}' $?\n")
        self._shell.stdin.flush()
        output: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(end):
                return int(line.removeprefix(end)), "".join(output)
            output.append(line)
        raise AssertionError(f"line {step.line}: the shell ended\n{''.join(output)}")

    def beside(self, step: Step, output: IO[bytes]) -> subprocess.Popen[bytes]:
        """Starts a step in a shell of its own, in a process group of its own: what it prints goes to `output`, and it goes on."""
        return subprocess.Popen(
            [*self._command, "-c", step.code],
            cwd=self._directory,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )

    def follow(self, step: Step) -> None:
        """Runs a step and compares; one with the note `until` again and again, as it waits for what it shows."""

        def followed() -> bool:
            status, output = self.run(step)
            lacking = missing(step.shown, output)
            if lacking is None and status == 0:
                return True
            assert "until" in step.notes, f"line {step.line}: exit {status}, no {lacking!r} in\n{output}"
            return False

        eventually(followed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._shell.kill()
        self._shell.communicate()


def _blocks(lines: Sequence[str]) -> Iterator[Step]:
    notes: list[str] = []
    opened: tuple[str, str, int] | None = None
    code: list[str] = []
    for number, line in enumerate(lines, start=1):
        if opened is not None:
            ticks, language, start = opened
            if line.strip() == ticks:
                shown = "".join(f"{note.removeprefix('shows ')}\n" for note in notes if note.startswith("shows "))
                yield Step(language, "\n".join([*code, ""]), start, tuple(notes), shown)
                opened, notes, code = None, [], []
            else:
                code.append(line)
        elif fence := _FENCE.fullmatch(line):
            opened = fence["ticks"], fence["language"], number
        elif note := _NOTE.fullmatch(line.strip()):
            notes.append(note["text"])
        elif line.strip():
            notes = []
    if opened is not None:
        raise AssertionError(f"the block of line {opened[2]} has no end")
