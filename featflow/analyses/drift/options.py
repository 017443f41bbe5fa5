"""What a configuration may say of drift: what is compared with, and how much is too much."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from featflow.option_types import Options

__all__ = ["DriftOptions", "DriftThresholds"]

Threshold = Annotated[float | None, Field(ge=0)]


class DriftThresholds(Options):
    """Largest |value| of each metric that raises no alert; null raises none at all.

    Those of one column's values are what a normal column gives when its mean moves by 0.45 standard deviations, where
    its PSI is 0.2.
    """

    psi: Threshold = Field(default=0.2, description="Population stability index.")
    jensen_shannon: Threshold = Field(default=0.025, description="Jensen-Shannon divergence, nats.")
    kolmogorov_smirnov: Threshold = Field(default=0.18, description="Largest difference of distribution functions.")
    wasserstein: Threshold = Field(default=0.45, description="Wasserstein distance in the reference's deviations.")
    l_infinity: Threshold = Field(default=0.1, description="Largest change of a category's share.")
    missing_rate: Threshold = Field(default=0.05, description="Change of the share of rows without a value.")
    new_categories: Threshold = Field(
        default=0.1, description="Share of rows in categories not seen before, beyond what chance makes new."
    )
    vanished_categories: Threshold = Field(
        default=0.1, description="Share of rows that were in categories now gone, beyond what chance makes vanish."
    )
    information: Threshold = Field(
        default=0.01, description="Change of corrected_mi, nats; 0.01 is what a correlation of 0.14 says."
    )
    rank: Threshold = Field(default=None, description="Change of a feature's rank.")
    correlation_rms: Threshold = Field(default=0.05, description="Root mean square change of a method's values.")
    correlation_largest: Threshold = Field(default=0.2, description="Largest change of a method's values.")
    frechet: Threshold = Field(
        default=0.1, description="Squared Frechet distance of vectors over the reference's total variance."
    )


class DriftOptions(Options):
    """The drift table."""

    reference: str = Field(
        default="previous",
        min_length=1,
        description="What a run is compared with beside the run before it: previous for nothing else, or the id of a "
        "run at the same output, as 'featflow runs' lists them.",
    )
    thresholds: DriftThresholds = Field(
        default=DriftThresholds(), description="Largest |value| of each metric that raises no alert; null for none."
    )
    false_discovery_rate: float = Field(
        default=0.01, gt=0, lt=1, description="Largest q-value with which a value beyond its threshold is an alert."
    )
    persist: int = Field(
        default=1,
        ge=1,
        description="Runs in a row in which a value must be beyond its threshold before it is an alert.",
    )
