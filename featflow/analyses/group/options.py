"""Options of the group table."""

from __future__ import annotations

from pydantic import Field

from featflow.analyses.base_options import AnalysisOptions
from featflow.measures.options import EXHAUSTIVE_UP_TO

__all__ = ["GroupOptions"]


class GroupOptions(AnalysisOptions):
    """The group table: features that repeat one another, and which of them to keep."""

    of_pairs = True

    similarity: float = Field(
        default=0.8,
        gt=0,
        le=1,
        description="Mean similarity from which features are one group, on the scale of a correlation; 1 groups those "
        "alone that say exactly the same.",
    )
    sample: int = Field(
        default=32_768,
        ge=1000,
        description=f"Rows from which similarities are taken beyond {EXHAUSTIVE_UP_TO:.0e} pairs times rows; below, "
        "all rows are.",
    )
