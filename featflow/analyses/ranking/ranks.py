"""Ranks, q-values and the rank where noise begins, which need all features of a target.

A feature may hold any rank that the intervals leave possible: all those whose
interval lies above its own are before it, all those whose interval lies below it
are behind (Klein, Wright & Wieczorek 2020, JRSS A 183, without their joint level).
"""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pyarrow as pa

from featflow.measures.multiple_testing import false_discovery_rates
from featflow.measures.options import UncertaintyOptions

__all__ = ["ranked", "with_alerts"]


def ranked(scored: pa.Table, options: UncertaintyOptions) -> pa.Table:
    """Return the ranking table in the order of targets and ranks, 1 for the highest corrected information.

    Parameters
    ----------
    scored
        Scores of all features, in any order; ties are ranked by name.
    """
    order = [("target", "ascending"), ("corrected_mi", "descending"), ("feature", "ascending")]
    scored = scored.sort_by(order)
    columns: dict[str, list[np.ndarray]] = {}
    start = 0
    for _, rows in groupby(scored.column("target").to_pylist()):
        size = len(list(rows))
        for name, values in _target_columns(scored.slice(start, size), options).items():
            columns.setdefault(name, []).append(values)
        start += size
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


def _target_columns(rows: pa.Table, options: UncertaintyOptions) -> dict[str, np.ndarray]:
    p_values, low, high = (rows.column(name).to_numpy().astype(np.float64) for name in ("p_value", "ci_low", "ci_high"))
    q_values = false_discovery_rates(p_values, options.procedure)
    score = rows.column("corrected_mi").to_numpy()
    significant = (q_values <= options.false_discovery_rate) & (score > 0) & ~(high <= 0)
    last = int(np.flatnonzero(significant)[-1]) + 1 if significant.any() else 0
    features = len(rows)
    rank = np.arange(1.0, features + 1)
    # Features whose whole interval lies above, or below, that of each feature.
    above, below = np.searchsorted(np.sort(-low), -high, side="left"), np.searchsorted(np.sort(high), low, side="left")
    known = ~np.isnan(low)
    return {
        "rank": rank,
        "q_value": q_values,
        "significant": significant,
        "noise_rank": np.full(features, float(last + 1) if last < features else np.nan),
        "rank_low": np.where(known, np.minimum(rank, 1.0 + above), np.nan),
        "rank_high": np.where(known, np.maximum(rank, features - below), np.nan),
    }
