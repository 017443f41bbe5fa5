"""Options of the ranking table."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from featflow.analyses.base_options import AnalysisOptions, Metric
from featflow.columns.column import Kind, Role
from featflow.errors import SchemaError
from featflow.option_types import Names

if TYPE_CHECKING:
    from featflow.dataset.dataset import Dataset
    from featflow.measures.options import UncertaintyOptions

__all__ = ["RankingOptions"]


class RankingOptions(AnalysisOptions):
    """The ranking table."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "information": Metric(0.01, "Change of corrected_mi, nats; 0.01 is what a correlation of 0.14 says."),
        "rank": Metric(None, "Change of a feature's rank."),
    }

    strata: Names = Field(
        default=[],
        examples=[["country"]],
        description="Columns within whose joint levels the null permutes: scores become information beyond them.",
    )
    clusters: str | None = Field(
        default=None,
        examples=["customer_id"],
        description="The same as uncertainty.units: column whose equal values mark rows that depend on one another.",
    )
    windows: int = Field(
        default=8,
        ge=0,
        le=16,
        description="With dataset.event_time: windows of about as many rows, in each of which features are ranked, and "
        "forecast from the windows before. Below 2 there are none.",
    )

    def check(self, dataset: Dataset, uncertainty: UncertaintyOptions) -> None:
        """Raise SchemaError if strata or clusters are no columns, or cannot serve."""
        clusters = [self.clusters] if self.clusters else []
        names = [column.name for column in (*dataset.named, *dataset.entity)]
        for key, wanted in (("strata", self.strata), ("clusters", clusters)):
            for name in wanted:
                if name not in names:
                    near = difflib.get_close_matches(name, names, n=1)
                    hint = f"the nearest is '{near[0]}'" if near else "it may be excluded, or no column of the dataset"
                    raise SchemaError(f"analyses.ranking.{key}: no column '{name}'; {hint}")
        for key in ("group_by", "units"):
            if (value := getattr(uncertainty, key)) and self.clusters and value != self.clusters:
                raise SchemaError(
                    f"analyses.uncertainty.{key} is {value} and analyses.ranking.clusters groups rows, too; "
                    "leave one out"
                )
        by_name = {column.name: column for column in dataset.named}
        for name in self.strata:
            if name not in by_name or by_name[name].kind is Kind.TEXT or by_name[name].role is Role.TARGET:
                what = (
                    "a join key" if name not in by_name else "text" if by_name[name].kind is Kind.TEXT else "a target"
                )
                raise SchemaError(f"analyses.ranking.strata: '{name}' is {what}, which has no levels to stay within")
        if self.clusters in {column.name for column in dataset.with_role(Role.TARGET)}:
            raise SchemaError(
                f"analyses.ranking.clusters: '{self.clusters}' is a target; clusters are of rows alike in other ways"
            )
