"""The profile table: one row a column, from the states of pass 1, with alerts for columns to check before use."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.analyses.profile.tables import HISTOGRAM_BINS, PROFILE
from featflow.columns.column import Column, Role
from featflow.columns.sort_keys import key_values
from featflow.measures.codebook import ColumnStates
from featflow.measures.information import entropy
from featflow.storage.tables import QUANTILE_PROBABILITIES
from featflow.summaries.sketches.hll import distinct_estimate
from featflow.summaries.value_histograms import Histogram

__all__ = ["profile"]

TOP_VALUES = 10
"""Most frequent values of a column in the table: enough for a look, little beside the rest of a row."""
HIGH_MISSING = 0.5
"""Share of missing rows from which a column is flagged: from a half on, no value is as frequent."""
NEAR_CONSTANT = 0.99
"""Share of one value among the present ones from which a column is flagged: at most one row in a hundred differs."""
ID_LIKE = 0.5
"""Distinct values per present row from which an integer or a category is flagged: two rows a value or fewer."""
ID_LIKE_ROWS = 100
"""Rows below which no column is called id-like, as few rows of any number may all differ."""
NAME_PREFIX = 0.6
"""Share of the target's name that a feature's name must begin with to be flagged: "churn_date" beside "churned"."""


def profile(columns: tuple[Column, ...], states: ColumnStates, duplicates: dict[str, str]) -> pa.Table:
    """Return the profile table, one row a column in the order of ``columns``.

    Parameters
    ----------
    duplicates
        Earlier column that a column equals in every row.
    """
    rows: dict[str, dict[str, Any]] = {}
    targets = [column.name for column in columns if column.role is Role.TARGET]
    for index, column in enumerate(states.numbers):
        rows[column.name] = _number_row(states, index)
    for index, column in enumerate(states.categories):
        rows[column.name] = _category_row(states, index)
    for column in columns:
        row = rows[column.name]
        row |= {"column": column.name, "type": column.source_type, "kind": column.kind.value, "role": column.role.value}
        row["alerts"] = _alerts(column, row, targets, duplicates)
    names = dict.fromkeys(name for row in rows.values() for name in row if not name.startswith("_"))
    return PROFILE.build({name: [rows[column.name].get(name) for column in columns] for name in names})


def _number_row(states: ColumnStates, index: int) -> dict[str, Any]:
    moments, column = states.moments, states.numbers[index]
    histogram = states.histograms[index]
    n, weight = int(moments.n[index]), moments.weight[index]
    m2, m3, m4 = (array[index] for array in (moments.m2, moments.m3, moments.m4))
    varies = n > 1 and len(histogram.cells) > 1
    with np.errstate(all="ignore"):  # what overflows becomes null
        freedom = weight - moments.weight_square[index] / weight  # n - 1 without weights
        variance = m2 / weight
        shape = {"std": np.sqrt(m2 / freedom), "skewness": m3 / weight / variance**1.5} if varies else {"std": 0.0}
        shape |= {"kurtosis": m4 / weight / variance**2 - 3.0} if varies else {}
    row: dict[str, Any] = {
        "rows": states.rows,
        "missing": int(moments.missing[index]),
        "nonfinite": int(moments.nonfinite[index]),
        "mean": float(moments.origin[index] + moments.mean[index]) if weight > 0 else None,
        **(shape if n > 1 else {}),
        "min": float(moments.low[index]) if n else None,
        "max": float(moments.high[index]) if n else None,
        **_distinct(histogram.registers, len(histogram.cells)),
        "_present": n,
        "_top": int(histogram.counts.max()) if len(histogram.counts) and histogram.shift == 0 else 0,
    }
    if n:
        middles = _middles(histogram, row["min"], row["max"])
        row["quantiles"] = _quantiles(middles, histogram.counts)
        row["histogram"] = _bars(middles, histogram.counts, row["quantiles"][0], row["quantiles"][-1])
        row["quantile_rank_error"] = 0.0 if histogram.shift == 0 else float(histogram.counts.max() / n)
    if histogram.shift == 0:
        row["top_values"] = _top_values(histogram, column.type)
        row["entropy"] = entropy(np.append(histogram.counts, row["missing"] + row["nonfinite"]))
    return row


def _middles(histogram: Histogram, low: float, high: float) -> np.ndarray:
    """Return the middle of every cell, shape (cells,), in the column's unit."""
    last = histogram.cells + np.uint64((1 << histogram.shift) - 1)
    first, final = key_values(histogram.cells, histogram.kind), key_values(last, histogram.kind)
    return np.asarray(np.fmax(first, low) / 2 + np.fmin(final, high) / 2)  # a cell may pass infinity


