"""Which findings a page calls significant, in one way for all sections."""

from __future__ import annotations

import polars as pl

from featflow.measures.options import UncertaintyOptions
from featflow.storage.run import Run

__all__ = ["false_discovery_rate", "significant_pairs"]


def false_discovery_rate(run: Run) -> float:
    """Return the rate up to which the run calls a finding significant."""
    default = {"false_discovery_rate": UncertaintyOptions().false_discovery_rate}
    return float(run.manifest["config"]["analyses"].get("uncertainty", default)["false_discovery_rate"])


def significant_pairs(interaction: pl.DataFrame, rate: float) -> pl.DataFrame:
    """Return the pairs that are significant and whose synergy and its interval are above 0, most synergy first."""
    positive = (pl.col("synergy") > 0) & (pl.col("ci_low").fill_null(0) > 0)
    significant = interaction.filter((pl.col("q_value") <= rate) & positive)
    return significant.sort("synergy", descending=True, maintain_order=True)
