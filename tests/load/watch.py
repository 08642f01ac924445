"""Shows how far a long benchmark is: a line for each run that is done, and on a terminal a bar for
the rest.
"""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)


class Watch:
    """`total` runs are to come. Use it as a context manager."""

    def __init__(self, console: Console, total: int) -> None:
        self._console = console
        # Without a refreshing thread: processes are forked while the bar is shown.
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("· left"),
            TimeRemainingColumn(),
            console=console,
            auto_refresh=False,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID = self._progress.add_task("starting", total=total)
        self._doing = ""

    def __enter__(self) -> Watch:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def begin(self, doing: str) -> None:
        """Say what is being done."""
        self._doing = doing
        self._progress.update(self._task, description=doing)
        self.tick()

    def end(self, outcome: str) -> None:
        """Say what came of it."""
        self._progress.advance(self._task)
        self.say(f"{self._doing} · {outcome}")

    def tick(self) -> None:
        """Time has passed."""
        self._progress.refresh()

    def say(self, line: str) -> None:
        """A line that stays."""
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
