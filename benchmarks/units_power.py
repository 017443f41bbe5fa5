"""Line power: how often a true effect is found, beside brute force and beside the null of rows where rows are right.

Brute force scores the table by its information. Against an effect by row it permutes the target within units; against
one of units it permutes whole units of the target. Both are exact here, as units have equally many rows, and each
knows where to look, which a ranking has to find out. Where units say nothing of the target, the null of rows is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import sqrt

import numpy as np
from calibration_checks import in_processes
from measured import Check, print_table
from scipy.special import xlogy
from units_drawn import SEED, Shape, classes_of, coded, counts, evidence, latent

from featflow.measures.information import mutual_information
from featflow.measures.permutation_null import ClassNull, null_test

LINE = "power"
DRAWS, SMALL_DRAWS = 400, 40
PERMUTATIONS = 199
NOMINAL = 0.05
LEAST_SHARE = {"brute force": {"row": 0.8, "unit": 0.8}, "rows": {"row": 0.8, "unit": 0.65}}
"""Share of the power of other tests that must be left, by where the column varies. If it is one of units, 30 of them
cannot show that rows of a unit are not alike, as the null of rows takes for granted: brute force falls behind, too."""
SHAPES = (Shape(30, 50), Shape(365, 20))
SPREADS = (0.0, 0.1, 0.5)
LEVELS = (2, 8)
TARGETS = ("50", "number")
TESTS = ("ranking", "brute force", "rows")


@dataclass(frozen=True)
class Effect:
    """One true effect."""

    shape: Shape
    kind: str
    """Where the column varies, and so where its effect is: row or unit."""
    spread: float
    """Share of the target's variance between units, but for the effect."""
    levels: int
    target: str

    @property
    def name(self) -> str:
        """What it is, in words."""
        return f"{self.shape}, spread {self.spread}, by {self.kind}, {self.levels} levels, target {self.target}"

    @property
    def size(self) -> float:
        """What a standard deviation of the column adds to the target, so that about two in three are found.

        A test of df degrees has a non-centrality of n r^2 for a correlation r, which two levels or classes lessen; of n
        units where the column is one of units, and the noise of their means.
        """
        classes = 16 if self.target == "number" else 2
        wanted = 2.4 + 2.4 * sqrt(2 * (self.levels - 1) * (classes - 1))
        kept = (1.0 if self.levels > 2 else 2 / np.pi) * (1.0 if classes > 2 else 2 / np.pi)
        if self.kind == "row":
            return sqrt((1 - self.spread) * wanted / (kept * self.shape.total))
        noise = self.spread + (1 - self.spread) / self.shape.rows
        return sqrt(noise * wanted / (kept * self.shape.units))


def effects(small: bool) -> Iterator[Effect]:
    """Yield all effects, or a few."""
    if small:
        yield from (Effect(SHAPES[0], *rest, 2, "50") for rest in (("row", 0.0), ("row", 0.5), ("unit", 0.5)))
        return
    for shape, kind, spread, levels, target in product(SHAPES, ("row", "unit"), SPREADS, LEVELS, TARGETS):
        yield Effect(shape, kind, spread, levels, target)


def measure(item: tuple[Effect, int]) -> tuple[float, float, float]:
    """Return the power of each of `TESTS`; NaN of the null of rows where rows of a unit are alike."""
    effect, draws = item
    random = np.random.default_rng((SEED, *effect.name.encode()))
    found = np.zeros((draws, len(TESTS)))
    for draw in range(draws):
        of_feature = latent(random, effect.shape, effect.kind, 0.0)
        of_target = latent(random, effect.shape, "mixed" if effect.spread else "row", effect.spread)
        x = coded(of_feature, effect.levels)
        y, classes = classes_of(of_target + effect.size * of_feature, effect.target)
        cells = (effect.levels, classes)
        ranked = evidence(x, y, cells, effect.shape, ordered=False, random=random).p_value
        found[draw] = ranked, brute_force(x, y, cells, effect, random), of_rows(counts(x, y, cells))
    power = np.where(np.isnan(found), 0.0, found <= NOMINAL).mean(axis=0)
    return float(power[0]), float(power[1]), float("nan") if effect.spread else float(power[2])


def brute_force(
    x: np.ndarray, y: np.ndarray, cells: tuple[int, int], effect: Effect, random: np.random.Generator
) -> float:
    """Return the p-value of the table's information over `PERMUTATIONS`."""
    by_unit = y.reshape(effect.shape.units, effect.shape.rows)

    def score(labels: np.ndarray) -> float:
        table = counts(x, labels.ravel(), cells)
        return float(xlogy(table, table).sum())  # margins stay, and with them the rest of the information

    permuted = [
        random.permuted(by_unit, axis=1) if effect.kind == "row" else by_unit[random.permutation(effect.shape.units)]
        for _ in range(PERMUTATIONS)
    ]
    observed = score(by_unit)
    return (1 + sum(score(labels) >= observed - 1e-9 for labels in permuted)) / (1 + PERMUTATIONS)


def of_rows(table: np.ndarray) -> float:
    """Return the p-value of the null of rows."""
    table = table[table.any(axis=1)][:, table.any(axis=0)]
    return null_test(mutual_information(table), [table.sum(axis=1)], [ClassNull(table.sum(axis=0))]).p_value


def checks(effect: Effect, powers: tuple[float, float, float], draws: int) -> Iterator[Check]:
    """Yield what must hold; few draws widen it by three binomial standard errors of a difference."""
    ranking, *others = powers
    for name, other in zip(TESTS[1:], others, strict=True):
        if other > 0:
            wide = 3 * sqrt(2 * other * (1 - other) / draws) / other if draws < DRAWS else 0.0
            yield Check(
                LINE,
                f"{effect.name}: share of the power of {name}",
                ranking / other,
                LEAST_SHARE[name][effect.kind] - wide,
                np.inf,
            )


def run(small: bool, draws: int | None) -> list[Check]:
    """Print the table and return the checks."""
    wanted = draws or (SMALL_DRAWS if small else DRAWS)
    items = [(effect, wanted) for effect in effects(small)]
    found = list(in_processes(measure, items, small))
    print(f"Share of {wanted} draws with p <= {NOMINAL}")
    rows = [
        [str(e.shape), e.spread, e.kind, e.levels, e.target, e.size, *powers]
        for (e, _), powers in zip(items, found, strict=True)
    ]
    print_table(("units x rows", "spread", "by", "levels", "target", "effect", *TESTS), rows)
    return [check for (effect, _), powers in zip(items, found, strict=True) for check in checks(effect, powers, wanted)]
