"""Change of a column's distribution between two runs."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.analyses.change import ColumnState, Row, change_row
from featflow.columns.codebook import MISSING, CategoryCoding, Coding, NumberCoding
from featflow.columns.column import Kind, Role
from featflow.columns.hashing import IDENTITY_BITS, buckets_of, hash64
from featflow.measures import divergence
from featflow.measures.divergence import Aligned
from featflow.summaries.levels import BUCKETS, LevelCounts
from featflow.summaries.value_histograms import Histogram

__all__ = ["column_drift"]


def column_drift(reference: ColumnState, current: ColumnState, coding: Coding | None) -> list[Row]:
    """Return the drift rows of a column, one a metric.

    Parameters
    ----------
    coding
        Frozen bins; None where the column has none.
    """
    rows = [_missing_rate_row(reference, current)]
    column = current.column
    if coding is not None and column.kind is not Kind.TIME and column.role is not Role.EVENT_TIME:
        rows += (
            _number_rows(reference, current, coding)
            if column.is_numeric
            else _category_rows(reference, current, coding)
        )
    return [{"feature": column.name} | row for row in rows]


def _missing_rate_row(reference: ColumnState, current: ColumnState) -> Row:
    before, now = (np.array([state.missing, state.rows - state.missing]) for state in (reference, current))
    change = change_row("missing_rate", reference.missing / reference.rows, current.missing / current.rows)
    return change | {"error_bound": 0.0, "p_value": divergence.same_counts(before, now)}


def _binned_rows(before: np.ndarray, now: np.ndarray) -> list[Row]:
    p_value = divergence.same_counts(before, now)
    psi, divergent = divergence.population_stability(before, now), divergence.jensen_shannon(before, now)
    return [
        {"metric": "psi", "value": psi, "p_value": p_value},
        {"metric": "jensen_shannon", "value": divergent, "p_value": p_value},
    ]


def _number_rows(reference: ColumnState, current: ColumnState, coding: Coding) -> list[Row]:
    assert isinstance(coding, NumberCoding)  # noqa: S101  the column is a number
    assert isinstance(reference.counts, Histogram)  # noqa: S101
    assert isinstance(current.counts, Histogram)  # noqa: S101
    both = divergence.aligned(reference.counts, current.counts)
    bins = coding.groups[1 + np.searchsorted(coding.edges, both.cells, side="right")]
    before, now = (
        _bin_counts(state, bins, counts, coding)
        for state, counts in ((reference, both.reference), (current, both.current))
    )
    value, error, p_value = divergence.kolmogorov_smirnov(both)
    return [
        *_binned_rows(before, now),
        {"metric": "kolmogorov_smirnov", "value": value, "error_bound": error, "p_value": p_value},
        _wasserstein_row(both, reference, current) | {"p_value": p_value},
    ]


def _bin_counts(state: ColumnState, bins: np.ndarray, counts: np.ndarray, coding: Coding) -> np.ndarray:
    """Return the rows of every pair code, shape (codes,), int64."""
    binned = np.bincount(bins, counts, int(coding.groups.max()) + 1).astype(np.int64)
    binned[MISSING] = state.missing
    return binned


def _wasserstein_row(both: Aligned, reference: ColumnState, current: ColumnState) -> Row:
    low, high = min(reference.low, current.low), max(reference.high, current.high)
    distance, error = divergence.wasserstein(both, current.column.type, low, high)
    with np.errstate(
        divide="ignore", invalid="ignore", over="ignore"
    ):  # null where nothing deviates, unless the distance is 0
        scaled, bound = np.array([distance, error]) / np.float64(reference.std)
    return {"metric": "wasserstein", "value": 0.0 if distance == 0 else float(scaled), "error_bound": float(bound)}


def _category_rows(reference: ColumnState, current: ColumnState, coding: Coding) -> list[Row]:
    assert isinstance(coding, CategoryCoding)  # noqa: S101  the column is a category
    assert isinstance(reference.counts, LevelCounts)  # noqa: S101
    assert isinstance(current.counts, LevelCounts)  # noqa: S101
    exact = reference.counts.levels is not None and current.counts.levels is not None
    if exact:
        bins, before, now = _level_counts(reference.counts, current.counts, coding)
    else:  # by hash bucket: a category's share is that of all levels in its bucket
        bins, before, now = _bucket_bins(coding), reference.counts.hashed().counts, current.counts.hashed().counts
    binned = (_bin_counts(state, bins, counts, coding) for state, counts in ((reference, before), (current, now)))
    rows = _binned_rows(*binned)
    shares = (np.append(counts, state.missing) for state, counts in ((reference, before), (current, now)))
    largest = {"metric": "l_infinity", "value": divergence.l_infinity(*shares), "p_value": rows[0]["p_value"]}
    if not exact:
        return [*rows, largest]
    new, vanished = divergence.unseen(before, now), divergence.unseen(now, before)
    unseen_rows = (_unseen_row("new_categories", *new), _unseen_row("vanished_categories", *vanished))
    return [*rows, largest | {"error_bound": 0.0}, *unseen_rows]


def _unseen_row(metric: str, share: float, expected: float, p_value: float) -> Row:
    change = change_row(metric, expected, share)
    return change | {"value": max(change["value"], 0.0), "error_bound": 0.0, "p_value": p_value}


def _level_counts(
    reference: LevelCounts, current: LevelCounts, coding: CategoryCoding
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the pair code of every level of both runs, and its rows in each, all of shape (levels,)."""
    levels = pa.concat_arrays([reference.levels, current.levels]).unique()
    rows = []
    for counted in (reference, current):
        place = pc.index_in(counted.levels, value_set=levels).to_numpy(zero_copy_only=False)
        rows.append(np.bincount(place, counted.counts, len(levels)).astype(np.int64))
    if coding.buckets > 1:  # the codebook's data had too many levels; these runs have few
        bins = _bucket_bins(coding)[buckets_of(hash64(levels), BUCKETS)]
    else:
        known = pc.index_in(levels, value_set=coding.levels).fill_null(len(coding.levels))
        bins = coding.groups[1 + known.to_numpy(zero_copy_only=False)]
    return bins, *rows


def _bucket_bins(coding: CategoryCoding) -> np.ndarray:
    """Return the pair code of every hash bucket, shape (BUCKETS,): that of the frequent level in it."""
    other = int(coding.groups.max())
    tail = coding.groups[coding.first_bucket :]
    bins = tail.copy() if len(tail) == BUCKETS else np.full(BUCKETS, other, np.uint8)
    level_buckets = buckets_of(hash64(coding.levels), BUCKETS)
    holders = np.concatenate([level_buckets, buckets_of(coding.heavy, BUCKETS, IDENTITY_BITS)])
    codes = coding.groups[1 : 1 + len(holders)]
    bins[holders[codes != other]] = codes[codes != other]
    return bins
