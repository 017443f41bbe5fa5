"""Limits of a page's content: a page of any run stays small enough to open, keep and send."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["MOST_BYTES", "SIZES", "PageLimits"]

MOST_BYTES = 8_000_000
"""Bytes of a page, whatever the number of columns: it can be sent by mail, and hold thousands of rows."""
PAIRS_SHARE = 0.4
"""Rows of a table of pairs as a share of those of other tables: a pair has two names, and a page three such tables."""


@dataclass(frozen=True)
class PageLimits:
    """The most that a page shows of each kind."""

    rows: int
    """Rows of a table."""
    heat: int = 120
    """Columns of a heat map."""
    targets: int = 6
    """Targets that have pictures."""
    examples: int = 5
    """Images at each end and in the middle of a feature."""

    @property
    def pairs(self) -> int:
        """Rows of a table that may have more rows than there are columns."""
        return int(self.rows * PAIRS_SHARE)


SIZES = (PageLimits(10_000), PageLimits(4_000), PageLimits(1_500, 80), PageLimits(400, 60, 4), PageLimits(80, 30, 2, 2))
"""Limits that are tried in turn until a page has at most `MOST_BYTES`."""
