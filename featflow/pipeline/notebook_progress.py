"""Progress in a notebook: one line, which the stage under way replaces; nothing where there is no notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from html import escape
from typing import Any

from featflow.execution.progress import Reporter

__all__ = ["NotebookProgress", "notebook_progress"]

SECONDS = 0.2
"""Least time between two updates of a stage: a browser draws each."""


def notebook_progress() -> Reporter | None:
    """Return progress for the notebook that runs this process; None if there is none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return NotebookProgress(ipython.display) if ipython and hasattr(shell, "kernel") else None


class NotebookProgress:
    """A bar for the stage under way, in the output of a cell.

    Parameters
    ----------
    display
        ``IPython.display``.
    """

    def __init__(self, display: Any) -> None:
        self._html, self._handle = display.HTML, display.display(display.HTML(""), display_id=True)
        self._stage, self._done, self._total, self._shown = "", 0, 0, 0.0

    def begin(self, context: Callable[[], dict[str, Any]]) -> None:
        """Show nothing yet."""

    def start(self, stage: str, total: int) -> None:
        """Show a bar."""
        self._stage, self._done, self._total = stage, 0, total
        self._show()

    def advance(self, rows: int, shards: int = 0, nbytes: int = 0) -> None:  # noqa: ARG002  a bar counts steps
        """Move the bar."""
        self._done += 1
        if time.monotonic() - self._shown >= SECONDS:
            self._show()

    def finish(self) -> None:
        """Leave the last stage on the screen, complete."""
        self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        bar = f'<progress value="{self._done}" max="{max(self._total, 1)}"></progress>'
        self._handle.update(self._html(f"featflow: {escape(self._stage)} {bar} {self._done} of {self._total}"))
