"""The ranking table: every feature's information about every target, its null and its error bars.

A feature's missing values are a level; what they say on their own, I(M;Y), and
what the values say beyond, P(M=0) I(X;Y | M=0), are both given and add up
exactly. With strata every information is the mean over strata, I(X;Y | S), and
so is its null. Rows without the target take no part. Sources: `featflow.measures.information`,
`featflow.measures.permutation_null`, `featflow.measures.jackknife`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.analyses.ranking.tables import RANKING
from featflow.columns.codebook import CategoryCoding, Coding
from featflow.execution.requests import Place
from featflow.measures.design_effect import design_effect, extrapolated_loss
from featflow.measures.effective_rows import whole_rows
from featflow.measures.information import entropy, stacked_information
from featflow.measures.jackknife import FEWEST_GROUPS, error_bars
from featflow.measures.permutation_null import ClassNull, Clusters, NullTest, null_test
from featflow.summaries import TargetCounts, TargetCountsSummarizer
from featflow.summaries.joint_counts import in_threads

__all__ = ["RankingMeasure", "measure_features", "ranking", "with_alerts"]

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
    clustered: bool = False
    """Whether the groups are clusters by whose design effect scores are deflated."""


def ranking(spec: TargetCountsSummarizer, state: TargetCounts, measure: RankingMeasure) -> tuple[pa.Table, list[str]]:
    """Return the scores of a block of features about all targets, unranked, and warnings.

    Ranks and q-values need all features: `featflow.analyses.ranking.ranks.ranked` gives them.
    """
    tables, warnings = [], []
    for t, target in enumerate(spec.targets):
        counts = [table[..., 1:] for table in spec.tables(state, t)]
        if not counts:
            continue
        scored = _Target(spec.features, counts, int(state.present[t]), measure)
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
) -> tuple[pa.Table, list[str]]:
    """Return `ranking` of a block of features, where its state lies."""
    return ranking(spec, state, measure)


def with_alerts(scored: pa.Table, profile: pa.Table | None) -> pa.Table:
    """Return scores whose alerts include those of their features' profiles."""
    if profile is None:
        return scored
    profile_alerts = dict(zip(profile["column"].to_pylist(), profile["alerts"].to_pylist(), strict=True))
    scored_alerts = zip(scored["feature"].to_pylist(), scored["alerts"].to_pylist(), strict=True)
    alerts = [sorted({*profile_alerts.get(feature, []), *flags}) for feature, flags in scored_alerts]
    index = scored.schema.get_field_index("alerts")
    return scored.set_column(index, scored.schema.field(index), pa.array(alerts, scored.schema.field(index).type))


