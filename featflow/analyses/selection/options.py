"""Options of the selection table."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from featflow.analyses.base_options import AnalysisOptions
from featflow.columns.column import Kind, Role
from featflow.errors import SchemaError
from featflow.option_types import Names

if TYPE_CHECKING:
    from featflow.dataset.dataset import Dataset
    from featflow.measures.options import UncertaintyOptions

__all__ = ["Method", "SelectionOptions"]

Method = Literal["cmim", "jmi", "mrmr", "jmim", "disr", "three_mr"]
Alert = Literal["duplicate_of", "determines_target", "poor_forward", "missing_pattern", "constant_within", "follows"]


class SelectionOptions(AnalysisOptions):
    """The selection table: which features to use, each with what it adds to those chosen before it."""

    methods: list[Method] = Field(
        default=["cmim"],
        min_length=1,
        description="Criteria, each with a path of its own; cmim alone says where to stop, the others order features.",
    )
    most: int = Field(default=50, ge=1, le=1000, description="Features of a path at most.")
    shortlist: int = Field(
        default=200,
        ge=2,
        le=1000,
        description="Features looked at in pairs at most, the first of the ranking; the cost grows with its square.",
    )
    given: Names = Field(
        default=[],
        examples=[["age"]],
        description="Features that are in use already: the path says what others add to each of them.",
    )
    without: list[Alert] = Field(
        default=["duplicate_of", "determines_target", "poor_forward"],
        description="Alerts of the ranking that keep a feature out of the path; the table names those that are.",
    )
    crosses: int = Field(
        default=20,
        ge=0,
        le=100,
        description="Pairs of the interaction table with strategy memorise that may be chosen as one: those that say "
        "more together than either does alone, which no path of single features finds; 0 for none.",
    )
    stability: int = Field(
        default=16,
        ge=0,
        le=64,
        description="Times groups of rows are halved, and features chosen from either half; 0 for no probabilities.",
    )

    def check(self, dataset: Dataset, uncertainty: UncertaintyOptions) -> None:  # noqa: ARG002
        """Raise SchemaError if a given feature is no feature of the dataset."""
        features = [column.name for column in dataset.with_role(Role.FEATURE) if column.kind is not Kind.TEXT]
        for name in self.given:
            if name not in features:
                near = difflib.get_close_matches(name, features, n=1)
                hint = f"the nearest is '{near[0]}'" if near else "it may be excluded, a target, or text"
                raise SchemaError(f"analyses.selection.given: no feature '{name}'; {hint}")
