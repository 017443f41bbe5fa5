"""What of a dataset cannot be read."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Quarantined"]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """Something that could not be read."""

    uri: str
    """File."""
    reason: str
    """unreadable_file or unreadable_row_group."""
    detail: str
    """What the reader said."""
    row_group: int | None = None
    """Row group, None for the whole file."""
    column: str | None = None
    """Column at fault, where known."""
    rows: int | None = None
    """Rows lost, None where the footer cannot be read."""
    nbytes: int = 0
    """Size of a file without a readable footer."""
