"""What changed between two runs in what columns say of one another: scores, ranks, correlations.

A change is divided by sqrt(Var_t + Var_t-1), of jackknife errors where the tables have them; its p-value is of
Student's t with the degrees of freedom of Welch (1947, Biometrika 34) and Satterthwaite (1946, Biometrics 2).
Pearson's and Spearman's correlations are compared as Fisher's z (1921, Metron 1). Both runs are taken for independent:
where they share rows, p-values are too large.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from featflow.analyses.change import change_row
from featflow.measures.welch import reals, welch

__all__ = ["correlation_drift"]

FISHERS_SCALE = ("pearson", "spearman")
"""Methods whose values are compared as Fisher's z."""

KNOWN = 1e9
"""Degrees of freedom of an error that follows from n and is not estimated."""


def correlation_drift(
    reference: pl.DataFrame, current: pl.DataFrame, degrees: tuple[int, int], columns: tuple[int, int]
) -> list[dict[str, Any]]:
    """Return two rows a method: the root mean square change over the pairs that both tables hold, and the largest.

    Of mutual information it is the change of value - expected, so that rows alone change nothing. p-values are
    Bonferroni's over all pairs of columns, as tables may hold those alone that are strong, be it by chance: of the pair
    that changed most, and of the pair whose change is least like chance.

    Parameters
    ----------
    reference, current
        The correlation tables; pairs that have no value in one of them are left out.
    degrees
        Degrees of freedom of their jackknife errors.
    columns
        How many numbers and how many categories the current run has.
    """
    both = _pairs(current).join(_pairs(reference), on=["method", "feature_a", "feature_b"])
    found = []
    for (method,), pairs in both.sort("method", "feature_a", "feature_b").group_by("method", maintain_order=True):
        change = reals(pairs["value"]) - reals(pairs["value_right"])
        z, p_values = _tests(str(method), pairs, degrees)
        corrected = np.minimum(1.0, p_values * max(len(change), _looked_at(str(method), *columns)))
        at = int(np.abs(change).argmax())
        row = pairs.row(at, named=True)
        least = float(np.fmin.reduce(corrected))
        root_mean_square = float(np.sqrt((change**2).mean()))
        found.append({"method": method, "metric": "correlation_rms", "value": root_mean_square} | {"p_value": least})
        found.append(
            {"method": method, "feature": row["feature_a"], "feature_b": row["feature_b"], "z": float(z[at])}
            | {"p_value": float(corrected[at])}
            | change_row("correlation_largest", row["value_right"], row["value"])
        )
    return found


def _looked_at(method: str, numbers: int, categories: int) -> int:
    """Return how many pairs of columns a method has."""
    if method == "correlation_ratio":
        return numbers * categories
    of = {"pearson": numbers, "spearman": numbers, "cramers_v": categories}.get(method, numbers + categories)
    return of * (of - 1) // 2


def _pairs(table: pl.DataFrame) -> pl.DataFrame:
    """Return what is compared of a correlation table, the columns of a pair in one order."""
    first, second = pl.min_horizontal("feature_a", "feature_b"), pl.max_horizontal("feature_a", "feature_b")
    return table.select(
        "method",
        first.alias("feature_a"),
        second.alias("feature_b"),
        (pl.col("value") - pl.col("expected").fill_null(0.0)).alias("value"),
        "standard_error",
        (pl.col("error_method") == "fisher_z").alias("known"),
    ).drop_nulls("value")


@np.errstate(divide="ignore", invalid="ignore")  # a correlation of 1 is not tested
def _tests(method: str, pairs: pl.DataFrame, degrees: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    names = ("value_right", "standard_error_right", "known_right"), ("value", "standard_error", "known")
    values, errors = (np.stack([reals(pairs[side[place]]) for side in names]) for place in (0, 1))
    known = np.stack([pairs[side[2]].fill_null(value=False).to_numpy() for side in names])
    if method in FISHERS_SCALE:
        values, errors = np.arctanh(values), errors / ((1 - values) * (1 + values))
    return welch(values[1] - values[0], errors, np.where(known, KNOWN, np.array(degrees)[:, None]))
