"""Options that all analyses share: error bars and significance."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from featflow.option_types import Options

__all__ = ["UncertaintyOptions"]


class UncertaintyOptions(Options):
    """Error bars and significance, in every table."""

    groups: int = Field(default=32, ge=8, le=128, description="Groups of rows that the jackknife deletes in turn.")
    group_by: Literal["event_time", "entity", "shard"] | None = Field(
        default=None,
        description="What rows of one group have in common; by default the clusters, event time or entity configured, "
        "else the shard.",
    )
    confidence: float = Field(default=0.95, gt=0.5, lt=1, description="Level of the confidence intervals.")
    false_discovery_rate: float = Field(
        default=0.05, gt=0, lt=1, description="Largest q-value that counts as significant."
    )
    procedure: Literal["benjamini_hochberg", "benjamini_yekutieli"] = Field(
        default="benjamini_hochberg", description="How q-values are made; the second holds under any dependence."
    )
