"""Lines 3c and 4: intervals of synergy, S = I(AB;Y) - I(A;Y) - I(B;Y).

Truth is worked out, not simulated: A and B have four equally frequent levels a, b evenly spaced over [-1, 1]; B is A in
a share c of the rows and independent of it in the others; P(Y = 1 | a, b) = expit(s (a + b) + t a b). So every term is
a sum over sixteen cells. A logit that is additive, t = 0, is so in nats for small s only: I(AB;Y) - I(A;Y) - I(B;Y)
grows as s^4, and it is its true value that intervals should hold. XOR of two fair bits has ln 2.

Units are alike: all rows of one have its levels of A, and of B where the pair says so, and the logit of all gets a
standard normal times u, over which P(Y = 1 | a, b) is the mean (Gauss-Hermite quadrature). Groups are of units. The
estimate in the table lies in its interval in every draw.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from calibration_checks import SEED, in_processes, widened
from measured import Check
from scipy.special import entr, expit

from featflow.analyses.interaction.jackknife import interaction_errors
from featflow.measures.information import mutual_information
from featflow.measures.permutation_null import ClassNull, null_test

DRAWS, SMALL_DRAWS, CHUNK = 1_000, 50, 50
WANTED = 300
ROWS, GROUPS, LEVELS = 20_000, 32, 4
COVERAGE = (0.92, 0.98)


@dataclass(frozen=True)
class Pair:
    """Two features and how the odds follow them."""

    line: str
    what: str
    alone: float
    """s: how much each says alone."""
    together: float
    """t: how much only both say."""
    copied: float = 0.0
    """c: share of rows in which B is A."""
    unit_rows: int = 1
    """Rows of a unit."""
    units_have: tuple[str, ...] = ()
    """Features of which all rows of a unit have one level."""
    spread: float = 0.0
    """u: standard deviation of a unit's own logit."""

    def logits(self) -> np.ndarray:
        """Return the logit at a and b but for the unit's own, shape (LEVELS, LEVELS)."""
        a = np.linspace(-1.0, 1.0, LEVELS)
        return np.asarray(self.alone * (a[:, None] + a) + self.together * a[:, None] * a)

    def chances(self) -> np.ndarray:
        """Return P(Y = 1 | a, b), shape (LEVELS, LEVELS)."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(80)
        return np.asarray(expit(self.logits()[..., None] + self.spread * nodes) @ (weights / weights.sum()))

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Return unit, a, b and y of every row."""
        unit = np.arange(ROWS) // self.unit_rows
        units = int(unit[-1]) + 1
        a, b = (
            random.integers(0, LEVELS, units)[unit] if name in self.units_have else random.integers(0, LEVELS, ROWS)
            for name in "ab"
        )
        b = np.where(random.random(ROWS) < self.copied, a, b)
        logits = self.logits()[a, b] + (self.spread * random.normal(size=units))[unit]
        return unit, a, b, random.random(ROWS) < expit(logits)


@dataclass(frozen=True)
class Xor:
    """Two fair bits and whether they differ."""

    line: str = "4"
    what: str = "XOR of two fair bits"
    copied: float = 0.0

    def chances(self) -> np.ndarray:
        """Return P(Y = 1 | a, b), shape (2, 2)."""
        return np.array([[0.0, 1.0], [1.0, 0.0]])

    def draw(self, random: np.random.Generator) -> tuple[np.ndarray, ...]:
        """Return unit, a, b and y of every row."""
        a, b = random.integers(0, 2, (2, ROWS))
        return np.arange(ROWS), a, b, a != b


@dataclass(frozen=True)
class Intervals:
    """Of many draws, shape (draws,) each."""

    estimate: np.ndarray
    low: np.ndarray
    high: np.ndarray
    p_value: np.ndarray
    """Of the joint beyond either side."""
    left_p_value: np.ndarray
    """Of A alone."""
    right_p_value: np.ndarray


