"""Information value of features about a target of two classes, from the same counts as the ranking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.analyses.information_value.options import InformationValueOptions
from featflow.analyses.information_value.scores import FIGURES, best_split, evidence, figures
from featflow.analyses.information_value.tables import INFORMATION_VALUE
from featflow.analyses.protocol import Analysis
from featflow.analyses.requests import CountsOfFeatures
from featflow.columns.codebook import Coding, NumberCoding
from featflow.columns.column import Role
from featflow.columns.sort_keys import key_values
from featflow.execution.context import Context
from featflow.execution.requests import Measurement, Place, Request
from featflow.measures.jackknife import clipped, error_bars
from featflow.summaries import TargetCounts, TargetCountsSummarizer

__all__ = ["InformationValue"]

MOST = {"iv": np.inf, "ks": 1.0, "auc": 1.0}
"""Largest possible value of each figure; the least is 0."""


class InformationValue(Analysis[InformationValueOptions]):
    """The information_value table."""

    name = "information_value"
    tables = (INFORMATION_VALUE,)

    def relate(self, context: Context) -> Iterable[Request]:
        """Return counts of features against targets."""
        return (CountsOfFeatures(),) if context.codings_of(Role.TARGET) else ()

    def measure(self, context: Context) -> Iterable[Measurement]:
        """Return the rows of every block of features."""
        if context.codings_of(Role.TARGET):
            yield Measurement(CountsOfFeatures(), measure_block, context.uncertainty.confidence)

    def write(self, context: Context) -> None:
        """Write the features of every target of two classes, the most informative first."""
        if context.codings_of(Role.TARGET):
            table = pa.concat_tables([INFORMATION_VALUE.empty(), *context.results(measure_block)])
            order = [("target", "ascending"), ("iv", "descending"), ("feature", "ascending")]
            context.write(INFORMATION_VALUE, [table.sort_by(order)])


def measure_block(
    confidence: float,
    place: Place,  # noqa: ARG001
    spec: TargetCountsSummarizer,
    state: TargetCounts,
) -> pa.Table:
    """Return the rows of a block of features."""
    rows = [
        {"target": target.column.name, "event": event, "n": int(state.present[t])} | row
        for t, target in enumerate(spec.targets)
        for event, row in _target_rows(spec, state, t, confidence)
    ]
    names = dict.fromkeys(name for row in rows for name in row) or ["target"]
    return INFORMATION_VALUE.build({name: [row[name] for row in rows] for name in names})


def _target_rows(
    spec: TargetCountsSummarizer, state: TargetCounts, t: int, confidence: float
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the name of the event and the row of each feature; nothing unless the target has two classes."""
    for feature, table in zip(spec.features, spec.tables(state, t), strict=True):
        counts = table.sum(axis=2).astype(np.float64)  # groups, levels, classes: over strata
        classes = np.flatnonzero(counts[..., 1:].sum(axis=(0, 1)) > 0) + 1
        if len(classes) != 2:
            return
        target, names = spec.targets[t], [str(each) for each in classes]
        if isinstance(target, NumberCoding):
            names = [bin_names(target)[each] for each in classes]
        elif max(classes) <= len(target.levels):  # levels stand in the order of their names
            names = [str(target.levels[int(each) - 1]) for each in classes]
        yield names[1], _feature_row(feature, counts[..., classes], confidence)


def _feature_row(feature: Coding, counts: np.ndarray, confidence: float) -> dict[str, Any]:
    """Return a feature's row of the table; counts are of others and events, shape (groups, levels, 2)."""
    bins = np.stack([counts[:, feature.groups == code].sum(axis=1) for code in range(int(feature.groups.max()) + 1)], 1)
    levels, names = (counts[:, 1:], []) if isinstance(feature, NumberCoding) else (bins, bin_names(feature))
    whole, ordered = bins.sum(axis=0), levels.sum(axis=0)
    held = ordered.sum(axis=1) > 0
    if names:  # levels of a category have no order but that of their event rates
        rate = ordered[:, 1] / np.maximum(ordered.sum(axis=1), 1e-300)
        order = np.lexsort((np.arange(len(rate)), rate))
        levels, ordered, names = levels[:, order], ordered[order], [names[place] for place in order]
        held = held[order]
    scores = figures(whole, ordered)
    deleted = figures(whole - bins, ordered - levels)
    bars = error_bars(scores, deleted, bins.sum(axis=(1, 2)), confidence)
    # Figures are as read off the bins; the jackknife takes off what chance adds, and intervals hold both.
    low, high = clipped(bars.low, bars.high, scores, np.array([MOST[name] for name in FIGURES]))
    intervals = {name: (bars.standard_error[i], low[i], high[i]) for i, name in enumerate(FIGURES)}
    split, rows = best_split(ordered), whole.sum(axis=0)
    used = np.count_nonzero(whole.sum(axis=1))
    return {
        "feature": feature.column.name,
        "event_rate": rows[1] / rows.sum(),
        **dict(zip(FIGURES, scores, strict=True)),
        "expected_iv": (used - 1) * (1 / rows).sum(),
        "iv_standard_error": intervals["iv"][0],
        "iv_low": intervals["iv"][1],
        "iv_high": intervals["iv"][2],
        "ks_low": intervals["ks"][1],
        "ks_high": intervals["ks"][2],
        "auc_standard_error": intervals["auc"][0],
        "auc_low": intervals["auc"][1],
        "auc_high": intervals["auc"][2],
        "split_gain": split.gain if split else np.nan,
        "split_value": _split_value(feature, split.first_above) if split and not names else np.nan,
        "split_levels": [
            level
            for level, has_rows in zip(names[split.first_above :], held[split.first_above :], strict=True)
            if has_rows
        ]
        if split and names
        else None,
        "event_rate_low": split.rate_low if split else np.nan,
        "event_rate_high": split.rate_high if split else np.nan,
        "bins": _bin_rows(feature, whole),
    }


def _split_value(feature: Coding, first_above: int) -> float:
    """Return the least value of a number's fine bin; bins are counted from 0, without that of missing values."""
    assert isinstance(feature, NumberCoding)  # noqa: S101  only numbers have values
    return float(key_values(feature.edges[first_above - 1 : first_above], feature.column.type)[0])


def _bin_rows(feature: Coding, whole: np.ndarray) -> list[dict[str, Any]]:
    woe, contribution = evidence(whole)
    rows = whole.sum(axis=1)
    return [
        {
            "bin": name,
            "rows": rows[place],
            "events": whole[place, 1],
            "event_rate": whole[place, 1] / rows[place],
            "woe": woe[place],
            "contribution": contribution[place],
        }
        for place, name in enumerate(bin_names(feature))
        if rows[place] > 0
    ]


def bin_names(feature: Coding) -> list[str]:
    """Return how each bin of the pair coding is named: missing, then ranges of a number, or levels of a category."""
    if isinstance(feature, NumberCoding):
        edges = key_values(feature.edges, feature.column.type)
        firsts = [int(np.flatnonzero(feature.groups == code)[0]) for code in range(1, int(feature.groups.max()) + 1)]
        lows = [f"{edges[first - 2]:.6g}" if first > 1 else "-inf" for first in firsts]
        return ["missing", *(f"[{low}, {high})" for low, high in zip(lows, [*lows[1:], "inf"], strict=True))]
    names = ["missing"]
    for code in range(1, int(feature.groups.max()) + 1):
        members = np.flatnonzero(feature.groups == code)
        one = len(members) == 1 and members[0] <= len(feature.levels)
        names.append(str(feature.levels[int(members[0]) - 1]) if one else "other")
    return names
