"""What a configuration may say of drift: what is compared with, and how much is too much."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from featflow.analyses.base_options import AnalysisOptions

__all__ = ["DriftOptions"]


class DriftOptions(AnalysisOptions):
    """The drift table."""

    of_runs = True

    reference: str = Field(
        default="previous",
        min_length=1,
        description="What a run is compared with beside the run before it: previous for nothing else, or the id of a "
        "run at the same output, as 'featflow runs' lists them.",
    )
    thresholds: Any = Field(default=None, description="A model of all metrics, which analyses/options.py makes.")
    false_discovery_rate: float = Field(
        default=0.01, gt=0, lt=1, description="Largest q-value with which a value beyond its threshold is an alert."
    )
    persist: int = Field(
        default=1,
        ge=1,
        description="Runs in a row in which a value must be beyond its threshold before it is an alert.",
    )
