"""From joint counts of two blocks of columns to pairs: interactions, mutual information, Cramer's V.

All pairs of a block at once: sums over a pair's cells are segment sums along
both axes. Missing values are a level, so every pair of a target has the same
rows and the same class margins. Synergy is I(AB;Y) - I(A;Y) - I(B;Y), every
term less its own mean under independence.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featflow.columns import Coding, Kind, Role, pair_cardinality
from featflow.measures.association import Margins, chi_square_tail, moment_tail
from featflow.measures.information import expected_information_terms, expected_xlogx, xlogx
from featflow.measures.pair_null import information_variances
from featflow.measures.two_by_two import chi_square_of_cell, exact_where_few, information_of_cell, minor_level
from featflow.measures.weights import EffectiveRows, effective_rows
from featflow.summaries import PairCounts, PairCountsSummarizer
from featflow.tables import build

__all__ = ["PairMeasures", "cramers_v", "interactions", "measure_pairs", "pair_information", "top"]


@dataclass(frozen=True)
class PairMeasures:
    """Table rows of one block pair."""

    correlation: pa.Table
    """Rows of the correlation table."""
    interaction: pa.Table
    """The block's best pairs of every target, ranks not yet given."""


def measure_pairs(spec: PairCountsSummarizer, state: PairCounts, methods: tuple[str, ...], keep: int) -> PairMeasures:
    """Return what a block pair's counts say.

    Parameters
    ----------
    methods
        Methods of the correlation table that are wanted; others than those from counts are passed over.
    keep
        Interactions kept a target; 0 for none.
    """
    functions = {"cramers_v": cramers_v, "mutual_information": pair_information}
    tables = [functions[method](spec, state) for method in functions if method in methods]
    correlation = pa.concat_tables(tables) if tables else build("correlation", {"method": []})
    return PairMeasures(
        correlation, top(interactions(spec, state), keep) if keep else build("interaction", {"target": []})
    )


def top(table: pa.Table, keep: int) -> pa.Table:
    """Return the ``keep`` interactions of highest synergy of every target, with their ranks."""
    order = [("target", "ascending"), ("synergy", "descending"), ("feature_a", "ascending"), ("feature_b", "ascending")]
    table = table.sort_by(order)
    targets = table.column("target").to_numpy()
    starts = np.concatenate([[True], targets[1:] != targets[:-1]]) if len(targets) else np.empty(0, bool)
    position = np.arange(len(targets))
    rank = position - np.maximum.accumulate(np.where(starts, position, 0)) + 1
    table = table.set_column(
        table.schema.get_field_index("rank"), table.schema.field("rank"), pa.array(rank, pa.int64())
    )
    return table.filter(pa.array(rank <= keep))


# --- segments -------------------------------------------------------------------------------------------------------


def _starts(codings: tuple[Coding, ...]) -> np.ndarray:
    return np.cumsum([0, *(pair_cardinality(coding) for coding in codings)])[:-1]


