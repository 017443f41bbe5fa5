"""What a score is worth as evidence: its null on rows, on units that rows share, or on groups of units."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from featflow.analyses.ranking.strata_information import strata_information
from featflow.measures.effective_rows import whole_rows
from featflow.measures.group_null import group_null
from featflow.measures.information import mutual_information
from featflow.measures.permutation_null import ClassNull, NullTest, null_test
from featflow.measures.unit_null import unit_null
from featflow.measures.unit_order import follows_units
from featflow.measures.within_units import FEWEST_ROWS
from featflow.summaries.joint_counts import in_threads

__all__ = [
    "Evidence",
    "Units",
    "evidence_of_groups",
    "evidence_of_rows",
    "evidence_of_units",
    "strata_are_units",
    "tests_of_rows",
]


@dataclass(frozen=True)
class Units:
    """What rows share, and so what evidence counts."""

    name: str
    """What a unit is called: day, or a column."""
    ordered: bool
    """Whether units follow one another."""


@dataclass(frozen=True)
class Evidence:
    """The null of one score; numbers that a null does not have are NaN."""

    expected: float
    """Mean of the score under the null, nats."""
    std: float
    """Standard deviation of the score under the null, nats."""
    p_value: float
    """P(score >= observed) under the null."""
    method: str | None
    """How the p-value was found; None where there is none."""
    design_effect: float = nan
    """Mean of the null over that of rows."""
    within: float = nan
    """Information within units less its mean under the null, nats."""
    within_p: float = nan
    between: float = nan
    """Information between units less its mean under the null, nats."""
    between_p: float = nan
    units: float = nan
    """Units with rows of the target, where the feature is constant within them."""
    alerts: tuple[str, ...] = ()


def tests_of_rows(tables: Sequence[np.ndarray], scale: float, *, counted: bool) -> list[Callable[[float], NullTest]]:
    """Return, for each table, the test of a score on rows.

    Parameters
    ----------
    tables
        Counts or sums of weights, each shape (levels, strata, classes), of the same rows.
    scale
        Rows of equal weight that a unit of weight is worth; 1 without weights.
    counted
        Whether tables are of counts, or of equal weights.
    """
    classes = tables[0].sum(axis=0)
    strata = np.flatnonzero(classes.sum(axis=1) > 0)
    nulls = [ClassNull(whole_rows(classes[stratum], scale), counted=counted) for stratum in strata]
    margins = [
        [
            whole_rows(table[:, stratum].sum(axis=1), scale, null.total)
            for stratum, null in zip(strata, nulls, strict=True)
        ]
        for table in tables
    ]
    for index, null in enumerate(nulls):
        null.prepare(np.concatenate([feature_margins[index] for feature_margins in margins]))

    def test_of(some: list[np.ndarray]) -> Callable[[float], NullTest]:
        return lambda score: null_test(score, some, nulls)

    return [test_of(some) for some in margins]


def evidence_of_rows(
    tests: Sequence[Callable[[float], NullTest]], scores: np.ndarray, expected: np.ndarray
) -> list[Evidence]:
    """Return the evidence of scores where rows are independent; ``expected`` are their means under the null, nats."""
    found = [test(float(score)) for test, score in zip(tests, scores, strict=True)]
    return [Evidence(float(mean), t.std, t.p_value, t.method) for mean, t in zip(expected, found, strict=True)]


def evidence_of_units(
    tables: Sequence[np.ndarray],
    margins: Sequence[tuple[np.ndarray, np.ndarray]],
    groups: Sequence[np.ndarray],
    tests: Sequence[Callable[[float], NullTest]],
    expected: np.ndarray,
    units: Units,
) -> list[Evidence]:
    """Return the evidence of scores by what their units' margins say.

    Parameters
    ----------
    tables
        Counts, each shape (levels, 1, classes).
    margins
        Of each, rows of levels and of classes by unit, shapes (units, levels) and (units, classes).
    groups
        Of each, the pair code of every level; margins are of pair codes where fine ones would be too many.
    tests
        Of each, its test on rows.
    expected
        Means of the scores under the null of rows, nats.
    """
    found: dict[int, Evidence] = {}

    def look(index: int) -> None:
        table, mean = tables[index][:, 0], float(expected[index])
        if margins[index][0].shape[1] < len(table):
            found[index] = _of_pair_codes(table, margins[index], groups[index], tests[index], mean, units)
        else:
            found[index] = _of_units(table, margins[index], tests[index], mean, units)

    in_threads(look, range(len(tables)))
    return [found[index] for index in range(len(tables))]


def _of_pair_codes(
    table: np.ndarray,
    margins: tuple[np.ndarray, np.ndarray],
    groups: np.ndarray,
    test: Callable[[float], NullTest],
    expected: float,
    units: Units,
) -> Evidence:
    """Return the evidence of a table's pair codes, with the moments that fine levels have on rows, grown alike."""
    folded = np.zeros((margins[0].shape[1], 1, table.shape[1]), table.dtype)
    np.add.at(folded[:, 0], groups, table)
    folded_test, folded_expected = tests_of_rows([folded], 1.0, counted=True)[0], strata_information([folded], 1.0)[1]
    found = _of_units(folded[:, 0], margins, folded_test, float(folded_expected[0]), units)
    std = test(mutual_information(table)).std
    return replace(found, expected=expected * found.design_effect, std=std * found.design_effect)


