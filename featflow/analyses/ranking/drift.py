"""Changes of rankings between two runs."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from featflow.analyses.change import change_row
from featflow.measures.welch import reals, welch

__all__ = ["ranking_drift"]


def ranking_drift(reference: pl.DataFrame, current: pl.DataFrame, degrees: tuple[int, int]) -> list[dict[str, Any]]:
    """Return two rows for each target and feature that both rankings hold: of its information, and of its rank.

    A rank has the p-value of the information that decides it. Information is the jackknife's estimate where both runs
    have one: the bias that is left in scores depends on the number of rows, so scores differ without a change.

    Parameters
    ----------
    reference, current
        The ranking tables.
    degrees
        Degrees of freedom of their jackknife errors.
    """
    columns = ["target", "feature", "rank", "corrected_mi", "standard_error", "ci_low", "ci_high"]
    both = current.select(columns).join(reference.select(columns), on=["target", "feature"]).sort("target", "rank")
    both = both.with_columns(*_estimates(both))
    change = reals(both["estimate"]) - reals(both["estimate_right"])
    errors = np.stack([reals(both[name]) for name in ("standard_error_right", "standard_error")])
    z, p_values = welch(change, errors, np.broadcast_to(np.array(degrees, np.float64)[:, None], errors.shape))
    rows = []
    for row, score, p_value in zip(both.iter_rows(named=True), z.tolist(), p_values.tolist(), strict=True):
        shared = {"feature": row["feature"], "target": row["target"], "z": score, "p_value": p_value}
        for metric, name in (("information", "estimate"), ("rank", "rank")):
            rows.append(shared | change_row(metric, float(row[f"{name}_right"]), float(row[name])))
    return rows


def _estimates(both: pl.DataFrame) -> list[pl.Expr]:
    """Return the middles of both runs' intervals, or both runs' scores where either has no interval."""
    known = both["ci_low"].is_not_null() & both["ci_low_right"].is_not_null()
    middles = {side: (pl.col(f"ci_low{side}") + pl.col(f"ci_high{side}")) / 2 for side in ("", "_right")}
    scores = {side: pl.col(f"corrected_mi{side}") for side in middles}
    return [pl.when(known).then(middles[side]).otherwise(scores[side]).alias(f"estimate{side}") for side in middles]
