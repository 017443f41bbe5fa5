"""From joint counts of two blocks of columns to pairs: interactions, mutual information, Cramer's V.

Missing values are a level, so every pair of a target has the same rows and the
same class margins. Synergy is I(AB;Y) - I(A;Y) - I(B;Y), every term less its own
mean under independence. Cost: of information and of a joint two look-ups a cell and
class, of Cramer's V two products a cell; memory for a strip of cells (see
`featflow.measures.block_pairs`) and for some numbers a pair, never for a copy of a block.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from featflow.columns.column import Kind, Role
from featflow.measures.association import Margins, chi_square_tail, moment_tail
from featflow.measures.block_pairs import PAIRS, BlockPairs, Strip, column_sums
from featflow.measures.effective_rows import EffectiveRows, effective_rows
from featflow.measures.information import expected_excess_terms, xlogx
from featflow.measures.null_interpolation import class_terms
from featflow.measures.pair_permutation_null import information_moments, information_null
from featflow.measures.two_by_two import chi_square_of_cell, exact_where_few, information_of_cell, minor_level
from featflow.storage.tables import build
from featflow.summaries import PairCounts, PairCountsSummarizer

__all__ = ["PairMeasures", "cramers_v", "interactions", "measure_pairs", "pair_information", "top"]

LEFT_TILE, RIGHT_TILE = 64, 512
"""Columns whose null is computed at once."""


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
    none = build("interaction", {"target": []})
    return PairMeasures(correlation, top(interactions(spec, state, keep), keep) if keep else none)


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


# --- interactions ---------------------------------------------------------------------------------------------------


def interactions(spec: PairCountsSummarizer, state: PairCounts, keep: int | None = None) -> pa.Table:
    """Return the interaction of every pair of features about every target, unranked.

    Parameters
    ----------
    keep
        How many of each target's highest synergies are wanted, and those equal to the last; all by default.
    """
    left, right = (np.array([c.column.role is Role.FEATURE for c in side], bool) for side in (spec.left, spec.right))
    pairs = BlockPairs(spec, left, right)
    tables = [build("interaction", {"target": []})]
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
        tables.append(build("interaction", columns))
    return pa.concat_tables(tables)


def _highest(values: np.ndarray, keep: int | None) -> np.ndarray:
    """Return where the highest values are, those equal to the last among them, in their order."""
    if keep is None or keep >= len(values):
        return np.arange(len(values))
    return np.flatnonzero(values >= np.partition(values, len(values) - keep)[len(values) - keep])


def _interaction(counts: np.ndarray, pairs: BlockPairs, effective: EffectiveRows) -> dict[str, np.ndarray] | None:
    """Return joint information and synergy of all pairs, each shape (pairs,)."""
    left, right = _margins_of(counts, pairs)
    classes = left[:, : pairs.rows[1]].sum(axis=1)
    if not classes.sum():
        return None
    whole_classes = effective.margins(classes, np.zeros(1)).astype(np.int64)
    n, whole = float(classes.sum()), float(whole_classes.sum())
    own = xlogx(classes).sum() - xlogx(n)

    def corrected(cells: np.ndarray, starts: np.ndarray) -> np.ndarray:
        margins = cells.sum(axis=0)
        terms = expected_excess_terms(effective.margins(margins, starts), whole_classes)
        mi = (np.add.reduceat(column_sums(xlogx(cells)) - xlogx(margins), starts) - own) / n
        return np.asarray(mi - np.add.reduceat(terms, starts) / whole)

    expected_terms = class_terms(tuple(whole_classes.tolist()))
    mi, expected = np.empty(len(pairs)), np.empty(len(pairs))
    for strip in pairs.strips():
        margins = strip.over_classes(counts)
        cells = -xlogx(margins)
        for of_class in counts:
            cells += xlogx(strip.cells(of_class))
        terms = expected_terms(effective.margins(margins, np.zeros(1), strip.starts))
        mi[strip.place] = np.add.reduceat(column_sums(cells), strip.starts)
        expected[strip.place] = np.add.reduceat(column_sums(terms), strip.starts)
    mi, expected = (mi - own) / n, expected / whole
    i, j = pairs.sides()
    alone = corrected(left, pairs.rows[:-1])[i] + corrected(right, pairs.columns[:-1])[j]
    joint = mi - expected
    return {"joint_mi": mi, "expected_mi": expected, "corrected_joint_mi": joint, "synergy": joint - alone}


def _margins_of(counts: np.ndarray, pairs: BlockPairs) -> tuple[np.ndarray, np.ndarray]:
    """Return counts of the left levels and of the right levels, each shape (classes, levels)."""
    left = [of_class[:, : pairs.columns[1]].sum(axis=1) for of_class in counts]
    return np.stack(left), np.stack([of_class[: pairs.rows[1]].sum(axis=0) for of_class in counts])


# --- correlation from counts ----------------------------------------------------------------------------------------


def pair_information(spec: PairCountsSummarizer, state: PairCounts) -> pa.Table:
    """Return the mutual information of every pair of columns, missing as a level, with its mean under independence."""
    pairs = BlockPairs(spec, np.ones(len(spec.left), bool), np.ones(len(spec.right), bool))
    counts = state.counts[0]
    left, right = (side.sum(axis=0) for side in _margins_of(counts, pairs))
    rows, columns = pairs.rows[:-1], pairs.columns[:-1]
    n = float(left[: pairs.rows[1]].sum())
    if not len(pairs) or not n:
        return build("correlation", {"method": []})
    value = np.empty(len(pairs))
    for strip in pairs.strips():
        cells = column_sums(xlogx(strip.over_classes(counts)))
        value[strip.place] = np.add.reduceat(cells, strip.starts)
    i, j = pairs.sides()
    alone = np.add.reduceat(xlogx(left), rows)[i] + np.add.reduceat(xlogx(right), columns)[j] - xlogx(n)
    value = np.maximum((value - alone) / n, 0.0)
    effective = effective_rows(state)
    left, right, n = effective.margins(left, rows), effective.margins(right, columns), float(effective.total(n))
    expected, variance = _null_moments(pairs, left, right, int(n))
    minors = minor_level(left, rows, 0), minor_level(right, columns, 0)
    p_value = np.empty(len(pairs))
    for start in range(0, len(pairs), PAIRS):
        some = slice(start, start + PAIRS)
        p_value[some] = moment_tail(value[some], expected[some], variance[some])
        if state.weighted is None:  # no table of rows scores what weights do
            few = minors[0][i[some]], minors[1][j[some]]
            all_rows = np.full(len(few[0]), n)
            p_value[some] = exact_where_few(p_value[some], value[some] * n, all_rows, few, information_of_cell)
    return build(
        "correlation",
        {
            "method": pa.repeat("mutual_information", len(pairs)),
            **pairs.names(),
            "n": np.full(len(pairs), state.rows),
            "value": value,
            "expected": expected,
            "p_value": p_value,
        },
    )


def _null_moments(pairs: BlockPairs, left: np.ndarray, right: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return null mean and variance of the information of all pairs, all columns wanted, from their margins."""
    null = information_null(n)
    mean, variance = np.empty(len(pairs)), np.empty(len(pairs))
    for first in range(0, len(pairs.columns) - 1, RIGHT_TILE):
        last = min(first + RIGHT_TILE, len(pairs.columns) - 1)
        starts = pairs.columns[first : last + 1]
        of_right = null.right(right[starts[0] : starts[-1]], starts[:-1] - starts[0])
        for top_left in range(0, len(pairs.rows) - 1, LEFT_TILE):
            begin = max(first, int(pairs.first[top_left]))
            if begin >= last:
                break
            starts = pairs.rows[top_left : top_left + LEFT_TILE + 1]
            of_left = null.left(left[starts[0] : starts[-1]], starts[:-1] - starts[0])
            moments = information_moments(of_left, of_right[begin - first : last - first], n)
            for row, column in enumerate(range(top_left, top_left + len(starts) - 1)):
                meets = max(begin, int(pairs.first[column]))
                place = int(pairs.ends[column]) + meets - int(pairs.first[column])
                for values, of_tile in zip((mean, variance), moments, strict=True):
                    values[place : place + max(last - meets, 0)] = of_tile[row, meets - begin :]
    return mean, variance


