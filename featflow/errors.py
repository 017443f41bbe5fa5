"""What can go wrong, and the exit code each kind ends with.

::

    FeatflowError
    ├── InputError               2   the configuration or the data's schema is wrong
    │   ├── ConfigurationError       a key, or a path that a key names
    │   ├── DatasetError             nothing there to read
    │   └── SchemaError              a column: absent, duplicated, of clashing types, a useless target
    ├── BadDataError             3   more unreadable rows than the budget allows
    ├── InfrastructureError      4   storage or the cluster failed; a retry is safe
    │   └── DamagedError             a state's bytes are not those that were written
    └── LockedError              5   another run holds the lock

Every message names the file, column, row group or key at fault and says what to do.
"""

from __future__ import annotations

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
    """A state's bytes are not those that were written."""


class LockedError(FeatflowError):
    """Another run holds the lock of the output."""

    exit_code = 5


def first_line(error: BaseException) -> str:
    """Return the first line of what an error says, printable."""
    line = (str(error).strip() or type(error).__name__).splitlines()[0][:300].rstrip(".")
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in line)
