"""Standard output and error that outlive their readers, and that show neither secrets nor what moves a terminal.

A run ends by what it does, not by who listens to it. What anyone writes here, libraries and tracebacks too, is
filtered; rich's consoles, which write escapes of their own, go past it, and filter the text that they are given.
"""

from __future__ import annotations

import errno
import io
import os
import re
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TextIO, cast

from featflow.errors import InfrastructureError, printable
from featflow.storage.redaction import redacted_here

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["filtered", "keep_streams_open"]

NOBODY_READS = {errno.EPIPE, errno.EIO}
"""What writing fails with once the other end of a pipe is closed, or once a terminal is gone."""


def keep_streams_open() -> None:
    """Let a closed pipe end nothing, and write out characters that an output's encoding lacks.

    Who closes a pipe gets no more lines, and the command goes on. Standard output that fails in another way, such as by
    a full disk, raises InfrastructureError, for results are lost; standard error is a log, and raises nothing.
    """
    sys.stdout = cast("TextIO", _Filtered(_lasting(sys.stdout, 1, "standard output")))
    sys.stderr = cast("TextIO", _Filtered(_lasting(sys.stderr, 2, None)))


def filtered(text: str) -> str:
    r"""Return a text of lines without known secrets, with all characters written out that are no text.

    Examples
    --------
    >>> filtered("a\tb\n\x1b[2Jc at s3://me:word@lake")
    'a\tb\n\\x1b[2Jc at s3://***@lake'
    """
    return re.sub(r"[^\n\t]+", lambda line: printable(line[0]), redacted_here(text))


class _Filtered:
    """A stream whose text is filtered; what is written as bytes, to its buffer, is not."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file = stream  # where rich's consoles write, by a convention of theirs

    def write(self, text: str) -> int:
        self.rich_proxied_file.write(filtered(text) if isinstance(text, str) else text)
        return len(text)

    def writelines(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


class _LastingFile(io.FileIO):
    """A descriptor that is pointed to nowhere when it cannot be written, so that writing goes on."""

    def __init__(self, descriptor: int, required: str | None, stream: TextIO | None) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._required = required
        self._stream = stream  # some close their descriptor when nothing refers to them

    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            _point_to_nowhere(self.fileno())  # so libraries in C, and processes to come, can go on, too
            if self._required and error.errno not in NOBODY_READS:
                raise InfrastructureError(f"{self._required} cannot be written: {error.strerror}") from None
            return memoryview(data).nbytes


def _point_to_nowhere(descriptor: int) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if nowhere != descriptor:
        os.dup2(nowhere, descriptor)
        os.close(nowhere)


def _lasting(stream: TextIO | None, descriptor: int, required: str | None) -> TextIO:
    """Return a stream in place of the process's own; another one, such as a test's, as it is.

    Parameters
    ----------
    required
        Name in the error that is raised where output is lost; None where it is not missed.
    """
    if stream is None:  # closed before the process began: else a file of the run would get its number, and its lines
        _point_to_nowhere(descriptor)
    else:
        try:
            if stream.fileno() != descriptor:
                return stream
            stream.flush()
        except (OSError, ValueError):  # it has no descriptor
            return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_LastingFile(descriptor, required, stream)),
        encoding=getattr(stream, "encoding", "utf-8"),
        errors="backslashreplace",
        line_buffering=getattr(stream, "line_buffering", True),
        write_through=getattr(stream, "write_through", False),
    )
