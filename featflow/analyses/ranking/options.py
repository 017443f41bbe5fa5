"""Options of the ranking table."""

from __future__ import annotations

from pydantic import Field

from featflow.option_types import Names, Options

__all__ = ["RankingOptions"]


class RankingOptions(Options):
    """The ranking table."""

    strata: Names = Field(
        default=[],
        description="Columns within whose joint levels the null permutes: scores become information beyond them.",
    )
    clusters: str | None = Field(
        default=None,
        description="Column whose equal values mark rows that depend on one another: nulls widen by the design effect.",
    )
    windows: int = Field(
        default=8,
        ge=0,
        le=16,
        description="With dataset.event_time: windows of about as many rows, in each of which features are ranked, and "
        "forecast from the windows before. Below 2 there are none.",
    )