def _quantiles(middles: np.ndarray, counts: np.ndarray) -> list[float]:
    """Return the middle of the first cell whose cumulative share reaches each probability."""
    cumulative = np.cumsum(counts)
    ranks = np.ceil(np.array(QUANTILE_PROBABILITIES) * cumulative[-1] - 1e-9)
    return [float(x) for x in middles[np.searchsorted(cumulative, np.maximum(ranks, 1))]]


def _bars(middles: np.ndarray, counts: np.ndarray, low: float, high: float) -> list[int] | None:
    """Return the values in each of `HISTOGRAM_BINS` equal bins between two quantiles; None where these are equal."""
    width = high / 2 - low / 2  # which does not overflow
    if not width > 0:
        return None
    inside = (low <= middles) & (middles <= high)
    bins = np.minimum((middles[inside] / 2 - low / 2) / width * HISTOGRAM_BINS, HISTOGRAM_BINS - 1).astype(np.int64)
    return [int(count) for count in np.bincount(bins, counts[inside], HISTOGRAM_BINS)]


def _top_values(histogram: Histogram, kind: str) -> list[dict[str, Any]]:
    order = np.argsort(-histogram.counts, kind="stable")[:TOP_VALUES]
    values = key_values(histogram.cells[order], kind)
    if kind in {"int64", "uint64"}:  # exact beyond 2^53
        offset = 0 if kind == "uint64" else 1 << 63
        texts = [str(int(cell) - offset) for cell in histogram.cells[order]]
    else:
        texts = [repr(float(value)) for value in values]
    return [{"value": text, "count": int(histogram.counts[i])} for text, i in zip(texts, order, strict=True)]


def _category_row(states: ColumnStates, index: int) -> dict[str, Any]:
    counted = states.levels[index]
    present = int(counted.counts.sum())
    row: dict[str, Any] = {
        "rows": states.rows,
        "missing": counted.missing,
        "nonfinite": 0,
        "_present": present,
    }
    if counted.levels is not None:
        order = np.argsort(-counted.counts, kind="stable")[:TOP_VALUES]
        top = [(counted.levels[int(i)].as_py(), int(counted.counts[i])) for i in order]
        row["entropy"] = entropy(np.append(counted.counts, counted.missing))
        row |= _distinct(counted.registers, len(counted.levels))
    else:
        top = counted.frequent.surely()[:TOP_VALUES]
        row |= _distinct(counted.registers, 0)
    row["top_values"] = [{"value": value, "count": count} for value, count in top]
    row["_top"] = top[0][1] if top else 0
    return row


def _distinct(registers: np.ndarray, exact: int) -> dict[str, int]:
    """Return the number of distinct values and bounds: exact without registers, else estimated from them."""
    estimate, low, high = distinct_estimate(registers) if len(registers) else (exact,) * 3
    return {"distinct": round(estimate), "distinct_low": round(low), "distinct_high": round(high)}


def _alerts(column: Column, row: dict[str, Any], targets: list[str], duplicates: dict[str, str]) -> list[str]:
    rows, present, distinct = row["rows"], row["_present"], row["distinct"]
    discrete = column.type in {"int64", "uint64", "string"} and column.kind.value != "time"
    tests = {
        "all_missing": row["missing"] == rows,
        "no_finite_value": row["missing"] < rows and not present,
        "high_missing": HIGH_MISSING <= row["missing"] / rows < 1,
        "constant": present > 0 and distinct == 1,
        "near_constant": distinct > 1 and row["_top"] >= NEAR_CONSTANT * present,
        "id_like": discrete and present >= ID_LIKE_ROWS and distinct >= ID_LIKE * present,
        "nonfinite": row["nonfinite"] > 0,
        "target_name": column.role is Role.FEATURE and any(_resembles(column.name, target) for target in targets),
    }
    alerts = [name for name, holds in tests.items() if holds]
    if column.name in duplicates:
        alerts.append(f"duplicate_of:{duplicates[column.name]}")
    return alerts


def _resembles(feature: str, target: str) -> bool:
    """Whether a feature's name contains a target's name, or shares its beginning."""
    ours, theirs = (re.sub(r"[^a-z0-9]", "", name.lower()) for name in (feature, target))
    shared = next(
        (i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs))
    )
    return (len(theirs) >= 3 and theirs in ours) or shared >= max(5, NAME_PREFIX * len(theirs))
