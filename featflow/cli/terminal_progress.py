"""Progress on the terminal: a bar for each stage."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from featflow.errors import printable

__all__ = ["TerminalProgress"]


class TerminalProgress:
    """A bar for the stage under way, with rows a second and time left; bars of finished stages stay above it."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(console=console)
        self._task = TaskID(0)
        self._rows, self._began = 0, 0.0

    def begin(self, context: Callable[[], dict[str, Any]]) -> None:
        """Show nothing yet."""

    def start(self, stage: str, total: int) -> None:
        """Show a bar."""
        self._rows, self._began = 0, time.monotonic()
        self._bar = Progress(
            SpinnerColumn(finished_text=Text("✓", "green")),
            TextColumn("{task.description:<20}", markup=False),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True),
            TextColumn("{task.fields[speed]}"),
            console=self._console,
        )
        self._task = self._bar.add_task(printable(stage), total=total, speed="")
        self._bar.start()

    def advance(self, rows: int, shards: int = 0, nbytes: int = 0) -> None:  # noqa: ARG002  the bar speaks of rows
        """Move the bar."""
        self._rows += rows
        seconds = max(time.monotonic() - self._began, 1e-9)
        self._bar.update(self._task, advance=1, speed=f"{self._rows / seconds:,.0f} rows/s" if self._rows else "")

    def finish(self) -> None:
        """Leave the bar on the screen as it is."""
        self._bar.stop()
