"""Line levels: how often columns that say nothing have a small p-value, over units, rows a unit and where both vary.

Feature and target are drawn independently of one another; the p-value is the one that a ranking would give. Where it
has none, because rows are too few or the null has one value only, the draw counts as null and not as a rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import sqrt

import numpy as np
from calibration_checks import in_processes, widened
from measured import Check, print_table
from units_drawn import MOST_KEPT, SEED, Shape, classes_of, coded, evidence, latent

LINE = "levels"
DRAWS, SMALL_DRAWS = 1_000, 200
NOMINAL = 0.05
LIMITS = (0.02, 0.08)
FEWEST_DRAWS = 50
"""Draws with a p-value below which a rate says nothing."""
DENSE = 5.0
"""Rows that the smallest cell of a table must expect (Cochran 1954), below which a p-value may only be too large."""
SHAPES = tuple(Shape(units, rows) for units in (30, 365, 5_000, 100_000) for rows in (2, 50, 200))
MOST_ROWS = 2_000_000
KINDS = ("row", "unit", "mixed", "ar")
SPREADS = (0.0, 0.1, 0.5)
LEVELS = (2, 30, 1_000)
TARGETS = ("3", "50", "number")


@dataclass(frozen=True)
class Cell:
    """One kind of noise."""

    shape: Shape
    spread: float
    """Share of the target's variance between units."""
    kind: str
    """Where the column varies; `latent` has the words."""
    levels: int
    target: str

    @property
    def ordered(self) -> bool:
        """Whether units are days."""
        return self.kind == "ar"

    @property
    def name(self) -> str:
        """What it is, in words."""
        target = "number" if self.target == "number" else f"{self.target} %"
        return f"{self.shape}, spread {self.spread}, by {self.kind}, {self.levels} levels, {target}"

    @property
    def dense(self) -> bool:
        """Whether the smallest cell expects `DENSE` rows, or units where the column is constant within them."""
        class_share = 1 / 16 if self.target == "number" else float(self.target) / 100
        held = self.shape.units if self.kind in {"unit", "ar"} else self.shape.total
        return held * class_share / self.levels >= DENSE


@dataclass(frozen=True)
class Measured:
    """What the draws say."""

    rate: float
    """Share of p-values of at most `NOMINAL`; NaN where there are none."""
    known: int
    """Draws with a p-value."""
    draws: int
    effect: float
    """Mean of the design effect."""
    centre: float
    """Mean of information less its mean under the null, in standard errors of the draws; NaN of groups."""


def cells(small: bool) -> Iterator[Cell]:
    """Yield all kinds of noise, or some that take little."""
    if small:
        little = Shape(30, 50)
        yield from (Cell(little, 0.5, kind, 2, "50") for kind in KINDS)
        yield from (Cell(little, 0.1, kind, 30, "50") for kind in ("row", "mixed", "unit"))
        yield from (Cell(little, spread, "row", 2, "number") for spread in (0.0, 0.5))
        yield from (Cell(Shape(2_500, 2), 0.5, kind, 2, "50") for kind in ("row", "unit", "mixed"))
        return
    for shape, spread, kind, levels, target in product(SHAPES, SPREADS, KINDS, LEVELS, TARGETS):
        same = kind == "mixed" and spread == 0.0  # that is by row
        unknown = kind == "ar" and shape.units > MOST_KEPT  # a ranking gives days beyond those it keeps no p-value
        if shape.total <= MOST_ROWS and not same and not unknown:
            yield Cell(shape, spread, kind, levels, target)


def measure(item: tuple[Cell, int]) -> Measured:
    """Draw and test."""
    cell, draws = item
    random = np.random.default_rng((SEED, *cell.name.encode()))
    p_values, effects, corrected = np.zeros(draws), np.zeros(draws), np.zeros(draws)
    target_kind = "row" if cell.spread == 0 else "armixed" if cell.ordered else "mixed"
    for draw in range(draws):
        x = coded(latent(random, cell.shape, cell.kind, cell.spread), cell.levels)
        y, classes = classes_of(latent(random, cell.shape, target_kind, cell.spread), cell.target)
        found = evidence(x, y, (cell.levels, classes), cell.shape, ordered=cell.ordered, random=random)
        p_values[draw], effects[draw] = found.p_value, found.design_effect
        corrected[draw] = found.within + found.between
    known = p_values[~np.isnan(p_values)]
    error = float(corrected.std(ddof=1)) / sqrt(draws)
    return Measured(
        float((known <= NOMINAL).mean()) if len(known) else float("nan"),
        len(known),
        draws,
        float(np.nanmean(effects)) if not np.isnan(effects).all() else float("nan"),
        float(corrected.mean()) / error if error > 0 else float("nan"),
    )


def checks(cell: Cell, found: Measured) -> Iterator[Check]:
    """Yield what must hold: too small a p-value nowhere, too large a one where tables are dense."""
    if found.known >= FEWEST_DRAWS:
        low, high = widened(*LIMITS, found.known, DRAWS)
        yield Check(LINE, f"{cell.name}: rate at {NOMINAL}", found.rate, low if cell.dense else 0.0, high)


def row(cell: Cell, found: Measured) -> list[object]:
    """Return a line of the table."""
    failed = not all(check.passed for check in checks(cell, found))
    return [
        str(cell.shape),
        cell.spread,
        cell.kind,
        cell.levels,
        cell.target,
        "null" if not found.known else f"{found.rate:.3f}",
        f"{1 - found.known / found.draws:.2f}",
        found.effect,
        found.centre,
        "fails" if failed else "",
    ]


HEADER = ("units x rows", "spread", "by", "levels", "target", "rate", "null", "effect", "centre", "")


def run(small: bool, draws: int | None) -> list[Check]:
    """Print the table and return the checks."""
    wanted = draws or (SMALL_DRAWS if small else DRAWS)
    items = [(cell, wanted) for cell in cells(small)]
    found = list(in_processes(measure, items, small))
    print(f"False-positive rates at {NOMINAL} over {wanted:,} draws; null is the share of draws without a p-value")
    print_table(HEADER, [row(cell, measured) for (cell, _), measured in zip(items, found, strict=True)])
    return [check for (cell, _), measured in zip(items, found, strict=True) for check in checks(cell, measured)]