def cramers_v(spec: PairCountsSummarizer, state: PairCounts) -> pa.Table:
    """Return Cramer's V of every pair of categories, bias-corrected (Bergsma 2013); rows where both are present."""
    left, right = (np.array([c.column.kind is Kind.CATEGORY for c in side], bool) for side in (spec.left, spec.right))
    pairs = BlockPairs(spec, left, right)
    if not len(pairs):
        return build("correlation", {"method": []})
    effective = effective_rows(state)
    found = [_association(state.counts[0], batch, effective) for batch in pairs.batches()]
    n, value, p_value = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return build(
        "correlation",
        {
            "method": pa.repeat("cramers_v", len(pairs)),
            **pairs.names(),
            "n": (n if state.weighted is None else state.weighted.present[pairs.sides()]).astype(np.int64),
            "value": value,
            "p_value": p_value,
        },
    )


def _association(
    counts: np.ndarray, batch: list[Strip], effective: EffectiveRows
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return rows of which both are present, Cramer's V and its p-value, each shape (pairs of the batch,)."""
    sums = np.concatenate([_sums(counts, strip, effective.scale or 1.0) for strip in batch], axis=1)
    total, phi2 = sums[:2]
    left, right = (sums[2], sums[3], sums[4]), (sums[5], sums[6], sums[7])
    n = effective.total(total)
    with np.errstate(divide="ignore", invalid="ignore"):
        bias = (left[0] - 1) * (right[0] - 1) / (n - 1)
        smaller = np.minimum(*(side[0] - (side[0] - 1) ** 2 / (n - 1) for side in (left, right))) - 1
        value = np.sqrt(np.maximum(phi2 - bias, 0.0) / smaller)
    value = np.where((np.minimum(left[0], right[0]) < 2) | (smaller <= 0), np.nan, np.minimum(value, 1.0))
    chi_square = np.where(np.isnan(value), np.nan, n * phi2)
    p_value = chi_square_tail(chi_square, n, left, right)
    if effective.scale is None:
        p_value = exact_where_few(p_value, chi_square, n, (sums[8], sums[9]), chi_square_of_cell)
    return n, value, p_value


def _sums(counts: np.ndarray, strip: Strip, worth: float) -> np.ndarray:
    """Return of each pair of a strip its rows, phi squared, levels and sums of both sides, and their minor levels."""
    cells, first = strip.over_classes(counts).astype(np.float64), np.zeros(1, np.int64)
    cells[0] = 0.0
    cells[:, strip.starts] = 0.0
    row_margin = np.add.reduceat(cells, strip.starts, axis=1)  # (levels, pairs)
    column_margin = column_sums(cells)  # (levels,)
    cells *= cells
    cells *= np.repeat(_reciprocal(row_margin), np.diff(strip.starts, append=cells.shape[1]), axis=1)
    phi2 = np.add.reduceat(column_sums(cells) * _reciprocal(column_margin), strip.starts) - 1.0
    total = column_sums(row_margin)
    row_margin, column_margin = row_margin * worth, column_margin * worth
    left = (side[0] for side in _margins(row_margin, first))
    minors = minor_level(row_margin, first, 0)[0], minor_level(column_margin, strip.starts, 0)
    return np.stack([total, phi2, *left, *_margins(column_margin, strip.starts), *minors])


def _margins(rows: np.ndarray, starts: np.ndarray) -> Margins:
    """Return levels present and sums of their rows' reciprocals, of segments of the first axis."""
    present = rows > 0
    reciprocal = 1.0 / np.where(present, np.maximum(rows, 1.0), np.inf)
    levels, first, second = (
        np.add.reduceat(terms, starts, axis=0) for terms in (present * 1.0, reciprocal, reciprocal * reciprocal)
    )
    return levels, first, second


def _reciprocal(rows: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / np.where(rows > 0, rows, np.inf))
