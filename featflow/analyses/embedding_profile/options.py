"""Options of the embedding_profile table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from featflow.analyses.base_options import AnalysisOptions, Metric

__all__ = ["EmbeddingProfileOptions"]


class EmbeddingProfileOptions(AnalysisOptions):
    """The embedding_profile table; columns of images are named by dataset.images."""

    metrics: ClassVar[Mapping[str, Metric]] = {
        "frechet": Metric(0.1, "Squared Frechet distance of vectors over the reference's total variance."),
    }
