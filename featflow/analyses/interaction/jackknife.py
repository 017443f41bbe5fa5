"""Error bars and nulls of the interactions in the table, and a modelling strategy for each pair.

Sources: `featflow.measures.jackknife` for synergy and joint information, whose own estimates the table holds: rows that
depend on one another say more jointly by chance than independent ones, which the analytic mean does not know, and
leaving groups out does. For the joint, the null of
I(A;Y|B): permutations of the target within the levels of B
(`featflow.measures.permutation_null`), and the same with A and B swapped. The strategy is
that of OptInter (Lyu et al. 2022, ICDE): give a pair a code of its own where it
says more than its parts and has the rows to learn it, else leave it apart.
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from scipy.special import stdtr, stdtrit

from featflow.analyses.interaction.scores import top, without_constants
from featflow.analyses.interaction.tables import INTERACTION
from featflow.measures.conditional_information import conditional_moments
from featflow.measures.effective_rows import rounded, whole_rows
from featflow.measures.group_null import group_null
from featflow.measures.information import xlogx
from featflow.measures.jackknife import FEWEST_GROUPS, clipped, entropy_limit, error_bars
from featflow.measures.multiple_testing import false_discovery_rates, gamma_tail
from featflow.measures.null_interpolation import class_terms
from featflow.measures.options import UncertaintyOptions
from featflow.summaries.joint_counts import in_threads

__all__ = ["interaction_errors", "with_interaction_errors"]

LEVELS_AT_ONCE = 2**14
"""Levels of pairs whose expectations a thread looks up together: a look-up costs 40 us, however few they are."""
PAIRS_AT_ONCE = 32
"""Pairs whose nulls a thread makes in one call: fewer spend time in Python, more leave threads idle."""
ROWS_TO_MEMORISE = 10
"""Rows for each class of each occurring cross value, on average, from which a pair can be given a code of its own: with
fewer a model learns noise, and a higher limit leaves apart pairs that could be learnt."""
CHANCE = 0.5
"""Least standard error of synergy over the deviation that chance gives it. Of 300 draws of two levels a side without
synergy, intervals hold 0 in 84 % with 0, 99 % with 0.35; with 1, those of XOR grow from 95 % to 98 % of the truth."""
NO_VARIANCE = 1e-9
"""Variance of N times the information below which the null is one value: what rounding leaves."""


def interaction_errors(
    tables: list[np.ndarray], scale: float, confidence: float, *, units: bool = True
) -> dict[str, np.ndarray]:
    """Return estimates and error bars of synergy and p-values of the joint, each shape (pairs,).

    Parameters
    ----------
    tables
        Counts of every pair, missing targets left out, shape (groups, left levels, right levels, classes).
    scale
        Rows of equal weight that a unit of weight is worth; 1 without weights.
    confidence
        Level of the intervals.
    units
        Whether groups are of whole units, whose rows depend on one another; else of rows that do not.

    Returns
    -------
    dict
        corrected_joint_mi, synergy, standard_error, ci_low, ci_high, z, synergy_p_value, p_value, rows_a_value: rows
        for each class of each occurring cross value, and groups: how many have rows.
    """
    whole = [table.sum(axis=0) for table in tables]
    rows = tables[0].sum(axis=(1, 2, 3))
    with_rows, n = np.flatnonzero(rows), float(rows.sum()) * scale
    deletable = with_rows if len(with_rows) >= FEWEST_GROUPS else with_rows[:0]  # of one group nothing would be left
    corrected, joint, alone = _informations(tables, whole, deletable, scale)
    deleted = np.zeros((len(rows), *corrected.shape[1:]))
    deleted[deletable] = corrected[1:]
    bars = error_bars(corrected[0], deleted, rows, confidence)
    # The estimate has what rows that are alike leave in scores; where rows are not alike, it has noise of the grouping.
    (together, synergy), degrees = (bars.estimate if units else corrected[0]).T, bars.degrees
    plug_in = joint - alone[0] - alone[1]
    error = np.maximum(bars.standard_error[:, 1], _least_error(plug_in - corrected[0, :, 1], plug_in - synergy, n))
    half_width = stdtrit(max(degrees, 1), (1 + confidence) / 2) * error
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(error > 0, synergy / error, np.nan)
    most = entropy_limit(tables[0].sum(axis=(1, 2)), confidence)
    low, high = clipped(synergy - half_width, synergy + half_width, synergy, most, least=-most)
    swapped = [table.swapaxes(0, 1) for table in whole]
    sides = ((swapped, joint - alone[1]), (whole, joint - alone[0]))  # I(A;Y|B), whose strata are B's levels; I(B;Y|A)
    conditional = np.ones((2, len(tables)))

    def test_piece(piece: tuple[int, int]) -> None:
        side, some = piece[0], slice(piece[1], piece[1] + PAIRS_AT_ONCE)
        if units:
            conditional[side, some] = [_p_value_of_groups(table, side, scale) for table in tables[some]]
            return
        conditional[side, some] = _conditional_p_values(sides[side][0][some], sides[side][1][some], scale)

    in_threads(test_piece, product(range(2), range(0, len(tables), PAIRS_AT_ONCE)))
    occurring = [np.count_nonzero(table.sum(axis=2)) * np.count_nonzero(table.sum(axis=(0, 1))) for table in whole]
    return {
        "corrected_joint_mi": together,
        "synergy": synergy,
        "standard_error": error,
        "ci_low": low,
        "ci_high": high,
        "z": z,
        "synergy_p_value": 2 * stdtr(max(degrees, 1), -np.abs(z)),
        "p_value": conditional.max(axis=0),
        "groups": np.full(len(tables), len(with_rows)),
        "rows_a_value": n / np.maximum(occurring, 1),
    }


def with_interaction_errors(
    table: pa.Table, errors: dict[str, np.ndarray], options: UncertaintyOptions, pairs_tested: dict[str, int]
) -> pa.Table:
    """Return the interaction table with estimates, error bars, q-values over all pairs tested, strategies and ranks.

    Parameters
    ----------
    errors
        What `interaction_errors` gives, in the order of the table's rows.
    pairs_tested
        Number of pairs of each target, in the table or not.
    """
    columns: dict[str, object] = {name: table.column(name).to_pylist() for name in table.column_names}
    targets = np.array(columns["target"], dtype=object)
    q_values = np.full(len(table), np.nan)
    for target, pairs in pairs_tested.items():
        some = np.flatnonzero(targets == target)
        q_values[some] = false_discovery_rates(errors["p_value"][some], options.procedure, pairs)
    synergistic = (q_values <= options.false_discovery_rate) & (errors["ci_low"] > 0)
    learnable = errors["rows_a_value"] >= ROWS_TO_MEMORISE
    unknown = np.isnan(errors["ci_low"]) & (q_values <= options.false_discovery_rate)
    strategy = [
        "memorise" if more and rows else None if more or undecided else "naive"
        for more, rows, undecided in zip(synergistic, learnable, unknown, strict=True)
    ]
    known = {name: errors[name] for name in errors if name in table.column_names}
    return top(INTERACTION.build(columns | known | {"q_value": q_values, "strategy": strategy}), len(table))


def _least_error(expected: np.ndarray, bias: np.ndarray, n: float) -> np.ndarray:
    """Return the least standard error of synergy: `CHANCE` times that of chance alone, shape (pairs,).

    Where nothing is to be found synergy is a sum of squares, whose slope is 0 where they are: the jackknife's error is
    then next to 0 for the scores nearest their minimum, and of two levels a side, one interval in six missed 0.

    Parameters
    ----------
    expected
        Mean of plug-in synergy where rows are independent: half a chi-square over n, of standard deviation
        ``sqrt(expected / n)`` (Wilks 1938).
    bias
        The same as the jackknife finds it; rows that are alike multiply mean and deviation by one factor.
    n
        Rows.
    """
    some = np.maximum(expected, 0.0)
    factor = np.maximum(bias, some) / np.where(some > 0, some, 1.0)
    return np.asarray(np.where(some > 0, CHANCE * factor * np.sqrt(some / max(n, 1.0)), 0.0))


def _informations(
    tables: list[np.ndarray], whole: list[np.ndarray], groups: np.ndarray, scale: float
) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return corrected information of all rows and without each group, and plug-in information of all rows.

    Returns
    -------
    tuple
        Corrected joint information and synergy, shape (1 + groups, pairs, 2); plug-in joint information, shape
        (pairs,), and that of either side alone.
    """
    all_classes, without = whole[0].sum(axis=(0, 1)), tables[0][groups].sum(axis=(1, 2))
    classes = np.stack([whole_rows(row, scale) for row in np.concatenate([all_classes[None], all_classes - without])])
    terms = [class_terms(tuple(row)) if sum(row) else np.zeros_like for row in classes.tolist()]
    totals = classes.sum(axis=1)
    corrected, plug_in = np.empty((len(classes), len(tables), 2)), np.empty((len(tables), 3))
    levels = np.cumsum([table.shape[1] * table.shape[2] + sum(table.shape[1:3]) for table in tables])
    pieces = np.split(np.arange(len(tables)), np.flatnonzero(np.diff(levels // LEVELS_AT_ONCE)) + 1)

    def look(pairs: np.ndarray) -> None:
        found = [_plug_in(whole[pair], tables[pair][groups], totals) for pair in pairs]
        margins = np.concatenate([each.margins for each in found], axis=1)
        ends = np.cumsum([0, *(each.margins.shape[1] for each in found)])
        starts = np.concatenate([each.starts + end for each, end in zip(found, ends, strict=False)])
        expected = np.stack([term(row) for term, row in zip(terms, margins, strict=True)])
        expected = np.add.reduceat(expected, starts, axis=1) / np.maximum(totals, 1)[:, None]
        for place, (pair, each) in enumerate(zip(pairs, found, strict=True)):
            information = each.information - expected[:, 3 * place : 3 * place + 3]
            joint, left, right = without_constants(information, each.levels).T
            corrected[:, pair] = np.stack([joint, joint - left - right], axis=1)
            plug_in[pair] = without_constants(each.information[:1], each.levels[:1])[0]

    in_threads(look, pieces)
    return corrected, plug_in[:, 0], (plug_in[:, 1], plug_in[:, 2])


class _PlugIn(NamedTuple):
    """What one pair's counts say before chance is taken off: jointly, and of its left and right side alone."""

    information: np.ndarray
    """Plug-in information, shape (deletions, 3)."""
    margins: np.ndarray
    """Whole rows of every level of the three, shape (deletions, levels)."""
    starts: np.ndarray
    """First level of each of the three."""
    levels: np.ndarray
    """Levels with rows, shape (deletions, 3)."""


def _plug_in(all_rows: np.ndarray, groups: np.ndarray, totals: np.ndarray) -> _PlugIn:
    """Return what a pair's counts say of all rows, and without those of each group."""
    cells, starts = _joint_and_sides(np.concatenate([all_rows[None], all_rows - groups]))
    class_counts = np.add.reduceat(cells, starts, axis=2)[:, :, 1]  # (classes, deletions)
    margins = _class_sum(cells)
    information = np.add.reduceat(_class_sum(xlogx(cells)) - xlogx(margins), starts, axis=1)
    n = _class_sum(class_counts)
    information = np.maximum((information - (_class_sum(xlogx(class_counts)) - xlogx(n))[:, None]) / n[:, None], 0.0)
    occurring = np.add.reduceat(np.asarray(margins > 0, np.int64), starts, axis=1)
    return _PlugIn(information, _whole_margins(margins, starts, totals), starts, occurring)


def _joint_and_sides(tables: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return tables of cross values and of either side, level after level, and where each of the three starts.

    From shape (deletions, left levels, right levels, classes) to (classes, deletions, levels of the three).
    """
    by_class = np.ascontiguousarray(np.moveaxis(tables, 3, 0))
    _, deletions, left, right = by_class.shape
    shape = len(by_class), deletions, left * right
    views = by_class.reshape(shape), by_class.sum(axis=3), by_class.sum(axis=2)
    return np.concatenate(views, axis=2), np.array([0, left * right, left * right + left])


def _class_sum(array: np.ndarray) -> np.ndarray:
    """Return the sum over the first axis, class by class."""
    result: np.ndarray = array[0].copy()
    for values in array[1:]:
        result += values
    return result


def _whole_margins(margins: np.ndarray, starts: np.ndarray, totals: np.ndarray) -> np.ndarray:
    """Return margins in whole rows, each table's adding up to its total, shape of ``margins``: (deletions, levels)."""
    if margins.dtype.kind in "iu":
        return margins
    deletions, levels = margins.shape
    segment = np.searchsorted(starts, np.arange(levels), side="right") - 1
    blocks = np.arange(deletions)[:, None] * len(starts) + segment
    block_totals = np.repeat(totals, len(starts)).astype(np.float64)
    whole = rounded(margins.ravel(), blocks.ravel(), block_totals)
    return np.asarray(whole.reshape(margins.shape).astype(np.int64))


def _p_value_of_groups(table: np.ndarray, side: int, scale: float) -> float:
    """Return the p-value, on units, of what a side of a pair says within levels of the other; 1 where there is none."""
    p_value = group_null(table.swapaxes(1, 2) if side else table, scale).p_value
    return 1.0 if np.isnan(p_value) else p_value


def _conditional_p_values(tables: list[np.ndarray], observed: np.ndarray, scale: float) -> np.ndarray:
    """Return the p-value of the information in the second axis within levels of the first, shape (pairs,)."""
    mean, variance, rows = conditional_moments(tables, scale)
    p_values, some = np.ones(len(tables)), variance * rows**2 >= NO_VARIANCE
    p_values[some] = gamma_tail(observed[some], mean[some], variance[some])
    return p_values
