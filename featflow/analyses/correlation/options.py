"""Options of the correlation table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from featflow.analyses.base_options import AnalysisOptions, Metric
from featflow.option_types import Options

__all__ = ["ALL_PAIRS_UP_TO", "TOP_OF_COLUMN", "CorrelationOptions", "Keep", "pairs_to_write"]

ALL_PAIRS_UP_TO = 1000
"""Columns up to which every pair is written by default: half a million pairs a method."""

TOP_OF_COLUMN = 100
"""Pairs of every column that are written by default beyond."""

CorrelationMethod = Literal["pearson", "spearman", "cramers_v", "correlation_ratio", "mutual_information"]


class Keep(Options):
    """Which pairs are written: all of them if neither is set."""

    top: int | None = Field(
        default=None, ge=1, examples=[100], description="Strongest pairs of every column, of each method."
    )
    above: float | None = Field(
        default=None, ge=0, examples=[0.3], description="Least |value|, for mutual_information value - expected."
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.top is not None and self.above is not None:
            raise ValueError("has both top and above; leave one out")
        return self


def _keep(value: object) -> object:
    if value is None or isinstance(value, dict | Keep):
        return value
    if value == "all":
        return Keep()
    raise ValueError("write all, {top: 100} or {above: 0.3}")


class CorrelationOptions(AnalysisOptions):
    """The correlation table."""

    of_pairs = True
    metrics: ClassVar[Mapping[str, Metric]] = {
        "correlation_rms": Metric(0.05, "Root mean square change of a method's values."),
        "correlation_largest": Metric(0.2, "Largest change of a method's values."),
    }

    methods: list[CorrelationMethod] = Field(
        default=["pearson", "spearman", "cramers_v", "correlation_ratio", "mutual_information"],
        description="Methods to compute.",
    )
    keep: Annotated[Keep | None, BeforeValidator(_keep, json_schema_input_type=Literal["all"] | Keep | None)] = Field(
        default=None,
        examples=[{"top": 100}],
        description="Pairs that are written: all, {top: 100} of every column, or {above: 0.3}. Null means all up to "
        f"{ALL_PAIRS_UP_TO:,} columns and {{top: {TOP_OF_COLUMN}}} beyond. q-values are of all pairs in any case.",
    )
    error_bars: int = Field(
        default=1000, ge=1, description="Strongest pairs of each method whose error bars come from the jackknife."
    )
    dense: bool = Field(
        default=False, description="Also write the values of every method as matrices, blocks of Arrow tensors."
    )


def pairs_to_write(keep: Keep | None, columns: int) -> Keep:
    """Return what `analyses.correlation.keep` means for so many columns.

    Examples
    --------
    >>> pairs_to_write(None, 80).top, pairs_to_write(None, 10_000).top
    (None, 100)
    """
    if keep is not None:
        return keep
    return Keep() if columns <= ALL_PAIRS_UP_TO else Keep(top=TOP_OF_COLUMN)
