"""Consoles of the commands, and output as one JSON object."""

from __future__ import annotations

import json
import sys
from typing import Annotated, Any

import typer
from rich.console import Console

__all__ = ["PIPED_WIDTH", "AsJson", "err", "out", "print_json"]

PIPED_WIDTH = 160
"""Characters a line in a file or a pipe, where a terminal's 80 would cut names of columns and paths."""
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]

out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, highlight=False)


def print_json(value: Any) -> None:
    """Print a value as one line."""
    sys.stdout.write(json.dumps(value) + "\n")
