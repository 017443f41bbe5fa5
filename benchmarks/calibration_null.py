"""Line 1: false-positive rates under permuted rows, and the time that a null's moments take.

The oracle is the permutation itself: labels are shuffled against fixed levels and counted, and none of the library's
formulas takes part. Where the library enumerates all tables, the p-value is that of the multivariate hypergeometric
distribution, computed here, which the library's must equal.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import sqrt

import numpy as np
from calibration_checks import SEED, in_processes, widened
from measured import NO_LIMIT, Check
from scipy import stats
from scipy.special import xlogy

from featflow.measures.monte_carlo_null import sampled_null
from featflow.measures.multiple_testing import gamma_tail
from featflow.measures.permutation_null import FEWEST_BEYOND, ClassNull, null_test

LINE = "1"
DRAWS, SMALL_DRAWS = 2_000, 300
SHORT, LONG = 16_384, 1_000_000
NOMINAL = (0.05, 0.005)
LIMITS = {"many positives": ((0.03, 0.07), (0.001, 0.012)), "few positives": ((0.02, 0.08), (0.001, 0.012))}
FEW_POSITIVES = 50
COMPARED = {"exact": 20, "monte_carlo": 20, "gamma": 1, "degenerate": 1}
"""Draws whose p-value, computed here for all at once, is taken from the library's test too."""
SAME = 1e-12
"""Scores that differ by less are one."""
MOST_SECONDS = 2.0
SHAPES = {"uniform": 0.0, "zipf": 1.0}
"""Exponent of the level's rank in its share."""


@dataclass(frozen=True)
class Null:
    """One table of margins, permuted."""

    rows: int
    levels: int
    shape: str
    classes: int
    positives: int | None
    """Rows of the second of two classes; balanced classes if None."""
    draws: int

    @property
    def name(self) -> str:
        """What it is, in words."""
        said = f"{self.classes} classes" if self.positives is None else f"{self.positives} positives"
        return f"{self.rows:>9,} rows  {self.levels:>7,} {self.shape:<7}  {said:<13}"

    def margins(self) -> tuple[np.ndarray, np.ndarray]:
        """Return rows of every level seen, and of every class."""
        random = np.random.default_rng((SEED, self.rows, self.levels, len(self.shape)))
        share = np.arange(1, self.levels + 1) ** -SHAPES[self.shape]
        rows = random.multinomial(self.rows, share / share.sum())
        if self.levels == self.rows:
            rows = np.ones(self.rows, np.int64)
        if self.positives is None:
            return rows[rows > 0], np.bincount(np.arange(self.rows) % self.classes)
        return rows[rows > 0], np.array([self.rows - self.positives, self.positives])


@dataclass(frozen=True)
class Measured:
    """What the draws of a null say."""

    mean_ratio: float
    """The library's mean of the null by that of the draws."""
    mean_distance: float
    """Their distance in standard errors of the draws."""
    std_ratio: float
    method: str
    rates: tuple[float, float]
    """Share of draws with a p-value of at most each nominal rate."""
    g_test: float
    """The same of the likelihood-ratio test at the first nominal rate."""
    largest_error: float
    """Largest difference of a p-value here from that of the library's test."""


def nulls(small: bool) -> list[Null]:
    """Return all margins looked at."""
    draws = SMALL_DRAWS if small else DRAWS
    classes = [(2, None), (20, None), (2, 20)] if small else [(2, None), (5, None), (20, None), (2, 200), (2, 20)]
    levels = [(SHORT, n) for n in ((2, 5, 30, 1_000) if small else (2, 5, 30, 1_000, 10_000, SHORT))]
    levels += [] if small else [(LONG, n) for n in (30, 1_000, 100_000)]
    return [
        Null(rows, n, shape, *of, draws)
        for (rows, n), shape, of in product(levels, SHAPES, classes)
        if n < rows or shape == "uniform"
    ]


