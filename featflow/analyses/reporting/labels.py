"""Names and numbers as a page shows them: names are hostile text of any length."""

from __future__ import annotations

import math
from datetime import UTC, datetime

from featflow.errors import printable

__all__ = ["plural", "rounded", "shown", "time"]

MOST_CHARACTERS = 120
"""Characters of a name that are shown: pages stay small whatever columns are called."""
DIGITS = 6
"""Significant digits of a number on the page: more are within its error, and would be bytes of every row."""


def shown(text: str, most: int = MOST_CHARACTERS) -> str:
    r"""Return a name as one line of visible characters; marks that turn text around are written out.

    Examples
    --------
    >>> shown("two\nlines"), shown("evil\u202etxt"), shown("long name", 5)
    ('two\\nlines', 'evil\\u202etxt', 'long…')
    """
    visible = printable(text[: most + 1])
    return visible if len(visible) <= most else visible[: most - 1] + "…"


def rounded(value: float | None, digits: int = DIGITS) -> float | int | None:
    """Return a number with few digits, None for what is none.

    Examples
    --------
    >>> rounded(0.123456789), rounded(2.0), rounded(float("nan"))
    (0.123457, 2, None)
    """
    if value is None or not math.isfinite(value):
        return None
    near = float(f"{value:.{digits}g}")
    return int(near) if near.is_integer() and abs(near) < 2**53 else near


def plural(count: int, noun: str) -> str:
    """Return how many there are of something.

    Examples
    --------
    >>> plural(1, "row"), plural(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def time(microseconds: float) -> str:
    """Return a time in microseconds since 1970 UTC for people.

    Examples
    --------
    >>> time(1_300_000_000_000_000)
    '2011-03-13 07:06:40'
    """
    return f"{datetime.fromtimestamp(microseconds / 1e6, UTC):%Y-%m-%d %H:%M:%S}"
