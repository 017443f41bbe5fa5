"""Mutual information and Cramer's V from joint counts of two blocks of columns.

Missing values are a level of mutual information, so all of its pairs have the same rows. Cost: of information two
look-ups a cell, of Cramer's V two products a cell; memory for a strip of cells (see `featflow.measures.block_pairs`)
and for some numbers a pair, never for a copy of a block.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from featflow.analyses.correlation.tables import CORRELATION
from featflow.columns.column import Kind
from featflow.measures.association import Margins, chi_square_tail, moment_tail
from featflow.measures.block_pairs import PAIRS, BlockPairs, Strip, column_sums, margins_of
from featflow.measures.effective_rows import EffectiveRows, effective_rows
from featflow.measures.information import xlogx
from featflow.measures.pair_permutation_null import information_moments, information_null
from featflow.measures.two_by_two import chi_square_of_cell, exact_where_few, information_of_cell, minor_level
from featflow.summaries import PairCounts, PairCountsSummarizer

__all__ = ["cramers_v", "pair_information"]

ROUNDING = 1e-12
"""Information below which independence is looked at cell by cell, as it may be rounding: 1e-15 is what is seen."""
LEFT_TILE, RIGHT_TILE = 64, 512
"""Columns of a tile whose nulls are one product of matrices: larger tiles take more memory, smaller ones more calls."""


def pair_information(spec: PairCountsSummarizer, state: PairCounts) -> pa.Table:
    """Return the mutual information of every pair of columns, missing as a level, with its mean under independence."""
    pairs = BlockPairs(spec, np.ones(len(spec.left), bool), np.ones(len(spec.right), bool))
    counts = state.counts[0]
    left, right = (side.sum(axis=0) for side in margins_of(counts, pairs))
    rows, columns = pairs.rows[:-1], pairs.columns[:-1]
    n = float(left[: pairs.rows[1]].sum())
    if not len(pairs) or not n:
        return CORRELATION.empty()
    value = np.empty(len(pairs))
    for strip in pairs.strips():
        cells = column_sums(xlogx(strip.over_classes(counts)))
        value[strip.place] = np.add.reduceat(cells, strip.starts)
    i, j = pairs.sides()
    alone = np.add.reduceat(xlogx(left), rows)[i] + np.add.reduceat(xlogx(right), columns)[j] - xlogx(n)
    value = np.maximum((value - alone) / n, 0.0)
    value[_say_nothing(counts, pairs, value, (left, right))] = 0.0
    effective = effective_rows(state)
    left, right, n = effective.margins(left, rows), effective.margins(right, columns), float(effective.total(n))
    expected, variance = _null_moments(pairs, left, right, int(n))
    minors = minor_level(left, rows, 0), minor_level(right, columns, 0)
    p_value = np.empty(len(pairs))
    for start in range(0, len(pairs), PAIRS):
        some = slice(start, start + PAIRS)
        p_value[some] = moment_tail(value[some], expected[some], variance[some])
        if state.weighted is None:  # an exact null enumerates tables of whole rows, which weights are not
            few = minors[0][i[some]], minors[1][j[some]]
            all_rows = np.full(len(few[0]), n)
            p_value[some] = exact_where_few(p_value[some], value[some] * n, all_rows, few, information_of_cell)
    return CORRELATION.build(
        {
            "method": pa.repeat("mutual_information", len(pairs)),
            **pairs.names(),
            "n": np.full(len(pairs), state.rows),
            "value": value,
            "expected": expected,
            "p_value": p_value,
        },
    )


def _say_nothing(
    counts: np.ndarray, pairs: BlockPairs, value: np.ndarray, margins: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Return the pairs whose rows are independent exactly: a column has one level, or all cells are their mean.

    Parameters
    ----------
    value
        Information of every pair as a sum of logarithms, which leaves 1e-15 of nothing, shape (pairs,).
    margins
        Counts of the left and of the right levels.
    """
    i, j = pairs.sides()
    starts = pairs.rows[:-1], pairs.columns[:-1]
    left, right = (np.add.reduceat((m > 0) * 1, start) for m, start in zip(margins, starts, strict=True))
    nothing = (left[i] < 2) | (right[j] < 2)
    if counts.dtype.kind in "iu":
        for pair in np.flatnonzero(~nothing & (value < ROUNDING)).tolist():
            rows, columns = pairs.rows[i[pair] : i[pair] + 2], pairs.columns[j[pair] : j[pair] + 2]
            table = counts[:, rows[0] : rows[1], columns[0] : columns[1]].sum(axis=0)
            nothing[pair] = (table * table.sum() == np.outer(table.sum(axis=1), table.sum(axis=0))).all()
    return np.asarray(nothing)


