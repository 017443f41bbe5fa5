"""Error bars and nulls of the interactions that the table keeps, and what to do with each pair.

Sources: `featflow.measures.jackknife` for synergy; for the joint, the null of
I(A;Y|B): permutations of the target within the levels of B
(`featflow.measures.null`), and the same with A and B swapped. The strategy is
that of OptInter (Lyu et al. 2022, ICDE): give a pair a code of its own where it
says more than its parts and has the rows to learn it, else leave it apart.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
from scipy import stats

from featflow.measures.information import stacked_information
from featflow.measures.jackknife import FEWEST_GROUPS, error_bars
from featflow.measures.null import stratum_moments
from featflow.measures.significance import false_discovery_rates, gamma_tail
from featflow.measures.weights import whole_rows
from featflow.options import UncertaintyOptions
from featflow.tables import build

__all__ = ["interaction_errors", "with_interaction_errors"]

ROWS_TO_MEMORISE = 10
"""Rows for each class of each occurring cross value from which a pair can be given a code of its own."""
NO_VARIANCE = 1e-9
"""Variance of N times the information below which the null is one value."""


def interaction_errors(tables: list[np.ndarray], scale: float, confidence: float) -> dict[str, np.ndarray]:
    """Return error bars of synergy and p-values of the joint, each shape (pairs,).

    Parameters
    ----------
    tables
        Counts of every pair, missing targets left out, shape (groups, left levels, right levels, classes).
    scale
        Rows of equal weight that a unit of weight is worth; 1 without weights.
    confidence
        Level of the intervals.

    Returns
    -------
    dict
        standard_error, ci_low, ci_high, z, synergy_p_value, p_value, rows_a_value: rows for each class of each
        occurring cross value, and groups: how many have rows.
    """
    whole = [table.sum(axis=0) for table in tables]
    synergy, joint, alone = _synergies(whole, scale)
    rows = tables[0].sum(axis=(1, 2, 3))
    deleted = np.zeros((len(rows), len(tables)))
    with_rows = np.flatnonzero(rows)
    for group in with_rows if len(with_rows) >= FEWEST_GROUPS else ():  # of one group nothing would be left
        deleted[group] = _synergies([w - table[group] for w, table in zip(whole, tables, strict=True)], scale)[0]
    bars = error_bars(synergy, deleted, rows, confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.where(bars.standard_error > 0, synergy / bars.standard_error, np.nan)
    beyond = [
        _beyond(tables_of, joint - other, scale)
        for tables_of, other in (
            ([table.swapaxes(0, 1) for table in whole], alone[1]),  # I(A;Y|B): strata are B's levels
            (whole, alone[0]),
        )
    ]
    occurring = [np.count_nonzero(table.sum(axis=2)) * np.count_nonzero(table.sum(axis=(0, 1))) for table in whole]
    return {
        "standard_error": bars.standard_error,
        "ci_low": bars.low,
        "ci_high": bars.high,
        "z": z,
        "synergy_p_value": 2 * stats.t.sf(np.abs(z), max(bars.degrees, 1)),
        "p_value": np.maximum(*beyond),
        "groups": np.full(len(tables), len(with_rows)),
        "rows_a_value": float(rows.sum()) * scale / np.maximum(occurring, 1),
    }


def with_interaction_errors(
    table: pa.Table, errors: dict[str, np.ndarray], options: UncertaintyOptions, looked_at: dict[str, int]
) -> pa.Table:
    """Return the interaction table with error bars, q-values over all pairs looked at, and strategies.

    Parameters
    ----------
    errors
        What `interaction_errors` gives, in the order of the table's rows.
    looked_at
        Pairs of each target, kept or not.
    """
    columns: dict[str, object] = {name: table.column(name).to_pylist() for name in table.column_names}
    targets = np.array(columns["target"], dtype=object)
    q_values = np.full(len(table), np.nan)
    for target, pairs in looked_at.items():
        some = np.flatnonzero(targets == target)
        q_values[some] = false_discovery_rates(errors["p_value"][some], options.procedure, pairs)
    synergistic = (q_values <= options.false_discovery_rate) & (errors["ci_low"] > 0)
    learnable = errors["rows_a_value"] >= ROWS_TO_MEMORISE
    unknown = np.isnan(errors["ci_low"]) & (q_values <= options.false_discovery_rate)
    strategy = [
        "memorise" if more and rows else None if more or open_ else "naive"
        for more, rows, open_ in zip(synergistic, learnable, unknown, strict=True)
    ]
    known = {name: errors[name] for name in errors if name in table.column_names}
    return build("interaction", columns | known | {"q_value": q_values, "strategy": strategy})


def _synergies(tables: list[np.ndarray], scale: float) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Return corrected synergy, plug-in joint information, and plug-in information of each side alone."""
    views = (
        [table.reshape(-1, table.shape[2]) for table in tables],
        [table.sum(axis=1) for table in tables],
        [table.sum(axis=0) for table in tables],
    )
    classes = whole_rows(tables[0].sum(axis=(0, 1)), scale)
    plug_in, corrected = [], []
    for stack in views:
        starts = np.cumsum([0, *(len(table) for table in stack)])
        margins = np.concatenate([whole_rows(table.sum(axis=1), scale, int(classes.sum())) for table in stack])
        mi, expected = stacked_information(np.concatenate(stack), starts[:-1], margins, classes)
        plug_in.append(mi)
        corrected.append(mi - expected)
    return corrected[0] - corrected[1] - corrected[2], plug_in[0], (plug_in[1], plug_in[2])


def _beyond(tables: list[np.ndarray], observed: np.ndarray, scale: float) -> np.ndarray:
    """Return the p-value of what the second axis says within the levels of the first, shape (pairs,)."""
    strata = np.concatenate([table.sum(axis=1) for table in tables])
    classes = np.stack([whole_rows(row, scale) for row in strata])
    totals = classes.sum(axis=1)
    cells = [row.sum(axis=1) for table in tables for row in table]
    margins = np.concatenate([whole_rows(cell, scale, int(n)) for cell, n in zip(cells, totals, strict=True)])
    starts = np.cumsum([0, *(len(cell) for cell in cells)])[:-1]
    mean, variance = stratum_moments(margins, starts, classes)
    ends = np.cumsum([0, *(len(table) for table in tables)])
    p_values = np.ones(len(tables))
    for pair, (first, last) in enumerate(pairwise(ends)):
        n = float(totals[first:last].sum())
        share = totals[first:last] / max(n, 1.0)
        expected, spread = float((share * mean[first:last]).sum()), float((share**2 * variance[first:last]).sum())
        if spread * n**2 >= NO_VARIANCE:
            p_values[pair] = gamma_tail(observed[pair], np.array(expected), np.array(spread))
    return p_values
