"""Options of the interaction table."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from featflow.analyses.base_options import AnalysisOptions
from featflow.measures.options import EXHAUSTIVE_UP_TO

__all__ = ["InteractionOptions"]


class InteractionOptions(AnalysisOptions):
    """The interaction table."""

    of_pairs = True

    keep: int = Field(default=1000, ge=1, description="Pairs kept for each target, by synergy.")
    search: Literal["all", "sample"] | None = Field(
        default=None,
        description="all: every pair on all rows; sample: every pair on some rows, the best ones on more, until those "
        f"that are kept have all. Null samples beyond {EXHAUSTIVE_UP_TO:.0e} pairs times rows.",
    )
