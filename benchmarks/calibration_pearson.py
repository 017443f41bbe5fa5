"""Line 3b: how often intervals of Pearson's and Spearman's correlation hold the truth.

A value is sqrt(v) times its entity's plus sqrt(1 - v) times its own, all standard normal and correlated alike, so that
is the truth whatever v. ``heavy`` rows are divided by a common sqrt(chi-square / 6): Student's t of 6 degrees, of the
same correlation.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import asin, pi, sqrt

import numpy as np
import pyarrow as pa
from calibration_checks import SEED, in_processes, widened
from measured import Check

from featflow.analyses.correlation.jackknife import moment_errors
from featflow.columns.binning import number_coding
from featflow.columns.codebook import NumberCoding
from featflow.columns.column import Column, Kind
from featflow.columns.jackknife_groups import JackknifeGroups
from featflow.summaries import ValueHistogramsSummarizer
from featflow.summaries.pair_moments_by_group import PairMomentsByGroupSummarizer, PairRankMomentsByGroupSummarizer

LINE = "3b"
DRAWS, SMALL_DRAWS, CHUNK = 1_000, 100, 50
WANTED = 300
ROWS, GROUPS, ENTITY_ROWS = 20_000, 32, 50
COVERAGE = (0.92, 0.98)
FAILING = 0.85
"""Coverage that rows taken for independent do not reach where they are not."""
DEGREES = 6
CELLS = 2**16
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
    ranks: bool = False
    """Spearman's in place of Pearson's."""

    @property
    def truth(self) -> float:
        """Return the true coefficient."""
        return 6 / pi * asin(self.correlation / 2) if self.ranks else self.correlation

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
    Case("independent rows", 0.0, ranks=True),
    Case("independent rows", 0.6, ranks=True),
    Case("entities of 50 rows", 0.6, 0.5, ranks=True),
    Case("entities of 50 rows", 0.6, 0.5, column=ENTITY, ranks=True),
)


def intervals(item: tuple[Case, int]) -> np.ndarray:
    """Return ends of the intervals of one chunk of draws, shape (draws, 2)."""
    case, chunk = item
    random = np.random.default_rng((SEED, CASES.index(case), chunk))
    groups = JackknifeGroups("value", (case.column,), GROUPS)
    found = []
    for _ in range(CHUNK):
        batch = case.draw(random)
        kind = PairRankMomentsByGroupSummarizer if case.ranks else PairMomentsByGroupSummarizer
        bars = moment_errors(kind((_codings(batch),), groups).summarize(batch), 0.95)
        found.append((float(bars.low[0]), float(bars.high[0])))
    return np.array(found)


def _codings(batch: pa.RecordBatch) -> tuple[NumberCoding, NumberCoding]:
    histograms = ValueHistogramsSummarizer((X, Y), CELLS).summarize(batch).histograms
    x, y = (number_coding(c, h.cells, h.counts, h.shift, (64, 16)) for c, h in zip((X, Y), histograms, strict=True))
    return x, y


def run(small: bool) -> list[Check]:
    """Print how often intervals hold the truth, and return the checks."""
    draws = SMALL_DRAWS if small else DRAWS
    print(f"95 % jackknife intervals of correlations, {ROWS:,} rows, {GROUPS} groups, {draws:,} draws")
    print(f"{'method':<8} {'rows':<20} {'groups by':>9} {'truth':>6} {'width':>7} {'covers':>7}")
    found = []
    for case in CASES:
        items = [(case, chunk) for chunk in range(draws // CHUNK)]
        low, high = np.concatenate(list(in_processes(intervals, items, small))).T
        covers = float(((low <= case.truth) & (case.truth <= high)).mean())
        method = "spearman" if case.ranks else "pearson"
        width = float((high - low).mean())
        print(f"{method:<8} {case.what:<20} {case.column.name:>9} {case.truth:>6.3f} {width:>7.4f} {covers:>7.3f}")
        what = f"{method}, {case.what}, {case.truth:.3f}, grouped by {case.column.name}: coverage"
        if case.entity_share and case.column is ROW:
            found.append(Check(LINE, f"{what}, which should fail", covers, 0.0, FAILING))
        else:
            found.append(Check(LINE, what, covers, *widened(*COVERAGE, draws, WANTED)))
    return found
