"""What the lines of units.py share: columns whose rows come in units, and the p-values that a ranking gives them."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

import numpy as np

from featflow.analyses.ranking.evidence import (
    Evidence,
    Units,
    evidence_of_groups,
    evidence_of_rows,
    evidence_of_units,
    tests_of_rows,
)
from featflow.measures.information import corrected_mutual_information

SEED = 20260401
GROUPS = 32
MOST_KEPT = 1_024
"""Units beyond which the lines compare groups of units, as a ranking does of more than it keeps."""
AUTOCORRELATION = 0.9
STATIONARY_AFTER = 200
"""Steps of an autoregression that are thrown away: .9^200 of the start is left."""
CLASSES = 16


@dataclass(frozen=True)
class Shape:
    """Units of equally many rows."""

    units: int
    rows: int
    """Rows a unit."""

    def __str__(self) -> str:
        """Return units x rows."""
        return f"{self.units:,} x {self.rows}"

    @property
    def total(self) -> int:
        """Rows in all."""
        return self.units * self.rows

    @property
    def unit(self) -> np.ndarray:
        """The unit of every row, shape (rows,)."""
        return np.repeat(np.arange(self.units), self.rows)


def latent(random: np.random.Generator, shape: Shape, kind: str, share: float) -> np.ndarray:
    """Return standard normal values of all rows, shape (rows,).

    Parameters
    ----------
    kind
        row; unit, one value each; mixed; or ar, one value each that follows the one before.
    share
        Share of the variance that lies between units, of mixed; an ar part takes it with ``kind`` armixed.
    """
    if kind == "row":
        return random.standard_normal(shape.total)
    of_units = autoregression(random, shape.units) if kind.startswith("ar") else random.standard_normal(shape.units)
    between = np.repeat(of_units, shape.rows)
    if kind in {"unit", "ar"}:
        return between
    return np.asarray(sqrt(share) * between + sqrt(1 - share) * random.standard_normal(shape.total))


def autoregression(random: np.random.Generator, steps: int) -> np.ndarray:
    """Return a stationary series of variance 1 whose neighbours correlate by `AUTOCORRELATION`, shape (steps,)."""
    values = random.standard_normal(steps + STATIONARY_AFTER)
    for step in range(1, len(values)):
        fresh = sqrt(1 - AUTOCORRELATION**2) * values[step]
        values[step] = AUTOCORRELATION * values[step - 1] + fresh
    return values[STATIONARY_AFTER:]


def coded(values: np.ndarray, levels: int) -> np.ndarray:
    """Return the levels of values, as even as their ties allow, shape of ``values``."""
    ordered = np.sort(values)
    cuts = ordered[np.arange(1, levels) * len(ordered) // levels]
    return np.searchsorted(cuts, values, side="right")


def classes_of(values: np.ndarray, target: str) -> tuple[np.ndarray, int]:
    """Return the classes of a target's values, and how many there are: ``number``, or a share of positives in %."""
    if target == "number":
        return coded(values, CLASSES), CLASSES
    cut = np.sort(values)[int(len(values) * (1 - float(target) / 100))]
    return (values >= cut).astype(np.int64), 2


def counts(first: np.ndarray, second: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return the table of two columns of numbers, of a shape."""
    return np.bincount(first * shape[1] + second, minlength=shape[0] * shape[1]).reshape(shape)


def evidence(
    x: np.ndarray, y: np.ndarray, cells: tuple[int, int], shape: Shape, *, ordered: bool, random: np.random.Generator
) -> Evidence:
    """Return what a ranking says of a column of levels and a target of classes.

    Parameters
    ----------
    cells
        Levels and classes that there may be.
    ordered
        Whether units are days.
    random
        Spreads units over groups, where there are too many to keep.
    """
    table, unit = counts(x, y, cells), shape.unit
    tests = tests_of_rows([table[:, None]], 1.0, counted=True)
    mi, expected = corrected_mutual_information(table[table.any(axis=1)][:, table.any(axis=0)])
    if shape.units > MOST_KEPT:
        group = random.integers(0, GROUPS, shape.units)[unit]
        by_group = counts(group * cells[0] + x, y, (GROUPS * cells[0], cells[1])).reshape(GROUPS, cells[0], 1, cells[1])
        of_rows = evidence_of_rows(tests, np.array([mi]), np.array([expected]))
        return evidence_of_groups([by_group], 1.0, of_rows)[0]
    margins = counts(unit, x, (shape.units, cells[0])), counts(unit, y, (shape.units, cells[1]))
    levels = [np.arange(cells[0])]
    units = Units("day" if ordered else "user", ordered)
    return evidence_of_units([table[:, None]], [margins], levels, tests, np.array([expected]), units)[0]
