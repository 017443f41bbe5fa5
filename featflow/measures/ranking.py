"""The ranking table: every feature's information about every target, corrected for its cardinality.

Source: `featflow.measures.information`. A feature's missing values are a level;
what they say on their own, I(M;Y), and what the values say beyond,
P(M=0) I(X;Y | M=0), are both given and add up exactly. Rows without the target
take no part.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.measures.information import corrected_mutual_information, entropy
from featflow.summaries import TargetCounts, TargetCountsSummarizer
from featflow.tables import build

__all__ = ["ranked", "ranking"]

DETERMINES_FROM = 0.95
"""Normalized information from which a feature all but equals the target."""
PATTERN_FROM = 0.9
"""Share of the information in missingness from which a feature is only its missing pattern."""
WEAK_BELOW = 0.001
"""Normalized information below which a missing pattern is not worth an alert."""


def ranking(spec: TargetCountsSummarizer, state: TargetCounts, alerts: Mapping[str, list[str]]) -> pa.Table:
    """Return the ranking table of all targets; `ranked` gives the ranks once all features are there.

    Parameters
    ----------
    alerts
        Alerts of the profile, by column.
    """
    tables = []
    for t, target in enumerate(spec.targets):
        rows = []
        for f, feature in enumerate(spec.features):
            row = _score(spec.table(state, f, t)[:, 1:])
            row["alerts"] = sorted({*alerts.get(feature.column.name, []), *row["alerts"]})
            rows.append(row | {"target": target.column.name, "feature": feature.column.name})
        if rows:
            tables.append(build("ranking", {name: [row[name] for row in rows] for name in rows[0]}))
    return pa.concat_tables(tables) if tables else build("ranking", {"target": []})


def ranked(scored: pa.Table) -> pa.Table:
    """Return the table in the order of targets and ranks, 1 for the highest corrected information; ties by name."""
    order = [("target", "ascending"), ("corrected_mi", "descending"), ("feature", "ascending")]
    scored = scored.sort_by(order)
    ranks: list[int] = []
    previous = None
    for target in scored.column("target").to_pylist():
        ranks.append(ranks[-1] + 1 if target == previous else 1)
        previous = target
    index = scored.schema.get_field_index("rank")
    return scored.set_column(index, scored.schema.field("rank"), pa.array(ranks, pa.int64()))


def _score(table: np.ndarray) -> dict[str, Any]:
    n = int(table.sum())
    information = entropy(table.sum(axis=0))
    mi, expected = corrected_mutual_information(table)
    pattern = np.stack([table[0], table[1:].sum(axis=0)])
    missing_mi, missing_expected = corrected_mutual_information(pattern)
    corrected, missing = mi - expected, missing_mi - missing_expected
    room = information - expected
    normalized = min(corrected / room, 1.0) if room > 1e-12 else None  # above 1 by rounding only
    alerts: list[str] = []
    if normalized is not None and normalized >= DETERMINES_FROM:
        alerts.append("determines_target")
    if normalized is not None and normalized >= WEAK_BELOW and missing >= PATTERN_FROM * corrected:
        alerts.append("missing_pattern")
    return {
        "n": n,
        "cardinality": int(np.count_nonzero(table.sum(axis=1))),
        "mi": mi,
        "expected_mi": expected,
        "corrected_mi": corrected,
        "normalized_mi": normalized,
        "missing_mi": missing,
        "value_mi": corrected - missing,
        "alerts": alerts,
    }
