"""Options that all analyses share: error bars and significance."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from featflow.columns.column import Role
from featflow.errors import SchemaError
from featflow.option_types import Options

if TYPE_CHECKING:
    from featflow.dataset.dataset import Dataset

__all__ = ["EXHAUSTIVE_UP_TO", "UncertaintyOptions"]

UNITS = ("event_time", "entity", "rows")
"""Units that are no column's name."""
EXHAUSTIVE_UP_TO = 1e12
"""Pairs of features times rows up to which every pair is looked at on all rows by default: minutes of a few cores."""


class UncertaintyOptions(Options):
    """Error bars and significance, in every table."""

    groups: int = Field(default=32, ge=8, le=128, description="Groups of rows that the jackknife deletes in turn.")
    units: str | None = Field(
        default=None,
        examples=["event_time", "entity", "rows", "customer_id"],
        description="What rows share, so that evidence counts it and not rows: event_time (its days, or finer where "
        "they are few), entity, a column, or rows, which are then independent; by default event time, else entity.",
    )
    group_by: Literal["event_time", "entity", "shard"] | None = Field(
        default=None,
        description="What rows of one group have in common; by default their unit, else the shard.",
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
        names = [column.name for column in (*dataset.named, *dataset.entity)]
        if self.units and self.units not in {*names, *UNITS}:
            near = difflib.get_close_matches(self.units, [*names, *UNITS], n=1)
            hint = f"the nearest is '{near[0]}'" if near else "it may be excluded, or no column of the dataset"
            raise SchemaError(f"analyses.uncertainty.units: no column '{self.units}'; {hint}")
        if self.units and self.group_by and self.units != self.group_by:
            raise SchemaError(
                f"analyses.uncertainty.units is {self.units} and group_by is {self.group_by}, which groups rows, too; "
                "leave group_by out"
            )
        if self.units in {column.name for column in dataset.with_role(Role.TARGET)}:
            raise SchemaError(f"analyses.uncertainty.units: '{self.units}' is a target; units share something else")
        for key in ("group_by", "units"):
            self._check_columns(key, getattr(self, key), dataset, entity)

    @staticmethod
    def _check_columns(key: str, value: str | None, dataset: Dataset, entity: list[str]) -> None:
        """Raise SchemaError if event time or entity is to decide and the dataset has none."""
        if value == "entity" and entity and not dataset.entity:
            raise SchemaError(
                f"analyses.uncertainty.{key} is entity and no column of dataset.entity is of a type that is analysed"
            )
        if (value == "event_time" and not dataset.with_role(Role.EVENT_TIME)) or (
            value == "entity" and not dataset.entity
        ):
            raise SchemaError(f"analyses.uncertainty.{key} is {value} and dataset.{value} is not set; set it")
