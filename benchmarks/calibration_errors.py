"""Lines 3 and clusters: how often intervals hold the truth, and what rows that depend on one another do.

Truth is worked out, not simulated. A level x of R equally frequent ones has P(Y = 1 | x, u) = expit(a_x + s u), a_x
evenly spaced over [-1, 1], u a standard normal shared by the rows of an entity. Then p_x = E_u expit(a_x + s u) by
Gauss-Hermite quadrature, and I(X;Y) = h(mean of p_x) - mean of h(p_x) with h the entropy of a coin. All rows of an
entity have one level.

In line "clusters" X and Y are independent, and each depends on the user: X is the user's own level in four rows of
five, P(Y = 1) = expit(u). Permuting rows says that this cannot be chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pyarrow as pa
from calibration_checks import SEED, batch_of, in_processes, levels_of, widened
from measured import Check
from scipy.special import entr, expit

from featflow.analyses.ranking.evidence import Units
from featflow.analyses.ranking.scores import RankingMeasure, ranking
from featflow.columns.column import Column, Kind
from featflow.columns.jackknife_groups import JackknifeGroups
from featflow.summaries import TargetCountsSummarizer

DRAWS, SMALL_DRAWS, CHUNK = 1_000, 100, 50
WANTED = 300
"""Draws from which limits stand as they are."""
ROWS = 20_000
ENTITY_ROWS = 50
GROUPS = 32
MOST_UNITS = 1024
"""Units whose margins are kept, as in a run."""
COVERAGE = (0.92, 0.98)
FAILING = 0.85
"""Coverage that rows taken for independent do not reach where they are not."""
OWN_LEVEL = 0.8
CLUSTERED = ((5, 32), (5, 64), (30, 32), (100, 32))
"""Levels and groups. For more levels than the first has, rates are shown and not asserted: a score is deflated by one
factor, which is too small where a level holds few users."""
ROW, ENTITY = (Column(name, "int64", Kind.NUMBER) for name in ("row", "entity"))


@dataclass(frozen=True)
class Signal:
    """Levels that say something."""

    levels: int
    entity_rows: int = 1
    """Rows of an entity."""
    spread: float = 0.0
    """Standard deviation s of an entity's own logit."""

    @property
    def logits(self) -> np.ndarray:
        """Return a_x, shape (levels,)."""
        return np.linspace(-1.0, 1.0, self.levels)

    def truth(self) -> float:
        """Return I(X;Y)."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        p = expit(self.logits[:, None] + self.spread * nodes) @ (weights / weights.sum())
        return float(_coin(p.mean()) - _coin(p).mean())

    def draw(self, random: np.random.Generator) -> pa.RecordBatch:
        """Return rows."""
        entity = np.arange(ROWS) // self.entity_rows
        x = random.integers(0, self.levels, entity[-1] + 1)[entity]
        own = self.spread * random.normal(size=entity[-1] + 1)[entity]
        return numbered(batch_of(x=x, y=random.random(ROWS) < expit(self.logits[x] + own)), entity)


@dataclass(frozen=True)
class Intervals:
    """A signal's intervals, by one way to group rows, over draws."""

    estimate: np.ndarray
    """Corrected information, shape (draws,)."""
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray


SIGNALS = (Signal(4), Signal(30), Signal(300))
DEPENDENT = (Signal(4, ENTITY_ROWS, 1.0), Signal(30, ENTITY_ROWS, 1.0))
"""Of the second a level holds 13 entities, whose chance differences are information in the sample that no permutation
of rows has: the score is too high, by what the jackknife sees too."""


def _coin(p: np.ndarray) -> np.ndarray:
    return np.asarray(entr(p) + entr(1 - p))


def numbered(batch: pa.RecordBatch, entity: np.ndarray) -> pa.RecordBatch:
    """Return the batch with the numbers of rows and of entities."""
    return batch.append_column("row", pa.array(np.arange(batch.num_rows))).append_column("entity", pa.array(entity))


def target_counts(levels: int, column: Column, groups: int) -> TargetCountsSummarizer:
    """Return the spec of x against y, with groups by a column's values."""
    return TargetCountsSummarizer(
        (levels_of("x", levels),),
        (levels_of("y", 2),),
        jackknife=JackknifeGroups("value", (column,), groups, most_units=MOST_UNITS),
    )


def intervals(item: tuple[Signal, Column, int]) -> Intervals:
    """Return the intervals of one chunk of draws."""
    signal, column, chunk = item
    random = np.random.default_rng((SEED, signal.levels, signal.entity_rows, chunk))
    spec = target_counts(signal.levels, column, GROUPS)
    rows = []
    for _ in range(CHUNK):
        units = Units("entity", ordered=False) if column is ENTITY else None
        rows += ranking(spec, spec.summarize(signal.draw(random)), RankingMeasure(units=units))[0].to_pylist()
    names = ("corrected_mi", "standard_error", "ci_low", "ci_high")
    return Intervals(*(np.array([row[name] for row in rows]) for name in names))


