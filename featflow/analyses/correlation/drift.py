"""Changes of correlations between two runs.

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
"""Degrees of freedom of an error that follows from n and is not estimated: Student's t is then normal."""


def correlation_drift(
    reference: pl.DataFrame, current: pl.DataFrame, degrees: tuple[int, int], columns: tuple[int, int]
) -> list[dict[str, Any]]:
    """Return two rows a method: the root mean square change over the pairs that both tables hold, and the largest.

    Of mutual information it is the change of value - expected, so that rows alone change nothing. p-values are
    Bonferroni's over all pairs of columns, as tables may hold strong pairs only, some strong by chance. The row of the
    largest change has that pair's p-value, the other row the smallest of all pairs.

    Parameters
    ----------
    reference, current
        The correlation tables; pairs that have no value in one of them are left out.
    degrees
        Degrees of freedom of their jackknife errors.
    columns
        How many numbers and how many categories the current run has.
    """
    both = _compared_values(current).join(_compared_values(reference), on=["method", "feature_a", "feature_b"])
    rows = []
    for (method,), pairs in both.sort("method", "feature_a", "feature_b").group_by("method", maintain_order=True):
        change = reals(pairs["value"]) - reals(pairs["value_right"])
        z, p_values = _tests(str(method), pairs, degrees)
        corrected = np.minimum(1.0, p_values * max(len(change), _pair_count(str(method), *columns)))
        largest = int(np.abs(change).argmax())
        row = pairs.row(largest, named=True)
        least = float(np.fmin.reduce(corrected))
        root_mean_square = float(np.sqrt((change**2).mean()))
        rows.append({"method": method, "metric": "correlation_rms", "value": root_mean_square} | {"p_value": least})
        rows.append(
            {"method": method, "feature": row["feature_a"], "feature_b": row["feature_b"], "z": float(z[largest])}
            | {"p_value": float(corrected[largest])}
            | change_row("correlation_largest", row["value_right"], row["value"])
        )
    return rows


def _pair_count(method: str, numbers: int, categories: int) -> int:
    """Return the number of pairs of columns that a method compares."""
    if method == "correlation_ratio":
        return numbers * categories
    columns = {"pearson": numbers, "spearman": numbers, "cramers_v": categories}.get(method, numbers + categories)
    return columns * (columns - 1) // 2


def _compared_values(table: pl.DataFrame) -> pl.DataFrame:
    """Return the values of a correlation table to compare, the columns of each pair in alphabetical order."""
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