class _Target:
    """All features of a block against one target; arrays are (features,) unless said otherwise."""

    def __init__(
        self, features: tuple[Coding, ...], counts: list[np.ndarray], present: int, measure: RankingMeasure
    ) -> None:
        self.features, self.counts, self.present, self.measure = features, counts, present, measure
        self.whole = [table.sum(axis=0) for table in counts]
        """Tables of all groups, each shape (levels, strata, classes)."""
        self.classes = self.whole[0].sum(axis=0)
        """Rows or weight of every class, shape (strata, classes)."""
        self.total = float(self.classes.sum())
        self.effective = present * measure.effective_share
        self.scale = self.effective / self.total if self.total and self.classes.dtype.kind == "f" else 1.0

    def columns(self) -> dict[str, Any]:
        """Return the table's columns."""
        mi, expected = self._information(self.whole)
        missing_mi, missing_expected = self._information([_pattern(table) for table in self.whole])
        corrected, missing = mi - expected, missing_mi - missing_expected
        clusters = self._clusters()
        effects = np.array([1.0 if cluster is None else cluster.design_effect for cluster in clusters])
        tests = self._tests(mi, clusters)
        unknown = self._too_few_rows() | np.isnan(effects)
        std = np.array([test.std for test in tests])
        room = self._entropy() - expected
        with np.errstate(divide="ignore", invalid="ignore"):
            normalized = np.where(room > 1e-12, np.minimum(corrected / room, 1.0), np.nan)  # above 1 by rounding only
            z = np.where(std > 0, (mi / effects - expected) / std, np.nan)
        several = len(self.classes) > 1
        return {
            "n": [self.present] * len(mi),
            "effective_n": [self.effective] * len(mi),
            "cardinality": [int(np.count_nonzero(table.sum(axis=(1, 2)))) for table in self.whole],
            "mi": mi,
            "expected_mi": expected,
            "corrected_mi": corrected,
            "normalized_mi": normalized,
            "null_std": std,
            "null_method": [None if null else test.method for null, test in zip(unknown, tests, strict=True)],
            "design_effect": effects if self.measure.clustered else np.full(len(mi), np.nan),
            "z": np.where(unknown, np.nan, z),
            "p_value": np.where(unknown, np.nan, [test.p_value for test in tests]),
            **self._error_bars(corrected),
            "missing_mi": missing,
            "value_mi": corrected - missing,
            "marginal_mi": self._marginal() if several else np.full(len(mi), np.nan),
            "hash_loss": [self._hash_loss(index, float(corrected[index])) for index in range(len(mi))],
        }

    def alerts(self, rows: dict[str, Any]) -> list[list[str]]:
        """Return the alerts of every feature's relation to the target."""
        flags = []
        for normalized, missing, corrected in zip(
            rows["normalized_mi"], rows["missing_mi"], rows["corrected_mi"], strict=True
        ):
            determines, pattern = normalized >= DETERMINES_FROM, missing >= PATTERN_FROM * corrected
            flags.append(
                ["determines_target"] * bool(determines)
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
            clustered = self.measure.clustered
            messages.append(
                f"its rows fall into {min(groups)} group(s) and the jackknife needs {FEWEST_GROUPS}; intervals are null"
                + (" and design effects rest on so few" if clustered else "")
                + (" in large tables, which fold groups" if max(groups) >= FEWEST_GROUPS else "")
                + f"; see analyses.{'ranking.clusters' if clustered else 'uncertainty.group_by'}"
            )
        return messages

    # --- scores -----------------------------------------------------------------------------------------------------

    def _information(self, tables: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Return plug-in and expected information of tables of shape (levels, strata, classes), means over strata."""
        counts = np.concatenate(tables)
        starts = np.cumsum([0, *(len(table) for table in tables)])
        mi, expected = np.zeros(len(tables)), np.zeros(len(tables))
        held = counts[: starts[1]].sum(axis=0)
        rows = held.sum(axis=1)
        for stratum in np.flatnonzero(np.count_nonzero(held, axis=1) > 1):  # of one class all information is 0
            some = counts[:, stratum]
            classes = whole_rows(held[stratum], self.scale)
            parts = np.split(some.sum(axis=1), starts[1:-1])
            margins = np.concatenate([whole_rows(part, self.scale, int(classes.sum())) for part in parts])
            plug_in, mean = stacked_information(some, starts[:-1], margins, classes)
            share = rows[stratum] / rows.sum()
            mi, expected = mi + share * plug_in, expected + share * mean
        return mi, expected

    def _entropy(self) -> float:
        """Return the entropy of the target within strata."""
        return float(sum(entropy(row) * row.sum() for row in self.classes) / max(self.total, 1e-300))

    def _tests(self, mi: np.ndarray, clusters: list[Clusters | None]) -> list[NullTest]:
        strata = np.flatnonzero(self.classes.sum(axis=1) > 0)
        counted = self.classes.dtype.kind != "f" or self.measure.effective_share > EQUAL_FROM
        nulls = [ClassNull(whole_rows(self.classes[stratum], self.scale), counted=counted) for stratum in strata]
        margins = [
            [
                whole_rows(table[:, stratum].sum(axis=1), self.scale, null.total)
                for stratum, null in zip(strata, nulls, strict=True)
            ]
            for table in self.whole
        ]
        for index, null in enumerate(nulls):
            null.prepare(np.concatenate([feature_margins[index] for feature_margins in margins]))
        return [
            null_test(float(score), feature_margins, nulls, cluster)
            for score, feature_margins, cluster in zip(mi, margins, clusters, strict=True)
        ]

    def _marginal(self) -> np.ndarray:
        mi, expected = self._information([table.sum(axis=1, keepdims=True) for table in self.whole])
        return np.asarray(mi - expected)

    # --- errors -----------------------------------------------------------------------------------------------------

    def _error_bars(self, corrected: np.ndarray) -> dict[str, np.ndarray]:
        names = ("standard_error", "ci_low", "ci_high")
        columns = {name: np.full(len(corrected), np.nan) for name in names}
        for groups in {len(table) for table in self.counts}:
            some = np.array([index for index, table in enumerate(self.counts) if len(table) == groups])
            rows = self.counts[some[0]].sum(axis=(1, 2, 3))
            if np.count_nonzero(rows) < FEWEST_GROUPS:
                continue
            deleted = np.zeros((groups, len(some)))

            def delete(group: int, some: np.ndarray = some, deleted: np.ndarray = deleted) -> None:
                mi, expected = self._information([self.whole[index] - self.counts[index][group] for index in some])
                deleted[group] = mi - expected

            in_threads(delete, np.flatnonzero(rows).tolist())
            bars = error_bars(corrected[some], deleted, rows, self.measure.confidence)
            for name, values in zip(names, (bars.standard_error, bars.low, bars.high), strict=True):
                columns[name][some] = values
        return columns

    def _clusters(self) -> list[Clusters | None]:
        """Return every feature's design effect, NaN where it would rest on too few groups; None without clusters."""
        clusters: list[Clusters | None] = []
        for table, whole in zip(self.counts, self.whole, strict=True):
            groups = int(np.count_nonzero(table.sum(axis=(1, 2, 3))))
            known = groups >= FEWEST_GROUPS
            effect = design_effect(table, whole, self.scale) if self.measure.clustered and known else float("nan")
            clusters.append(Clusters(effect, max(groups - 1, 1)) if self.measure.clustered else None)
        return clusters

    def _too_few_rows(self) -> bool:
        """Whether weighted rows lie mostly in strata worth so few that whole rows cannot stand for them."""
        if self.classes.dtype.kind != "f":
            return False
        rows = np.sort(self.classes.sum(axis=1)) * self.scale
        middle = rows[np.searchsorted(np.cumsum(rows), rows.sum() / 2)] if rows.sum() else 0.0
        return len(rows) > 1 and float(middle) < FEWEST_WEIGHTED_ROWS

    def _hash_loss(self, index: int, corrected: float) -> float:
        """Return the information lost to hashing, from what is lost when buckets are folded in two and in four."""
        coding = self.features[index]
        if not isinstance(coding, CategoryCoding) or coding.buckets < 4:
            return float("nan")
        first, table = coding.first_bucket, self.whole[index]
        folded = []
        for times in (2, 4):
            tail = table[first:].reshape(-1, times, *table.shape[1:]).sum(axis=1)
            mi, expected = self._information([np.concatenate([table[:first], tail])])
            folded.append(float(mi[0] - expected[0]))
        return extrapolated_loss(corrected, *folded)


def _pattern(table: np.ndarray) -> np.ndarray:
    """Return the table of whether the feature is missing, shape (2, strata, classes)."""
    return np.stack([table[0], table[1:].sum(axis=0)])
