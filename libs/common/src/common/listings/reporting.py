"""How far a command is, on stderr: a bar at a terminal, elsewhere a line for each step."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Reporter:
    """For the time of a block."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, soft_wrap=True, markup=False, highlight=False, emoji=False)
        columns = TextColumn("{task.description}", markup=False), BarColumn(20), TimeElapsedColumn()
        done = TextColumn("{task.completed:,.0f} · {task.fields[rate]:,.0f}/s", markup=False)
        self._progress = Progress(*columns, done, console=self._console, transient=True)
        self._task: tuple[str, TaskID, float] | None = None

    def show(self, what: str, done: int, total: int | None) -> None:
        """`done` of `total`, where that is known; another `what` than before is the next step."""
        if self._task is None or self._task[0] != what:
            if self._task is not None:
                self._progress.remove_task(self._task[1])
            self._task = what, self._progress.add_task(what, total=total, rate=0.0), time.monotonic()
            if not self._console.is_terminal:
                self._console.print(what)
        _, task, began = self._task
        self._progress.update(task, completed=done, total=total, rate=done / max(time.monotonic() - began, 0.001))

    def say(self, line: str) -> None:
        self._console.print(line)

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._progress.start()
        return self

    def __exit__(self, _type: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        if self._console.is_terminal:  # elsewhere it was never started
            self._progress.stop()
