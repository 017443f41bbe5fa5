"""Options that all analyses share: error bars and significance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from featflow.columns.column import Role
from featflow.errors import SchemaError
from featflow.option_types import Options

if TYPE_CHECKING:
    from featflow.dataset.dataset import Dataset

__all__ = ["EXHAUSTIVE_UP_TO", "UncertaintyOptions"]

EXHAUSTIVE_UP_TO = 1e12
"""Pairs of features times rows up to which every pair is looked at on all rows by default: minutes of a few cores."""


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

    def check(self, dataset: Dataset, entity: list[str]) -> None:
        """Raise SchemaError if the dataset lacks the columns that decide groups of rows.

        Parameters
        ----------
        entity
            Join keys that the configuration names.
        """
        if self.group_by == "entity" and entity and not dataset.entity:
            raise SchemaError(
                "analyses.uncertainty.group_by is entity and no column of dataset.entity is of a type that is analysed"
            )
        if (self.group_by == "event_time" and not dataset.with_role(Role.EVENT_TIME)) or (
            self.group_by == "entity" and not dataset.entity
        ):
            raise SchemaError(
                f"analyses.uncertainty.group_by is {self.group_by} and dataset.{self.group_by} is not set; set it"
            )
