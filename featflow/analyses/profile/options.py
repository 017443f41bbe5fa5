"""Options of the profile table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from featflow.analyses.base_options import AnalysisOptions, Metric

__all__ = ["ProfileOptions"]


class ProfileOptions(AnalysisOptions):
    """The profile table."""

    sketches: bool = Field(
        default=False,
        description="Also write Apache DataSketches of every column, which other engines read and merge.",
    )

    # Thresholds are what a normal column gives when its mean moves by 0.45 standard deviations, where its PSI is 0.2.
    metrics: ClassVar[Mapping[str, Metric]] = {
        "psi": Metric(0.2, "Population stability index."),
        "jensen_shannon": Metric(0.025, "Jensen-Shannon divergence, nats."),
        "kolmogorov_smirnov": Metric(0.18, "Largest difference of distribution functions."),
        "wasserstein": Metric(0.45, "Wasserstein distance in the reference's deviations."),
        "l_infinity": Metric(0.1, "Largest change of a category's share."),
        "missing_rate": Metric(0.05, "Change of the share of rows without a value."),
        "new_categories": Metric(0.1, "Share of rows in categories not seen before, beyond what chance makes new."),
        "vanished_categories": Metric(
            0.1, "Share of rows that were in categories now gone, beyond what chance makes vanish."
        ),
    }
