"""How much a page holds. Whatever a run holds, its page can be opened, kept and sent."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MOST_BYTES", "SIZES", "Limits"]

MOST_BYTES = 8_000_000
"""Bytes of a page, whatever the number of columns."""


@dataclass(frozen=True)
class Limits:
    """Most of what is shown of each kind."""

    rows: int
    """Rows of a table."""
    heat: int = 120
    """Columns of a heat map."""
    targets: int = 6
    """Targets that have pictures."""
    examples: int = 5
    """Images at each end and in the middle of a feature."""


SIZES = (Limits(10_000), Limits(4_000), Limits(1_500, 80), Limits(400, 60, 4), Limits(80, 30, 2, 2))
"""Tried in turn, until a page has at most `MOST_BYTES`."""