def run_coverage(small: bool) -> list[Check]:
    """Print how often intervals hold the truth, and return the checks."""
    draws = SMALL_DRAWS if small else DRAWS
    chunks = draws // CHUNK
    print(f"95 % jackknife intervals of corrected_mi, {ROWS:,} rows, {GROUPS} groups, {draws:,} draws")
    names = " ".join(f"{name:>9}" for name in ("groups by", "truth", "mean", "error/sd", "covers"))
    print(f"{'levels':>6} {'rows an entity':>14} {names}")
    cases = [(signal, ROW) for signal in SIGNALS]
    cases += [(signal, column) for signal in (DEPENDENT[:1] if small else DEPENDENT) for column in (ROW, ENTITY)]
    parts = in_processes(intervals, [(*case, chunk) for case in cases for chunk in range(chunks)], small)
    found, parts = [], list(parts)
    for index, (signal, column) in enumerate(cases):
        some = parts[index * chunks : (index + 1) * chunks]
        estimate, error, low, high = (
            np.concatenate([getattr(part, name) for part in some]) for name in ("estimate", "error", "low", "high")
        )
        truth = signal.truth()
        covers = float(((low <= truth) & (truth <= high)).mean())
        ratio = float(np.sqrt((error**2).mean())) / float(estimate.std(ddof=1))
        print(
            f"{signal.levels:>6} {signal.entity_rows:>14} {column.name:>9} {truth:>9.6f} {estimate.mean():>9.6f} "
            f"{ratio:>9.2f} {covers:>9.3f}"
        )
        what = f"{signal.levels} levels, {signal.entity_rows} row(s) an entity, grouped by {column.name}: coverage"
        if signal.entity_rows == 1 or column is ENTITY:
            found.append(Check("3", what, covers, *widened(*COVERAGE, draws, WANTED)))
        else:
            found.append(Check("3", f"{what}, which should fail", covers, 0.0, FAILING))
    return found


def clustered_p_values(item: tuple[int, int, int]) -> np.ndarray:
    """Return p-values by rows and by users of a chunk of draws, shape (draws, 2)."""
    levels, groups, chunk = item
    random = np.random.default_rng((SEED, chunk))
    spec = target_counts(levels, ENTITY, groups)
    user = np.arange(ROWS) // ENTITY_ROWS
    found = []
    for _ in range(CHUNK):
        own, chance = random.integers(0, levels, user[-1] + 1), expit(random.normal(size=user[-1] + 1))
        x = np.where(random.random(ROWS) < OWN_LEVEL, own[user], random.integers(0, levels, ROWS))
        state = spec.summarize(numbered(batch_of(x=x, y=random.random(ROWS) < chance[user]), user))
        measures = (RankingMeasure(units=units) for units in (None, Units("user", ordered=False)))
        found.append([ranking(spec, state, measure)[0].column("p_value")[0].as_py() for measure in measures])
    return np.array(found)


def run_clusters(small: bool) -> list[Check]:
    """Print false-positive rates under clusters, and return the checks."""
    draws = SMALL_DRAWS if small else DRAWS
    users = ROWS // ENTITY_ROWS
    print(f"Rows clustered by user, X and Y independent, {users} users of {ENTITY_ROWS} rows, {draws:,} draws")
    print(f"{'levels':>6} {'groups':>6} {'rows: at .05':>13} {'clusters: at .05':>17} {'at .005':>8}")
    found = []
    for levels, groups in CLUSTERED[:1] if small else CLUSTERED:
        items = [(levels, groups, chunk) for chunk in range(draws // CHUNK)]
        p_values = np.concatenate(list(in_processes(clustered_p_values, items, small)))
        naive, deflated = (p_values <= 0.05).mean(axis=0)
        print(f"{levels:>6} {groups:>6} {naive:>13.3f} {deflated:>17.3f} {(p_values[:, 1] <= 0.005).mean():>8.3f}")
        if levels != CLUSTERED[0][0]:
            continue
        most = 0.10 + (3 * sqrt(0.1 * 0.9 / draws) if draws < WANTED else 0.0)
        found.append(Check("clusters", f"{groups} groups: rate at .05 by rows, which should fail", naive, 0.5, 1.0))
        found.append(Check("clusters", f"{groups} groups: rate at .05 by clusters", deflated, 0.0, most))
    return found