PAIRS = (
    Pair("3c", "synergy", 0.5, 1.5),
    Pair("3c", "redundancy", 0.5, 0.0, 0.7),
    Pair("3c", "additive logit, s = 1.5", 1.5, 0.0),
    Pair("3c", "additive logit, s = 0.5", 0.5, 0.0),
    Pair("3c", "synergy, A by unit", 0.5, 1.5, 0.0, 50, ("a",), 1.0),
    Pair("3c", "synergy, A and B by unit", 0.5, 1.5, 0.0, 50, ("a", "b"), 1.0),
    Pair("4", "additive logit, s = 0.25", 0.25, 0.0),
    Pair("4", "nothing, A and B by unit", 0.0, 0.0, 0.0, 50, ("a", "b"), 1.0),
    Xor(),
)


def synergy(pair: Pair | Xor) -> float:
    """Return the true synergy."""
    chances = pair.chances()
    share = np.full(chances.shape, (1 - pair.copied) / chances.size) + pair.copied * np.eye(len(chances)) / len(chances)
    whole = _coin((share * chances).sum())

    def said(axis: int | None) -> float:
        kept = share if axis is None else share.sum(axis=axis)
        positive = share * chances if axis is None else (share * chances).sum(axis=axis)
        return float(whole - (kept * _coin(positive / kept)).sum())

    return said(None) - said(0) - said(1)


def _coin(p: np.ndarray) -> np.ndarray:
    return np.asarray(entr(p) + entr(1 - p))


def intervals(item: tuple[Pair | Xor, int]) -> Intervals:
    """Return the intervals of one chunk of draws."""
    pair, chunk = item
    random = np.random.default_rng((SEED, PAIRS.index(pair), chunk))
    chances = pair.chances()
    shape = (GROUPS, *chances.shape, 2)
    found = []
    for _ in range(CHUNK):
        unit, a, b, y = pair.draw(random)
        cells = np.ravel_multi_index((unit % GROUPS, a, b, y.astype(np.int64)), shape)
        table = np.bincount(cells, minlength=int(np.prod(shape))).reshape(shape)
        errors = interaction_errors([table], 1.0, 0.95)
        whole = table.sum(axis=0)
        alone = [_p_value(whole.sum(axis=axis)) for axis in (1, 0)]
        found.append([*(float(errors[name][0]) for name in ("synergy", "ci_low", "ci_high", "p_value")), *alone])
    return Intervals(*np.array(found).T)


def _p_value(table: np.ndarray) -> float:
    return null_test(mutual_information(table), [table.sum(axis=1)], [ClassNull(table.sum(axis=0))]).p_value


def run(line: str, small: bool) -> list[Check]:
    """Print how often intervals hold the truth, and 0, and return the checks."""
    draws = SMALL_DRAWS if small else DRAWS
    print(f"95 % jackknife intervals of synergy, {ROWS:,} rows, {GROUPS} groups, {draws:,} draws")
    print("joint, A alone, B alone: share of draws with p <= .05")
    names = " ".join(f"{name:>9}" for name in ("truth", "covers", "covers 0", "joint", "A alone", "B alone"))
    print(f"{'pair':<31} {names}")
    found = []
    for pair in (pair for pair in PAIRS if pair.line == line):
        parts = list(in_processes(intervals, [(pair, chunk) for chunk in range(draws // CHUNK)], small))
        estimate, low, high, joint, left, right = (
            np.concatenate([getattr(part, name) for part in parts])
            for name in ("estimate", "low", "high", "p_value", "left_p_value", "right_p_value")
        )
        truth = synergy(pair)
        covers, zero = (float(((low <= value) & (value <= high)).mean()) for value in (truth, 0.0))
        rates = [float((p_values <= 0.05).mean()) for p_values in (joint, left, right)]
        print(f"{pair.what:<31} {truth:>9.6f} {covers:>9.3f} {zero:>9.3f} " + " ".join(f"{x:>9.3f}" for x in rates))
        limits = widened(COVERAGE[0], COVERAGE[1] if line == "3c" else 1.0, draws, WANTED)
        found.append(Check(line, f"{pair.what}: coverage of the truth", covers, *limits))
        inside = float(((low <= estimate) & (estimate <= high)).mean())
        found.append(Check(line, f"{pair.what}: estimates in their intervals", inside, 1.0, 1.0))
        if isinstance(pair, Xor):
            found += [
                Check(line, f"{pair.what}: one bit alone, rate at .05", rate, *widened(0.03, 0.07, draws, WANTED))
                for rate in rates[1:]
            ]
        elif line == "4":
            found.append(Check(line, f"{pair.what}: coverage of 0", zero, *limits))
    return found