def _sum(array: np.ndarray, starts: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray(np.add.reduceat(array, starts, axis=axis))


def _selected(spec: PairCountsSummarizer, left: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return indices of the pairs of wanted columns; on a diagonal block each pair once, none with itself."""
    wanted = left[:, None] & right[None, :]
    if spec.left == spec.right:
        wanted = np.triu(wanted, k=1)
    i, j = np.nonzero(wanted)
    return i, j


def _names(codings: tuple[Coding, ...], index: np.ndarray) -> list[str]:
    return [codings[i].column.name for i in index]


# --- interactions ---------------------------------------------------------------------------------------------------


def interactions(spec: PairCountsSummarizer, state: PairCounts) -> pa.Table:
    """Return the interaction of every pair of features about every target, unranked."""
    left, right = (np.array([c.column.role is Role.FEATURE for c in side], bool) for side in (spec.left, spec.right))
    i, j = _selected(spec, left, right)
    tables = []
    for t, (target, counts) in enumerate(zip(spec.targets, state.counts, strict=False)):
        scores = _interaction(counts[1:], _starts(spec.left), _starts(spec.right), effective_rows(state))
        if scores is None or not len(i):
            continue
        columns: dict[str, object] = {name: values[i, j] for name, values in scores.items()}
        n = int(counts[1:, : pair_cardinality(spec.left[0]), : pair_cardinality(spec.right[0])].sum())
        n = n if state.weighted is None else int(state.weighted.classes[t][1:].sum())
        columns |= {
            "target": [target.column.name] * len(i),
            "feature_a": _names(spec.left, i),
            "feature_b": _names(spec.right, j),
            "n": [n] * len(i),
        }
        tables.append(build("interaction", columns))
    return pa.concat_tables(tables) if tables else build("interaction", {"target": []})


def _interaction(
    counts: np.ndarray, rows: np.ndarray, columns: np.ndarray, effective: EffectiveRows
) -> dict[str, np.ndarray] | None:
    """Return joint information and synergy of all pairs, each shape (left columns, right columns)."""
    first_right = counts[:, :, : (columns[1] if len(columns) > 1 else counts.shape[2])]
    first_left = counts[:, : (rows[1] if len(rows) > 1 else counts.shape[1]), :]
    left, right = first_right.sum(axis=2), first_left.sum(axis=1)  # (classes, levels)
    classes = left[:, : (rows[1] if len(rows) > 1 else left.shape[1])].sum(axis=1)
    if not classes.sum():
        return None
    whole_classes = effective.margins(classes, np.zeros(1))
    pair = counts.sum(axis=0)
    joint_cells = np.zeros(pair.shape)
    for of_class in counts:
        joint_cells += xlogx(of_class)

    def total(terms: np.ndarray, of_classes: np.ndarray, *starts: np.ndarray) -> np.ndarray:
        for axis, of_axis in enumerate(starts):
            terms = _sum(terms, of_axis, axis)
        n = of_classes.sum()
        return np.asarray((terms - (xlogx(of_classes).sum() - xlogx(n))) / n)

    def information(cells: np.ndarray, margins: np.ndarray, *starts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        whole = effective.margins(margins, *starts)
        expected = expected_information_terms(whole, whole_classes) - xlogx(whole)
        return total(cells - xlogx(margins), classes, *starts), total(expected, whole_classes, *starts)

    mi_left, expected_left = information(xlogx(left).sum(axis=0), left.sum(axis=0), rows)
    mi_right, expected_right = information(xlogx(right).sum(axis=0), right.sum(axis=0), columns)
    mi, expected = information(joint_cells, pair, rows, columns)
    corrected = mi - expected
    synergy = corrected - (mi_left - expected_left)[:, None] - (mi_right - expected_right)[None, :]
    return {"joint_mi": mi, "expected_mi": expected, "corrected_joint_mi": corrected, "synergy": synergy}


# --- correlation from counts ----------------------------------------------------------------------------------------


def pair_information(spec: PairCountsSummarizer, state: PairCounts) -> pa.Table:
    """Return the mutual information of every pair of columns, missing as a level, with its mean under independence."""
    pair = state.counts[0].sum(axis=0)
    rows, columns = _starts(spec.left), _starts(spec.right)
    n = float(pair[: pair_cardinality(spec.left[0]), : pair_cardinality(spec.right[0])].sum())
    i, j = _selected(spec, np.ones(len(rows), bool), np.ones(len(columns), bool))
    if not len(i) or not n:
        return build("correlation", {"method": []})
    left, right = (
        pair[:, : pair_cardinality(spec.right[0])].sum(axis=1),
        pair[: pair_cardinality(spec.left[0])].sum(axis=0),
    )

    def information(cells: np.ndarray, left: np.ndarray, right: np.ndarray, n: float) -> np.ndarray:
        margins = _sum(xlogx(left), rows, 0)[:, None] + _sum(xlogx(right), columns, 0)[None, :] - xlogx(n)
        return np.asarray((_sum(_sum(cells, rows, 0), columns, 1) - margins) / n)

    value = information(xlogx(pair), left, right, n)
    effective = effective_rows(state)
    left, right, n = effective.margins(left, rows), effective.margins(right, columns), float(effective.total(n))
    v, at_v = np.unique(left, return_inverse=True)
    w, at_w = np.unique(right, return_inverse=True)
    expected = information(expected_xlogx(n, v[:, None], w[None, :])[np.ix_(at_v, at_w)], left, right, n)
    value, expected = (np.maximum(terms, 0.0)[i, j] for terms in (value, expected))
    p_value = moment_tail(value, expected, information_variances(left, right, rows, columns)[i, j])
    if state.weighted is None:  # no table of rows scores what weights do
        minors = minor_level(left, rows, 0)[i], minor_level(right, columns, 0)[j]
        p_value = exact_where_few(p_value, value * n, np.full(len(i), n), minors, information_of_cell)
    return build(
        "correlation",
        {
            "method": ["mutual_information"] * len(i),
            "feature_a": _names(spec.left, i),
            "feature_b": _names(spec.right, j),
            "n": [state.rows] * len(i),
            "value": value,
            "expected": expected,
            "p_value": p_value,
        },
    )


def cramers_v(spec: PairCountsSummarizer, state: PairCounts) -> pa.Table:
    """Return Cramer's V of every pair of categories, bias-corrected (Bergsma 2013); rows where both are present."""
    left, right = (np.array([c.column.kind is Kind.CATEGORY for c in side], bool) for side in (spec.left, spec.right))
    i, j = _selected(spec, left, right)
    if not len(i):
        return build("correlation", {"method": []})
    rows, columns = _starts(spec.left), _starts(spec.right)
    pair = state.counts[0].sum(axis=0).astype(np.float64)
    pair[rows, :] = 0.0
    pair[:, columns] = 0.0
    row_of, column_of = (
        np.repeat(np.arange(len(s)), np.diff([*s, size])) for s, size in zip((rows, columns), pair.shape, strict=True)
    )
    row_margin, column_margin = _sum(pair, columns, 1), _sum(pair, rows, 0)  # (levels, columns), (columns, levels)
    n = effective_rows(state).total(_sum(row_margin, rows, 0))
    expected = row_margin[:, column_of] * column_margin[row_of, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        square = np.where(expected > 0, pair**2 / expected, 0.0)
        phi2 = _sum(_sum(square, rows, 0), columns, 1) - 1.0  # chi-square over n
        worth = effective_rows(state).scale or 1.0
        row_margin, column_margin = row_margin * worth, column_margin * worth
        margins = _margins(row_margin, rows, 0), _margins(column_margin, columns, 1)
        levels = margins[0][0], margins[1][0]
        bias = (levels[0] - 1) * (levels[1] - 1) / (n - 1)
        smaller = np.minimum(*(level - (level - 1) ** 2 / (n - 1) for level in levels)) - 1
        value = np.sqrt(np.maximum(phi2 - bias, 0.0) / smaller)
    value = np.where((np.minimum(*levels) < 2) | (smaller <= 0), np.nan, np.minimum(value, 1.0))
    chi_square = np.where(np.isnan(value), np.nan, n * phi2)
    minors = minor_level(row_margin, rows, 0), minor_level(column_margin, columns, 1)
    p_value = chi_square_tail(chi_square, n, *margins)
    if state.weighted is None:
        p_value = exact_where_few(p_value, chi_square, n, minors, chi_square_of_cell)
    return build(
        "correlation",
        {
            "method": ["cramers_v"] * len(i),
            "feature_a": _names(spec.left, i),
            "feature_b": _names(spec.right, j),
            "n": (n if state.weighted is None else state.weighted.present)[i, j].astype(np.int64),
            "value": value[i, j],
            "p_value": p_value[i, j],
        },
    )


def _margins(rows: np.ndarray, starts: np.ndarray, axis: int) -> Margins:
    """Return levels present and sums of their rows' reciprocals, for all pairs."""
    present = rows > 0
    reciprocal = np.where(present, 1 / np.maximum(rows, 1.0), 0.0)
    levels, first, second = (_sum(terms, starts, axis) for terms in (present * 1.0, reciprocal, reciprocal**2))
    return levels, first, second