def _null_moments(pairs: BlockPairs, left: np.ndarray, right: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return null mean and variance of the information of all pairs of a block, from the margins of its columns."""
    null = information_null(n)
    mean, variance = np.empty(len(pairs)), np.empty(len(pairs))
    for first in range(0, len(pairs.columns) - 1, RIGHT_TILE):
        last = min(first + RIGHT_TILE, len(pairs.columns) - 1)
        starts = pairs.columns[first : last + 1]
        right_terms = null.right(right[starts[0] : starts[-1]], starts[:-1] - starts[0])
        for top_left in range(0, len(pairs.rows) - 1, LEFT_TILE):
            begin = max(first, int(pairs.first[top_left]))
            if begin >= last:
                break
            starts = pairs.rows[top_left : top_left + LEFT_TILE + 1]
            left_terms = null.left(left[starts[0] : starts[-1]], starts[:-1] - starts[0])
            moments = information_moments(left_terms, right_terms[begin - first : last - first], n)
            for row, column in enumerate(range(top_left, top_left + len(starts) - 1)):
                meets = max(begin, int(pairs.first[column]))
                place = int(pairs.ends[column]) + meets - int(pairs.first[column])
                for values, tile in zip((mean, variance), moments, strict=True):
                    values[place : place + max(last - meets, 0)] = tile[row, meets - begin :]
    return mean, variance


def cramers_v(spec: PairCountsSummarizer, state: PairCounts) -> pa.Table:
    """Return Cramer's V of every pair of categories, bias-corrected (Bergsma 2013); rows where both are present."""
    left, right = (np.array([c.column.kind is Kind.CATEGORY for c in side], bool) for side in (spec.left, spec.right))
    pairs = BlockPairs(spec, left, right)
    if not len(pairs):
        return CORRELATION.empty()
    effective = effective_rows(state)
    associations = [_association(state.counts[0], batch, effective) for batch in pairs.batches()]
    n, value, p_value = (np.concatenate(parts) for parts in zip(*associations, strict=True))
    return CORRELATION.build(
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
    sums = np.concatenate([_pair_sums(counts, strip, effective.scale or 1.0) for strip in batch], axis=1)
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


def _pair_sums(counts: np.ndarray, strip: Strip, worth: float) -> np.ndarray:
    """Return rows, phi squared, levels and reciprocal sums of both sides, and minor levels of each pair of a strip."""
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
    left = (side[0] for side in _reciprocal_sums(row_margin, first))
    minors = minor_level(row_margin, first, 0)[0], minor_level(column_margin, strip.starts, 0)
    return np.stack([total, phi2, *left, *_reciprocal_sums(column_margin, strip.starts), *minors])


def _reciprocal_sums(rows: np.ndarray, starts: np.ndarray) -> Margins:
    """Return the number of levels with rows, and sums of reciprocals of their rows, by segment of the first axis."""
    present = rows > 0
    reciprocal = 1.0 / np.where(present, np.maximum(rows, 1.0), np.inf)
    levels, first, second = (
        np.add.reduceat(terms, starts, axis=0) for terms in (present * 1.0, reciprocal, reciprocal * reciprocal)
    )
    return levels, first, second


def _reciprocal(rows: np.ndarray) -> np.ndarray:
    return np.asarray(1.0 / np.where(rows > 0, rows, np.inf))
