"""Errors that nothing in featflow expects: where they happened, without credentials, and a request to report them."""

from __future__ import annotations

import platform
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import typer

from featflow.errors import FeatflowError, first_line

__all__ = ["Defect", "as_defects", "is_of_parser", "version"]


class Defect(Exception):  # noqa: N818  it is what it says
    """An error that is no FeatflowError; its text asks for a report."""

    trace: str
    """Its traceback, and those of its causes, without credentials."""

    def __init__(self, error: BaseException, options: Mapping[str, Any]) -> None:
        from featflow.storage.redaction import redacted, remember

        remember(options)  # whoever prints it
        self.trace = redacted("".join(traceback.format_exception(error)), options)
        what = redacted(f"{type(error).__name__}: {first_line(error)}", options)
        super().__init__(
            f"{what}. This is a defect of featflow {version()} (Python {platform.python_version()}, "
            f"{platform.system()}): please report it with the traceback; known credentials are taken out of it"
        )


@contextmanager
def as_defects(options: Mapping[str, Any]) -> Iterator[None]:
    """Raise what is expected by nothing as a Defect whose text holds no value of storage options."""
    try:
        yield
    except Exception as error:
        if isinstance(error, FeatflowError | MemoryError | Defect | typer.Exit | typer.Abort) or is_of_parser(error):
            raise
        raise Defect(error, options) from None


def is_of_parser(error: Exception) -> bool:
    """Whether an error is about the arguments of a command: typer exports no base class of these."""
    return callable(getattr(error, "show", None)) and hasattr(error, "exit_code")


def version() -> str:
    """Return featflow's version, of its installation's metadata."""
    from importlib import metadata

    return metadata.version("featflow")
