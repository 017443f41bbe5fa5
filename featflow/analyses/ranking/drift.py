"""Changes of rankings between two runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from featflow.analyses.change import change_row
from featflow.measures.welch import reals, welch

__all__ = ["ranking_drift"]


def ranking_drift(reference: pl.DataFrame, current: pl.DataFrame, degrees: tuple[int, int]) -> list[dict[str, Any]]:
    """Return rows for each target and feature that both rankings hold: of its information, and of its rank.

    A rank has the p-value of its feature's information. Ranks are compared where both rankings have one order: outputs
    written before there was assured_mi are ranked by corrected_mi, and the other order alone would move ranks.

    Parameters
    ----------
    reference, current
        The ranking tables.
    degrees
        Degrees of freedom of their jackknife errors.
    """
    columns = ["target", "feature", "rank", "corrected_mi", "standard_error"]
    both = current.select(columns).join(reference.select(columns), on=["target", "feature"]).sort("target", "rank")
    change = reals(both["corrected_mi"]) - reals(both["corrected_mi_right"])
    errors = np.stack([reals(both[name]) for name in ("standard_error_right", "standard_error")])
    z, p_values = welch(change, errors, np.broadcast_to(np.array(degrees, np.float64)[:, None], errors.shape))
    metrics = [("information", "corrected_mi"), ("rank", "rank")]
    if ("assured_mi" in reference.columns) != ("assured_mi" in current.columns):
        del metrics[1]
    rows = []
    for row, score, p_value in zip(both.iter_rows(named=True), z.tolist(), p_values.tolist(), strict=True):
        shared = {"feature": row["feature"], "target": row["target"], "z": score, "p_value": p_value}
        for metric, name in metrics:
            rows.append(shared | change_row(metric, float(row[f"{name}_right"]), float(row[name])))
    return rows
