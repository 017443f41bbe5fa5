"""What can go wrong, and the exit code each kind ends with.

::

    FeatflowError
    ├── InputError               2   the configuration or the data's schema is wrong
    │   ├── ConfigurationError       a key, or a path that a key names
    │   ├── DatasetError             nothing there to read
    │   └── SchemaError              a column: absent, duplicated, of clashing types, a useless target
    ├── BadDataError             3   more unreadable rows than the budget allows
    ├── InfrastructureError      4   storage or the cluster failed; a retry is safe
    │   └── DamagedError             a file of an output is not what was written
    └── LockedError              5   another run holds the lock

Every message names the file, column, row group or key at fault and says what to do. `EXIT_CODES` holds those of the
command line, which are more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

__all__ = [
    "BadDataError",
    "ConfigurationError",
    "DamagedError",
    "DatasetError",
    "FeatflowError",
    "InfrastructureError",
    "InputError",
    "LockedError",
    "SchemaError",
]


EXIT_CODES: Mapping[int, str] = {
    0: "done",
    1: "a defect of featflow, please report it; or the answer is no: status --max-age, demo",
    2: "the configuration or the data's schema is wrong",
    3: "bad data above the error budget",
    4: "infrastructure failed, retry is safe",
    5: "another run holds the lock",
    130: "interrupted by Ctrl-C",
    143: "told to end by SIGTERM",
}
"""What a process of featflow may end with, and what each means: 128 and a signal's number where a signal ended it."""


class FeatflowError(Exception):
    """Anything featflow raises on purpose."""

    exit_code: ClassVar[int] = 1


class InputError(FeatflowError):
    """The configuration or the data's schema is wrong."""

    exit_code = 2


class ConfigurationError(InputError):
    """A configuration key, or a path that a key names, is wrong."""


class DatasetError(InputError):
    """There is nothing to read."""


class SchemaError(InputError):
    """A column is absent, duplicated, of clashing types, or useless in its role."""


class BadDataError(FeatflowError):
    """More rows are unreadable than ``budget.bad_rows`` allows."""

    exit_code = 3


class InfrastructureError(FeatflowError):
    """Storage or the cluster failed; nothing was published and a retry is safe."""

    exit_code = 4


class DamagedError(InfrastructureError):
    """A file of an output is not what was written: a state, a manifest, LATEST."""


class LockedError(FeatflowError):
    """Another run holds the lock of the output."""

    exit_code = 5


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, printable."""
    return printable((str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip("."))


def printable(text: str) -> str:
    r"""Return a text with all characters written out that move a cursor, colour a terminal or turn text around.

    Examples
    --------
    >>> printable("two\nlines"), printable("evil\u202etxt"), printable("\x1b[31mred"), printable("Größe 😀")
    ('two\\nlines', 'evil\\u202etxt', '\\x1b[31mred', 'Größe 😀')
    """
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)
