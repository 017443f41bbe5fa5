"""Options of the embedding table."""

from __future__ import annotations

from featflow.analyses.base_options import AnalysisOptions

__all__ = ["EmbeddingOptions"]


class EmbeddingOptions(AnalysisOptions):
    """The embedding table; columns of images are named by dataset.images."""