def measure(null: Null) -> Measured:
    """Permute, score and test."""
    rows, classes = null.margins()
    scores = permuted(rows, classes, null)
    moments = ClassNull(classes)
    first = null_test(float(scores[0]), [rows], [moments])
    drawn = sampled_null(rows, classes) if first.method in {"gamma", "monte_carlo"} else None
    method = first.method if drawn is None else "monte_carlo"
    p_values = np.ones(null.draws)
    if method == "exact":
        p_values = enumerated(rows, classes, scores)
    elif method != "degenerate":
        p_values = gamma_tail(scores, np.array(first.mean), np.array(first.std**2))
    if drawn is not None:
        beyond = len(drawn) - np.searchsorted(np.sort(drawn), scores - SAME)
        p_values = np.where(beyond >= FEWEST_BEYOND, (beyond + 1) / (len(drawn) + 1), p_values)
    some = np.argsort(p_values)[:: max(null.draws // COMPARED[method], 1)]
    error = max(abs(null_test(float(scores[i]), [rows], [moments]).p_value - p_values[i]) for i in some)
    spread = float(scores.std(ddof=1))
    g_test = stats.chi2.sf(2 * null.rows * scores, (len(rows) - 1) * (len(classes) - 1))
    return Measured(
        first.mean / float(scores.mean()),
        abs(first.mean - float(scores.mean())) / (spread / sqrt(null.draws)) if first.std else 0.0,
        first.std / spread if first.std else float("nan"),
        method,
        tuple(float((p_values <= nominal).mean()) for nominal in NOMINAL),
        float((g_test <= NOMINAL[0]).mean()),
        error,
    )


def permuted(rows: np.ndarray, classes: np.ndarray, null: Null) -> np.ndarray:
    """Return plug-in information of every draw, shape (draws,)."""
    random = np.random.default_rng((SEED, null.rows, null.levels, len(null.shape), *classes.tolist()))
    first_cell = np.repeat(np.arange(len(rows), dtype=np.int32) * len(classes), rows)
    labels = np.repeat(np.arange(len(classes), dtype=np.int8), classes)
    cells = np.zeros(null.draws)
    for draw in range(null.draws):
        random.shuffle(labels)
        counts = np.bincount(first_cell + labels, minlength=len(rows) * len(classes))
        cells[draw] = xlogy(counts, counts).sum()
    constant = xlogy(rows, rows).sum() + xlogy(classes, classes).sum() - xlogy(null.rows, null.rows)
    return np.asarray((cells - constant) / null.rows)


def enumerated(rows: np.ndarray, classes: np.ndarray, observed: np.ndarray) -> np.ndarray:
    """Return the share of all permutations of two classes that score no less, shape of ``observed``."""
    positives = int(classes[1])
    free = np.indices((positives + 1,) * (len(rows) - 1)).reshape(len(rows) - 1, -1).T
    free = free[free.sum(axis=1) <= positives]
    cells = np.column_stack([free, positives - free.sum(axis=1)])
    cells = cells[(cells <= rows).all(axis=1)]
    p = stats.multivariate_hypergeom.pmf(cells, rows, positives)
    others, total = rows - cells, rows.sum()
    information = (xlogy(cells, cells) + xlogy(others, others) - xlogy(rows, rows)).sum(axis=1)
    information = (information - xlogy(classes, classes).sum() + xlogy(total, total)) / total
    order = np.argsort(information)
    at_least = np.append(np.cumsum(p[order][::-1])[::-1], 0.0)
    return np.minimum(at_least[np.searchsorted(information[order], observed - SAME)], 1.0)


def checks(null: Null, found: Measured) -> Iterator[Check]:
    """Yield what must hold."""
    yield Check(LINE, f"{null.name}  distance of means, standard errors", found.mean_distance, 0.0, 4.5)
    few = null.positives is not None and null.positives < FEW_POSITIVES
    for nominal, rate, limits in zip(
        NOMINAL, found.rates, LIMITS["few positives" if few else "many positives"], strict=True
    ):
        what = f"{null.name}  {found.method}: rate at {nominal}"
        if found.method in {"gamma", "monte_carlo"}:
            yield Check(LINE, what, rate, *widened(*limits, null.draws, DRAWS))
        else:  # a discrete test holds its level and no more; degenerate nulls have p = 1
            most = nominal + 3 * sqrt(nominal * (1 - nominal) / null.draws) if found.method == "exact" else 0.0
            yield Check(LINE, what, rate, 0.0, most)
    yield Check(LINE, f"{null.name}  {found.method}: largest error of p", found.largest_error, 0.0, 1e-9)


def moments_seconds(shape: str) -> float:
    """Return the best time of three for the moments of a million rows of 8,000 x 7,000 levels."""
    random = np.random.default_rng((SEED, len(shape)))
    levels, classes = (
        np.bincount(random.choice(n, LONG, p=(share := np.arange(1, n + 1) ** -SHAPES[shape]) / share.sum()))
        for n in (8_000, 7_000)
    )
    seconds = []
    for _ in range(3):
        began = time.process_time()
        ClassNull(classes).moments(levels)
        seconds.append(time.process_time() - began)
    return min(seconds)


def run(small: bool) -> list[Check]:
    """Print the tables and return the checks."""
    items = nulls(small)
    print(f"False-positive rates over {items[0].draws:,} permutations; E and sd are the null's by the draws'")
    print(f"{'null':<49}{'E':>7} {'sd':>6}  {'method':<11} {'at .05':>7} {'at .005':>7}   {'G-test .05':>10}")
    found = []
    for null, measured in zip(items, in_processes(measure, items, small), strict=True):
        figures = f"{measured.mean_ratio:>7.4f} {measured.std_ratio:>6.3f}  {measured.method:<11}"
        rates = f"{measured.rates[0]:>7.4f} {measured.rates[1]:>7.4f}   {measured.g_test:>10.4f}"
        found += checks(null, measured)
        failed = "" if all(check.passed for check in checks(null, measured)) else "  <- fails"
        print(f"{null.name}  {figures} {rates}{failed}", flush=True)
    for shape in SHAPES:
        seconds = moments_seconds(shape)
        most = NO_LIMIT if small else MOST_SECONDS
        print(f"moments of {LONG:,} rows of 8,000 x 7,000 {shape} levels: {seconds:.3f} s")
        found.append(Check(LINE, f"seconds for the moments of 8,000 x 7,000 {shape} levels", seconds, 0.0, most))
    return found