def _of_units(
    table: np.ndarray,
    margins: tuple[np.ndarray, np.ndarray],
    test: Callable[[float], NullTest],
    expected: float,
    units: Units,
) -> Evidence:
    levels, classes = margins
    held, rows = int(np.count_nonzero(levels.any(axis=1))), int(table.sum())
    # Units of one row each are rows, unless they drift, and permutations within one unit of all rows are those of rows.
    if held == 1 or (held == rows and not units.ordered):
        of_rows = test(mutual_information(table))
        return Evidence(expected, of_rows.std, of_rows.p_value, of_rows.method, 1.0)
    null = unit_null(table, levels, classes, expected, lambda score: test(score).p_value, ordered=units.ordered)
    varied = int(np.count_nonzero(table.any(axis=1))) > 1
    constant = null.varies_within == 0 and varied and rows - held >= FEWEST_ROWS  # single rows cannot differ
    follows = varied and follows_units(levels, ordered=units.ordered)
    return Evidence(
        expected=null.expected,
        std=null.std,
        p_value=null.p_value,
        method=None if np.isnan(null.p_value) else "units",
        design_effect=null.design_effect,
        within=null.within,
        within_p=null.within_p,
        between=null.between,
        between_p=null.between_p,
        units=held if constant else nan,
        alerts=(f"constant_within:{units.name}",) * constant + (f"follows:{units.name}",) * follows,
    )


def evidence_of_groups(tables: Sequence[np.ndarray], scale: float, of_rows: Sequence[Evidence]) -> list[Evidence]:
    """Return the evidence of scores by groups of units.

    Parameters
    ----------
    tables
        Counts or sums of weights by group, each shape (groups, levels, strata, classes).
    scale
        Rows of equal weight that a unit of weight is worth; 1 without weights.
    of_rows
        Evidence of the same scores were rows independent.
    """
    found = []
    for table, rows in zip(tables, of_rows, strict=True):
        null = group_null(table, scale)
        grown = null.design_effect if null.design_effect > 0 else 1.0
        method = None if np.isnan(null.p_value) else "groups"
        found.append(Evidence(rows.expected * grown, rows.std * grown, null.p_value, method, null.design_effect))
    return found


def strata_are_units(table: np.ndarray) -> bool:
    """Return whether there are several strata, each of rows of one group: groups then have nothing in common.

    Parameters
    ----------
    table
        Counts or sums of weights by group, shape (groups, levels, strata, classes).
    """
    groups = np.count_nonzero(table.sum(axis=(1, 3)), axis=0)
    return int(np.count_nonzero(groups)) > 1 and int(groups.max()) == 1
