"""The ranking table: every feature's information about every target, its null and its error bars.

A feature's missing values are a level; what they say on their own, I(M;Y), and
what the values say beyond, P(M=0) I(X;Y | M=0), are both given and add up
exactly. With strata every information is the mean over strata, I(X;Y | S), and
so is its null. Rows without the target take no part. Where rows share units, evidence counts
units (`featflow.analyses.ranking.evidence`). Sources: `featflow.measures.information`, `featflow.measures.jackknife`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.analyses.ranking.evidence import (
    Evidence,
    Units,
    evidence_of_groups,
    evidence_of_rows,
    evidence_of_units,
    strata_are_units,
    tests_of_rows,
)
from featflow.analyses.ranking.hashing import hash_loss
from featflow.analyses.ranking.strata_information import strata_information
from featflow.analyses.ranking.tables import RANKING
from featflow.columns.codebook import Coding
from featflow.execution.requests import Place
from featflow.measures.information import entropy
from featflow.measures.jackknife import FEWEST_GROUPS, clipped, entropy_limit, error_bars
from featflow.summaries import TargetCounts, TargetCountsSummarizer
from featflow.summaries.joint_counts import in_threads

__all__ = ["RankingMeasure", "measure_features", "ranking"]

DETERMINES_FROM = 0.95
"""Normalized information from which a feature all but equals the target; below 1, as a leak may have wrong rows."""
PATTERN_FROM = 0.9
"""Share of the information in missingness from which a feature is only its missing pattern; below 1, as chance leaves
values some of it."""
WEAK_BELOW = 0.001
"""Normalized information below which a missing pattern is not worth an alert."""

EQUAL_FROM = 1 - 1e-12
"""Effective share from which weights are equal but for rounding, and sums of them stand for whole rows."""
FEWEST_WEIGHTED_ROWS = 20
"""Effective rows of a stratum below which its null is too rough: rounding to whole rows moves a margin by up to half a
row, 2.5 % of 20."""


@dataclass(frozen=True)
class RankingMeasure:
    """Options of the scores of a ranking."""

    effective_share: float = 1.0
    """Rows of equal weight that a row is worth on average."""
    confidence: float = 0.95
    """Level of the intervals."""
    units: Units | None = None
    """What rows share; None where rows are independent."""


@dataclass(frozen=True)
class FeatureScores:
    """Scores of a block of features."""

    table: pa.Table
    """Rows of ranking, unranked."""
    warnings: list[str]
    units: int | None
    """Units that hold rows, exactly or, where they are many, estimated; None where evidence counts rows."""


def ranking(spec: TargetCountsSummarizer, state: TargetCounts, measure: RankingMeasure) -> tuple[pa.Table, list[str]]:
    """Return the scores of a block of features about all targets, unranked, and warnings.

    Ranks and q-values need all features: `featflow.analyses.ranking.ranks.ranked` gives them.
    """
    tables, warnings = [], []
    for t, target in enumerate(spec.targets):
        counts = [table[..., 1:] for table in spec.tables(state, t)]
        if not counts:
            continue
        known = replace(measure, units=None) if spec.units_are_rows(state) else measure
        scored = _Target(spec.features, counts, list(spec.unit_margins(state, t)), int(state.present[t]), known)
        rows = scored.columns()
        alerts = [sorted(flags) for flags in scored.alerts(rows)]
        names = [feature.column.name for feature in spec.features]
        rows |= {"target": [target.column.name] * len(names), "feature": names, "alerts": alerts}
        tables.append(RANKING.build(rows))
        warnings += [f"target '{target.column.name}': {warning}" for warning in scored.warnings()]
    return (pa.concat_tables(tables) if tables else RANKING.empty()), warnings


def measure_features(
    measure: RankingMeasure,
    place: Place,  # noqa: ARG001
    spec: TargetCountsSummarizer,
    state: TargetCounts,
) -> FeatureScores:
    """Return `ranking` of a block of features, where its state lies."""
    return FeatureScores(*ranking(spec, state, measure), None if spec.units_are_rows(state) else state.unit_count)


class _Target:
    """All features of a block against one target; arrays are (features,) unless said otherwise."""

    def __init__(
        self,
        features: tuple[Coding, ...],
        counts: list[np.ndarray],
        margins: list[tuple[np.ndarray, np.ndarray]],
        present: int,
        measure: RankingMeasure,
    ) -> None:
        self.features, self.counts, self.margins = features, counts, margins
        self.present, self.measure = present, measure
        self.whole = [table.sum(axis=0) for table in counts]
        """Tables of all groups, each shape (levels, strata, classes)."""
        self.classes = self.whole[0].sum(axis=0)
        """Rows or weight of every class, shape (strata, classes)."""
        self.total = float(self.classes.sum())
        self.effective = present * measure.effective_share
        self.scale = self.effective / self.total if self.total and self.classes.dtype.kind == "f" else 1.0

    def columns(self) -> dict[str, Any]:
        """Return the table's columns."""
        mi, expected_of_rows = strata_information(self.whole, self.scale)
        missing_mi, missing_expected = strata_information([_pattern(table) for table in self.whole], self.scale)
        found = self._evidence(mi, expected_of_rows)
        expected = np.array([each.expected for each in found])
        growth = np.where(expected_of_rows > 0, expected / np.maximum(expected_of_rows, 1e-300), 1.0)
        corrected, missing = mi - expected, missing_mi - np.minimum(growth * missing_expected, missing_mi)
        unknown = self._too_few_rows()
        std = np.array([each.std for each in found])
        room = self._entropy() - expected
        with np.errstate(divide="ignore", invalid="ignore"):
            normalized = np.where(room > 1e-12, np.minimum(corrected / room, 1.0), np.nan)  # above 1 by rounding only
            z = np.where(std > 0, corrected / std, np.nan)
        effects = np.array([each.design_effect for each in found])
        worth = self.effective / np.fmax(effects, 1.0)
        return {
            "n": [self.present] * len(mi),
            "effective_n": np.fmin(worth, [each.units for each in found]),
            "cardinality": [int(np.count_nonzero(table.sum(axis=(1, 2)))) for table in self.whole],
            "mi": mi,
            "expected_mi": expected,
            "corrected_mi": corrected,
            "normalized_mi": normalized,
            "null_std": std,
            "null_method": [None if unknown else each.method for each in found],
            "design_effect": effects,
            "z": np.where(unknown, np.nan, z),
            "p_value": [np.nan if unknown else each.p_value for each in found],
            "within_mi": [each.within for each in found],
            "within_p_value": [each.within_p for each in found],
            "between_mi": [each.between for each in found],
            "between_p_value": [each.between_p for each in found],
            **self._error_bars(corrected, growth),
            "missing_mi": missing,
            "value_mi": corrected - missing,
            "marginal_mi": self._marginal() if len(self.classes) > 1 else np.full(len(mi), np.nan),
            "hash_loss": [
                hash_loss(coding, table, float(score), self.scale)
                for coding, table, score in zip(self.features, self.whole, corrected, strict=True)
            ],
            "alerts": [list(each.alerts) for each in found],
        }

    def alerts(self, rows: dict[str, Any]) -> list[list[str]]:
        """Return the alerts of every feature's relation to the target, and to units."""
        flags = []
        for of_units, normalized, missing, corrected in zip(
            rows["alerts"], rows["normalized_mi"], rows["missing_mi"], rows["corrected_mi"], strict=True
        ):
            determines, pattern = normalized >= DETERMINES_FROM, missing >= PATTERN_FROM * corrected
            flags.append(
                of_units
                + ["determines_target"] * bool(determines)
                + ["missing_pattern"] * bool(normalized >= WEAK_BELOW and pattern)
            )
        return flags

    def warnings(self) -> list[str]:
        """Return warnings of conditions under which scores are null, rough or 0."""
        messages = []
        with_rows = self.classes[self.classes.sum(axis=1) > 0]
        silent = with_rows[np.count_nonzero(with_rows, axis=1) < 2]
        if len(with_rows) > 1 and len(silent):
            messages.append(
                f"{len(silent)} of {len(with_rows)} strata hold one class only, {silent.sum():,.0f} rows in all; "
                "they say nothing about any feature"
            )
        if self._too_few_rows():
            messages.append(
                f"weights, and most rows in strata worth less than {FEWEST_WEIGHTED_ROWS} rows: scores are rough and "
                "p-values null; take coarser strata"
            )
        classes = int(np.count_nonzero(self.classes.sum(axis=0)))
        if classes < 2 and self.present:
            messages.append("one class has all the weight; every score is 0")
        if 2 * classes > self.present:
            messages.append(f"{classes} classes in {self.present} rows; most scores equal their null")
        by_fold = {len(table): table for table in self.counts if len(table) > 1}
        groups = {int(np.count_nonzero(table.sum(axis=(1, 2, 3)))) for table in by_fold.values()}
        if groups and min(groups) < FEWEST_GROUPS:
            messages.append(
                f"its rows fall into {min(groups)} group(s) and the jackknife needs {FEWEST_GROUPS}; intervals are null"
                + (" in large tables, which fold groups" if max(groups) >= FEWEST_GROUPS else "")
                + "; see analyses.uncertainty.group_by"
            )
        if self.measure.units is not None and strata_are_units(self.counts[0]):
            messages.append(
                f"each stratum lies in one group of units of {self.measure.units.name}, so p-values are null: leave "
                "the strata out, or take other units (analyses.uncertainty.units)"
            )
        if self._in_order_and_unknown() and self.present:
            messages.append(
                "more units of event time than are kept in order, so p-values are null; run with --rebin, or name "
                "other units (analyses.uncertainty.units) where there are more than 16,384"
            )
        return messages

    # --- scores -----------------------------------------------------------------------------------------------------

    def _entropy(self) -> float:
        """Return the entropy of the target within strata."""
        return float(sum(entropy(row) * row.sum() for row in self.classes) / max(self.total, 1e-300))

    def _evidence(self, mi: np.ndarray, expected: np.ndarray) -> list[Evidence]:
        """Return the null of every score: of rows, or of the units that they share."""
        counted, units = self.classes.dtype.kind != "f" or self.measure.effective_share > EQUAL_FROM, self.measure.units
        tests = tests_of_rows(self.whole, self.scale, counted=counted)
        if units is None:
            return evidence_of_rows(tests, mi, expected)
        if self.margins and counted:
            groups = [feature.groups for feature in self.features]
            tables = [np.rint(table * self.scale).astype(np.int64) for table in self.whole]
            return evidence_of_units(tables, self.margins, groups, tests, expected, units)
        if self._in_order_and_unknown():
            return [replace(each, p_value=nan, method=None) for each in evidence_of_rows(tests, mi, expected)]
        return evidence_of_groups(self.counts, self.scale, evidence_of_rows(tests, mi, expected))

    def _in_order_and_unknown(self) -> bool:
        """Whether units follow one another and their margins are not there: groups of them are then not independent."""
        units, counted = self.measure.units, self.classes.dtype.kind != "f" and len(self.classes) == 1
        return units is not None and units.ordered and counted and not self.margins

    def _marginal(self) -> np.ndarray:
        mi, expected = strata_information([table.sum(axis=1, keepdims=True) for table in self.whole], self.scale)
        return np.asarray(mi - expected)

    # --- errors -----------------------------------------------------------------------------------------------------

    def _error_bars(self, corrected: np.ndarray, growth: np.ndarray) -> dict[str, np.ndarray]:
        """Return error bars around scores whose mean under the null is ``growth`` times that on rows."""
        names = ("standard_error", "ci_low", "ci_high")
        columns = {name: np.full(len(corrected), np.nan) for name in names}
        for groups in {len(table) for table in self.counts}:
            some = np.array([index for index, table in enumerate(self.counts) if len(table) == groups])
            rows = self.counts[some[0]].sum(axis=(1, 2, 3))
            if np.count_nonzero(rows) < FEWEST_GROUPS:
                continue
            deleted = np.zeros((groups, len(some)))

            def delete(group: int, some: np.ndarray = some, deleted: np.ndarray = deleted) -> None:
                mi, expected = strata_information([self.whole[i] - self.counts[i][group] for i in some], self.scale)
                deleted[group] = mi - growth[some] * expected

            in_threads(delete, np.flatnonzero(rows).tolist())
            bars = error_bars(corrected[some], deleted, rows, self.measure.confidence)
            by_group = self.counts[some[0]].sum(axis=1)
            one = by_group.shape[1] == 1
            most = entropy_limit(by_group[:, 0], self.measure.confidence) if one else self._entropy()
            reach = (bars.high - bars.low) / 2
            ends = clipped(corrected[some] - reach, corrected[some] + reach, corrected[some], most)
            for name, values in zip(names, (bars.standard_error, *ends), strict=True):
                columns[name][some] = values
        return columns

    def _too_few_rows(self) -> bool:
        """Whether weighted rows lie mostly in strata worth so few that whole rows cannot stand for them."""
        if self.classes.dtype.kind != "f":
            return False
        rows = np.sort(self.classes.sum(axis=1)) * self.scale
        middle = rows[np.searchsorted(np.cumsum(rows), rows.sum() / 2)] if rows.sum() else 0.0
        return len(rows) > 1 and float(middle) < FEWEST_WEIGHTED_ROWS


def _pattern(table: np.ndarray) -> np.ndarray:
    """Return the table of whether the feature is missing, shape (2, strata, classes)."""
    return np.stack([table[0], table[1:].sum(axis=0)])
