"""Line 3b: how often intervals of Pearson's correlation hold the truth.

A value is sqrt(v) times its entity's plus sqrt(1 - v) times its own, all standard normal and correlated alike, so that
is the truth whatever v. ``heavy`` rows are divided by a common sqrt(chi-square / 6): Student's t of 6 degrees, of the
same correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np
import pyarrow as pa
from calibration_checks import SEED, in_processes, widened
from measured import Check

from featflow.analyses.correlation.jackknife import moment_errors
from featflow.columns.binning import number_coding
from featflow.columns.column import Column, Kind
from featflow.columns.jackknife_groups import JackknifeGroups
from featflow.columns.sort_keys import sortable_keys
from featflow.summaries.pair_moments_by_group import PairMomentsByGroupSummarizer

LINE = "3b"
DRAWS, SMALL_DRAWS, CHUNK = 1_000, 100, 50
WANTED = 300
ROWS, GROUPS, ENTITY_ROWS = 20_000, 32, 50
COVERAGE = (0.92, 0.98)
FAILING = 0.85
"""Coverage that rows taken for independent do not reach where they are not."""
DEGREES = 6
X, Y, ROW, ENTITY = (Column(name, "float64", Kind.NUMBER) for name in ("x", "y", "row", "entity"))


@dataclass(frozen=True)
class Case:
    """Two numbers, and by what their rows are grouped."""

    what: str
    correlation: float
    entity_share: float = 0.0
    """v: variance that rows of an entity have in common."""
    heavy: bool = False
    column: Column = ROW

    def draw(self, random: np.random.Generator) -> pa.RecordBatch:
        """Return rows."""
        entity = np.arange(ROWS) // ENTITY_ROWS
        own, common = (self._pair(random, n) for n in (ROWS, int(entity[-1]) + 1))
        values = sqrt(1 - self.entity_share) * own + sqrt(self.entity_share) * common[:, entity]
        if self.heavy:
            values /= np.sqrt(random.chisquare(DEGREES, ROWS) / DEGREES)
        columns = {"x": values[0], "y": values[1], "row": np.arange(ROWS, dtype=float), "entity": entity.astype(float)}
        return pa.record_batch(columns)

    def _pair(self, random: np.random.Generator, n: int) -> np.ndarray:
        x, y = random.normal(size=(2, n))
        return np.stack([x, self.correlation * x + sqrt(1 - self.correlation**2) * y])


CASES = (
    Case("independent rows", 0.0),
    Case("independent rows", 0.6),
    Case("independent rows", 0.95),
    Case("heavy tails", 0.6, heavy=True),
    Case("entities of 50 rows", 0.6, 0.5),
    Case("entities of 50 rows", 0.6, 0.5, column=ENTITY),
)


def intervals(item: tuple[Case, int]) -> np.ndarray:
    """Return ends of the intervals of one chunk of draws, shape (draws, 2)."""
    case, chunk = item
    random = np.random.default_rng((SEED, CASES.index(case), chunk))
    x, y = (number_coding(column, sortable_keys(np.zeros(1)), np.array([1]), 0, (64, 16)) for column in (X, Y))
    spec = PairMomentsByGroupSummarizer(((x, y),), JackknifeGroups("value", (case.column,), GROUPS))
    found = []
    for _ in range(CHUNK):
        bars = moment_errors(spec.summarize(case.draw(random)), 0.95)
        found.append((float(bars.low[0]), float(bars.high[0])))
    return np.array(found)


def run(small: bool) -> list[Check]:
    """Print how often intervals hold the truth, and return the checks."""
    draws = SMALL_DRAWS if small else DRAWS
    print(f"95 % jackknife intervals of Pearson's correlation, {ROWS:,} rows, {GROUPS} groups, {draws:,} draws")
    print(f"{'rows':<20} {'groups by':>9} {'truth':>6} {'width':>7} {'covers':>7}")
    found = []
    for case in CASES:
        items = [(case, chunk) for chunk in range(draws // CHUNK)]
        low, high = np.concatenate(list(in_processes(intervals, items, small))).T
        covers = float(((low <= case.correlation) & (case.correlation <= high)).mean())
        width = float((high - low).mean())
        print(f"{case.what:<20} {case.column.name:>9} {case.correlation:>6} {width:>7.4f} {covers:>7.3f}")
        what = f"{case.what}, correlation {case.correlation}, grouped by {case.column.name}: coverage"
        if case.entity_share and case.column is ROW:
            found.append(Check(LINE, f"{what}, which should fail", covers, 0.0, FAILING))
        else:
            found.append(Check(LINE, what, covers, *widened(*COVERAGE, draws, WANTED)))
    return found
