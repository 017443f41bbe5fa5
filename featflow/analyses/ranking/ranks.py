"""Ranks, q-values and the rank where noise begins, which need all features of a target.

Features are ranked by the information that noise of the same cardinality does not reach: the score less the quantile of
its null at the largest p-value that is significant among all features of the target. A feature may hold any rank that
the intervals leave possible: all those whose interval lies above its own are before it, all those whose interval lies
below it are behind (Klein, Wright & Wieczorek 2020, JRSS A 183, without their joint level).
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pyarrow as pa

from featflow.measures.multiple_testing import false_discovery_rates, gamma_quantile
from featflow.measures.options import UncertaintyOptions

__all__ = ["ranked", "with_alerts"]


def ranked(scored: pa.Table, options: UncertaintyOptions) -> pa.Table:
    """Return the ranking table in the order of targets and ranks, those that are significant first.

    Parameters
    ----------
    scored
        Scores of all features, in any order; of equal assured_mi, corrected_mi and then the name decides.
    """
    scored = scored.sort_by([("target", "ascending"), ("corrected_mi", "descending"), ("feature", "ascending")])
    columns: dict[str, list[np.ndarray]] = {}
    order: list[np.ndarray] = []
    start = 0
    for _, rows in groupby(scored.column("target").to_pylist()):
        size = len(list(rows))
        place, values_by_name = _target_columns(scored.slice(start, size), options)
        order.append(start + place)
        for name, values in values_by_name.items():
            columns.setdefault(name, []).append(values)
        start += size
    scored = scored.take(pa.array(np.concatenate(order))) if order else scored
    for name, parts in columns.items():
        index, values = scored.schema.get_field_index(name), np.concatenate(parts)
        missing = np.isnan(values) if values.dtype.kind == "f" else None
        array = pa.array(values, mask=missing).cast(scored.schema.field(name).type)
        scored = scored.set_column(index, scored.schema.field(name), array)
    return scored


def with_alerts(scored: pa.Table, profile: pa.Table | None) -> pa.Table:
    """Return scores whose alerts include those of their features' profiles."""
    if profile is None:
        return scored
    profile_alerts = dict(zip(profile["column"].to_pylist(), profile["alerts"].to_pylist(), strict=True))
    scored_alerts = zip(scored["feature"].to_pylist(), scored["alerts"].to_pylist(), strict=True)
    alerts = [sorted({*profile_alerts.get(feature, []), *flags}) for feature, flags in scored_alerts]
    index = scored.schema.get_field_index("alerts")
    return scored.set_column(index, scored.schema.field(index), pa.array(alerts, scored.schema.field(index).type))


def _target_columns(rows: pa.Table, options: UncertaintyOptions) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Return the places of a target's features, best first, and their columns in that order."""
    names = ("p_value", "ci_low", "ci_high", "corrected_mi", "expected_mi", "null_std")
    p_values, low, high, score, expected, std = (rows.column(name).to_numpy().astype(np.float64) for name in names)
    q_values = false_discovery_rates(p_values, options.procedure)
    significant = (q_values <= options.false_discovery_rate) & (score > 0) & ~(high <= 0)
    tested = max(int(np.count_nonzero(~np.isnan(p_values))), 1)
    tail = p_values[significant].max() if significant.any() else options.false_discovery_rate / tested
    # The quantile of a null that is nearly always 0 lies below its mean, and a score below the mean is no evidence.
    beyond_mean = np.maximum(gamma_quantile(float(tail), expected, std**2) - expected, 0.0)
    assured = np.where(np.isnan(p_values), np.nan, score - beyond_mean)
    # Rows stand by corrected_mi, then name, and both sorts are stable.
    place = np.lexsort((np.arange(len(rows)), -np.nan_to_num(assured, nan=-np.inf), ~significant))
    q_values, significant, assured = q_values[place], significant[place], assured[place]
    shift = np.nan_to_num(beyond_mean)[place]
    low, high = low[place] - shift, high[place] - shift
    last = int(np.count_nonzero(significant))
    features = len(rows)
    rank = np.arange(1.0, features + 1)
    # Features whose whole interval lies above, or below, that of each feature.
    above, below = np.searchsorted(np.sort(-low), -high, side="left"), np.searchsorted(np.sort(high), low, side="left")
    known = ~np.isnan(low)
    return place, {
        "rank": rank,
        "assured_mi": assured,
        "q_value": q_values,
        "significant": significant,
        "noise_rank": np.full(features, float(last + 1) if last < features else np.nan),
        "rank_low": np.where(known, np.minimum(rank, 1.0 + above), np.nan),
        "rank_high": np.where(known, np.maximum(rank, features - below), np.nan),
    }
