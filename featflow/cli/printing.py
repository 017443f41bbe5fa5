"""Consoles of the commands, which show text as it is, and output as one JSON object."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import IO, Annotated, Any

import typer
from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from featflow.cli.streams import filtered
from featflow.errors import printable
from featflow.storage.redaction import redacted_here, redacted_values

__all__ = ["PIPED_WIDTH", "AsJson", "PlainConsole", "err", "labelled", "out", "print_json"]

PIPED_WIDTH = 160
"""Characters a line in a file or a pipe, where a terminal's 80 would cut names of columns and paths."""
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]


class PlainConsole(Console):
    """A console for which no string holds markup: names, levels and paths are data, and hostile text of any kind.

    Brackets and colons are shown as they are, what is not printable is written out, whoever makes the string: views
    escape nothing. Styles come from `rich.text.Text`, whose text is not looked at.
    """

    def __init__(self, *, file: IO[str] | None = None, stderr: bool = False, width: int | None = None) -> None:
        super().__init__(file=file, stderr=stderr, width=width, markup=False, emoji=False, highlight=False)

    @property
    def file(self) -> IO[str]:
        """The stream below the filter, also while rich has put a stream of its own before it, as it does for a bar."""
        file = super().file
        below: IO[str] = getattr(file, "rich_proxied_file", file)
        return below

    @file.setter
    def file(self, new: IO[str]) -> None:
        self._file = new

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a string as text of one line."""
        return super().render_str(printable(redacted_here(text)), **options)

    def render(self, renderable: Any, options: Any = None) -> Iterable[Segment]:
        """Yield what is shown of anything; no text in it, whoever made it, moves the cursor or colours a line."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(filtered(segment.text), segment.style)


out = PlainConsole(width=None if sys.stdout and sys.stdout.isatty() else PIPED_WIDTH)
err = PlainConsole(stderr=True)


def labelled(label: str, style: str, text: str) -> Text:
    """Return a text behind a label in a style."""
    return Text.assemble((printable(redacted_here(label)), style), " ", printable(redacted_here(text)))


def print_json(value: Any) -> None:
    """Print a value as one line."""
    sys.stdout.write(json.dumps(redacted_values(value, redacted_here)) + "\n")
