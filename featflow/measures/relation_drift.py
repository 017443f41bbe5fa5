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
from scipy import special

__all__ = ["correlation_drift", "ranking_drift"]

FISHERS_SCALE = ("pearson", "spearman")
"""Methods whose values are compared as Fisher's z."""
KNOWN = 1e9
"""Degrees of freedom of an error that follows from n and is not estimated."""


def ranking_drift(reference: pl.DataFrame, current: pl.DataFrame, degrees: tuple[int, int]) -> list[dict[str, Any]]:
    """Return two rows for each target and feature that both rankings hold: of its information, and of its rank.

    A rank has the p-value of the information that decides it. Information is the jackknife's estimate where both runs
    have one: what their own excess of bins leaves in scores differs where rows do, and is no change.

    Parameters
    ----------
    reference, current
        The ranking tables.
    degrees
        Degrees of freedom of their jackknife errors.
    """
    wanted = ["target", "feature", "rank", "corrected_mi", "standard_error", "ci_low", "ci_high"]
    both = current.select(wanted).join(reference.select(wanted), on=["target", "feature"]).sort("target", "rank")
    both = both.with_columns(*_estimates(both))
    change = _reals(both["estimate"]) - _reals(both["estimate_right"])
    errors = np.stack([_reals(both[name]) for name in ("standard_error_right", "standard_error")])
    z, p_values = _welch(change, errors, np.broadcast_to(np.array(degrees, np.float64)[:, None], errors.shape))
    found = []
    for row, score, p_value in zip(both.iter_rows(named=True), z.tolist(), p_values.tolist(), strict=True):
        of = {"feature": row["feature"], "target": row["target"], "z": score, "p_value": p_value}
        for metric, name in (("information", "estimate"), ("rank", "rank")):
            found.append(of | _change(metric, float(row[f"{name}_right"]), float(row[name])))
    return found


def _estimates(both: pl.DataFrame) -> list[pl.Expr]:
    """Return the middles of the intervals of both runs, or both scores where one of them has no interval."""
    known = both["ci_low"].is_not_null() & both["ci_low_right"].is_not_null()
    middles = {side: (pl.col(f"ci_low{side}") + pl.col(f"ci_high{side}")) / 2 for side in ("", "_right")}
    scores = {side: pl.col(f"corrected_mi{side}") for side in middles}
    return [pl.when(known).then(middles[side]).otherwise(scores[side]).alias(f"estimate{side}") for side in middles]


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
        change = _reals(pairs["value"]) - _reals(pairs["value_right"])
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
            | _change("correlation_largest", row["value_right"], row["value"])
        )
    return found


def _looked_at(method: str, numbers: int, categories: int) -> int:
    """Return how many pairs of columns a method has."""
    if method == "correlation_ratio":
        return numbers * categories
    of = {"pearson": numbers, "spearman": numbers, "cramers_v": categories}.get(method, numbers + categories)
    return of * (of - 1) // 2


def _change(metric: str, before: float, now: float) -> dict[str, Any]:
    return {"metric": metric, "reference_value": before, "current_value": now, "value": now - before}


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
    values, errors = (np.stack([_reals(pairs[side[place]]) for side in names]) for place in (0, 1))
    known = np.stack([pairs[side[2]].fill_null(value=False).to_numpy() for side in names])
    if method in FISHERS_SCALE:
        values, errors = np.arctanh(values), errors / ((1 - values) * (1 + values))
    return _welch(values[1] - values[0], errors, np.where(known, KNOWN, np.array(degrees)[:, None]))


@np.errstate(divide="ignore", invalid="ignore")
def _welch(change: np.ndarray, errors: np.ndarray, degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return z and the two-sided p-value of changes, shape (changes,); NaN where an error is not known or both are 0.

    Parameters
    ----------
    errors, degrees
        Standard errors before and after, and their degrees of freedom, shape (2, changes).
    """
    variance = (errors**2).sum(axis=0)
    z = change / np.sqrt(variance)
    freedom = variance**2 / (errors**4 / degrees).sum(axis=0)
    return z, np.asarray(2 * special.stdtr(freedom, -np.abs(z)))


def _reals(series: pl.Series) -> np.ndarray:
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
