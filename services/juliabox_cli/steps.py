"""Steps of a long command: progress bars on a terminal, one line per step elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn


class Step:
    """One step under way; its holder reports fractions and a detail."""

    def __init__(self, progress: Progress | None, task: TaskID | None) -> None:
        self._progress = progress
        self._task = task
        self.result = "done"

    def advance(self, detail: str, fraction: float) -> None:
        """Show how far the step is: ``fraction`` from 0 to 1."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=fraction * 100, total=100, detail=detail)


class Steps:
    """Shows the steps of one command on standard error's or standard output's console."""

    def __init__(self, console: Console) -> None:
        self._console = console

    @contextlib.contextmanager
    def step(self, title: str) -> Iterator[Step]:
        """Show a step from begin to end; it ends with its result and how long it took."""
        began = time.monotonic()
        if self._console.is_terminal:
            with self._bar() as progress:
                task = progress.add_task(title, total=None, detail="")
                step = Step(progress, task)
                yield step
        else:
            step = Step(None, None)
            yield step
        took = time.monotonic() - began
        self._console.print(f"{title}: {step.result} ({took:.1f} s)", highlight=False, markup=False)

    def warn(self, text: str) -> None:
        """Show what is wrong and stops nothing."""
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def _bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[detail]}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
