"""Interactions from joint counts of two blocks of columns.

Missing values are a level, so every pair of a target has the same rows and the
same class margins. Synergy is I(AB;Y) - I(A;Y) - I(B;Y), every term less its own
mean under independence. Cost: two look-ups a cell and class; memory for a strip of cells (see
`featflow.measures.block_pairs`) and for some numbers a pair, never for a copy of a block.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from featflow.analyses.interaction.tables import INTERACTION
from featflow.columns.column import Role
from featflow.measures.block_pairs import BlockPairs, column_sums, margins_of
from featflow.measures.effective_rows import EffectiveRows, effective_rows
from featflow.measures.information import expected_excess_terms, xlogx
from featflow.measures.null_interpolation import class_terms
from featflow.summaries import PairCounts, PairCountsSummarizer

__all__ = ["interactions", "top", "without_constants"]


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


def without_constants(information: np.ndarray, levels: np.ndarray) -> np.ndarray:
    """Return information of pairs where a side of one level says 0, and the pair what its other side says, exactly.

    Sums of logarithms in another order would leave 1e-15 in what is nothing.

    Parameters
    ----------
    information
        Of pairs, of their left and of their right sides, shape (pairs, 3), in nats.
    levels
        Levels with rows of the same, shape (pairs, 3).

    Examples
    --------
    >>> without_constants(np.array([[0.3 + 1e-16, 0.3, -1e-17]]), np.array([[2, 2, 1]])).tolist()
    [[0.3, 0.3, 0.0]]
    """
    joint, left, right = np.where(levels > 1, information, 0.0).T
    joint = np.where(levels[:, 2] > 1, np.where(levels[:, 1] > 1, joint, right), left)
    return np.stack([joint, left, right], axis=1)


# --- interactions ---------------------------------------------------------------------------------------------------


def interactions(spec: PairCountsSummarizer, state: PairCounts, keep: int | None = None) -> pa.Table:
    """Return the interaction of every pair of features about every target, unranked.

    Parameters
    ----------
    keep
        Pairs to return of each target, those of highest synergy, and pairs equal to the last; all by default.
    """
    left, right = (np.array([c.column.role is Role.FEATURE for c in side], bool) for side in (spec.left, spec.right))
    pairs = BlockPairs(spec, left, right)
    tables = [INTERACTION.empty()]
    for t, (target, counts) in enumerate(zip(spec.targets, state.counts, strict=False)):
        scores = _interaction(counts[1:], pairs, effective_rows(state)) if len(pairs) else None
        if scores is None:
            continue
        some = _highest(scores["synergy"], keep)
        first_pair = counts[1:, : pairs.rows[1], : pairs.columns[1]]
        n = int(first_pair.sum() if state.weighted is None else state.weighted.classes[t][1:].sum())
        columns = {name: values[some] for name, values in scores.items()} | pairs.names(some)
        columns |= {"target": pa.repeat(target.column.name, len(some)), "n": np.full(len(some), n)}
        columns["rows_used"] = np.full(len(some), state.rows)
        tables.append(INTERACTION.build(columns))
    return pa.concat_tables(tables)


def _highest(values: np.ndarray, keep: int | None) -> np.ndarray:
    """Return the indices of the highest values, and of those equal to the last, ascending."""
    if keep is None or keep >= len(values):
        return np.arange(len(values))
    return np.flatnonzero(values >= np.partition(values, len(values) - keep)[len(values) - keep])


def _interaction(counts: np.ndarray, pairs: BlockPairs, effective: EffectiveRows) -> dict[str, np.ndarray] | None:
    """Return joint information and synergy of all pairs, each shape (pairs,)."""
    left, right = margins_of(counts, pairs)
    classes = left[:, : pairs.rows[1]].sum(axis=1)
    if not classes.sum():
        return None
    whole_classes = effective.margins(classes, np.zeros(1)).astype(np.int64)
    n, whole = float(classes.sum()), float(whole_classes.sum())
    marginal_terms = xlogx(classes).sum() - xlogx(n)

    def alone(cells: np.ndarray, starts: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        margins = cells.sum(axis=0)
        terms = expected_excess_terms(effective.margins(margins, starts), whole_classes)
        mi = (np.add.reduceat(column_sums(xlogx(cells)) - xlogx(margins), starts) - marginal_terms) / n
        return mi, np.add.reduceat(terms, starts) / whole, np.add.reduceat(np.asarray(margins > 0, np.int64), starts)

    expected_terms = class_terms(tuple(whole_classes.tolist()))
    mi, expected = np.empty(len(pairs)), np.empty(len(pairs))
    for strip in pairs.strips():
        margins = strip.over_classes(counts)
        cells = -xlogx(margins)
        for class_counts in counts:
            cells += xlogx(strip.cells(class_counts))
        terms = expected_terms(effective.margins(margins, np.zeros(1), strip.starts))
        mi[strip.place] = np.add.reduceat(column_sums(cells), strip.starts)
        expected[strip.place] = np.add.reduceat(column_sums(terms), strip.starts)
    i, j = pairs.sides()
    sides = zip(alone(left, pairs.rows[:-1]), alone(right, pairs.columns[:-1]), strict=True)
    left_right = [(of_left[i], of_right[j]) for of_left, of_right in sides]
    levels = np.stack([np.maximum(*left_right[2]), *left_right[2]], axis=1)
    mi, left_mi, right_mi = without_constants(np.stack([(mi - marginal_terms) / n, *left_right[0]], axis=1), levels).T
    expected, left_expected, right_expected = without_constants(
        np.stack([expected / whole, *left_right[1]], axis=1), levels
    ).T
    joint = mi - expected
    synergy = joint - (left_mi - left_expected) - (right_mi - right_expected)
    return {"joint_mi": mi, "expected_mi": expected, "corrected_joint_mi": joint, "synergy": synergy}
