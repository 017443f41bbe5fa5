"""From pass-1 states to the codebook."""

from __future__ import annotations

from dataclasses import dataclass

from featflow.binning import category_coding, number_coding
from featflow.columns import CategoryCoding, Codebook, Coding, Column, Kind
from featflow.config import CodebookOptions
from featflow.summaries import Levels, Moments, Quantiles, Sketches
from featflow.summaries.levels import BUCKETS
from featflow.summaries.sketches import frequent_levels

__all__ = ["ColumnStates", "build_codebook", "duplicate_candidates", "histogram_cells"]

MOST_CELLS = 65_536
"""Histogram cells a number where there are few of them; a column of no more values is counted exactly."""
ALL_CELLS = 2**23
"""Histogram cells of all numbers together, 128 MiB."""
FEWEST_CELLS = 1024


@dataclass(frozen=True)
class ColumnStates:
    """Whole-dataset states of pass 1."""

    numbers: tuple[Column, ...]
    """Columns of `moments`, `quantiles` and `quantile_sketches`."""
    categories: tuple[Column, ...]
    """Columns of `levels` and `frequent`."""
    moments: Moments
    """Moments of the numbers."""
    quantiles: Quantiles
    """Histograms of the numbers."""
    quantile_sketches: Sketches
    """KLL sketches of the numbers."""
    levels: Levels
    """Level counts of the categories."""
    frequent: Sketches
    """Frequent-item sketches of the categories."""
    distinct: Sketches
    """HLL sketches of the numbers, then of the categories."""


def histogram_cells(options: CodebookOptions, numbers: int) -> int:
    """Return the histogram cells of a number when there are so many of them."""
    return options.cells or max(FEWEST_CELLS, min(MOST_CELLS, ALL_CELLS // max(numbers, 1)))


def build_codebook(columns: tuple[Column, ...], states: ColumnStates, options: CodebookOptions) -> Codebook:
    """Return the codings of all columns that can be coded: all kinds but text, in the order of ``columns``."""
    codings: dict[str, Coding] = {}
    for column, histogram in zip(states.numbers, states.quantiles.histograms, strict=True):
        bins = (options.bins, options.pair_bins)
        codings[column.name] = number_coding(column, histogram.cells, histogram.counts, histogram.shift, bins)
    for index, column in enumerate(states.categories):
        if column.kind is Kind.CATEGORY:
            codings[column.name] = _category(column, states, index, options.pair_bins)
    return Codebook(tuple(codings[column.name] for column in columns if column.name in codings))


def _category(column: Column, states: ColumnStates, index: int, pair_bins: int) -> CategoryCoding:
    counted = states.levels.columns[index]
    if counted.levels is not None:
        return category_coding(column, counted.levels.to_pylist(), counted.counts.tolist(), 1, pair_bins)
    heavy = frequent_levels(states.frequent.data[index])[: pair_bins - 1]
    return category_coding(column, [level for level, _ in heavy], [rows for _, rows in heavy], BUCKETS, pair_bins)


def duplicate_candidates(states: ColumnStates) -> tuple[tuple[Column, Column], ...]:
    """Return pairs of columns of one type whose values and counts are the same, constants left out."""
    key: tuple[object, ...]
    seen: dict[tuple[object, ...], Column] = {}
    pairs = []
    for column, histogram in zip(states.numbers, states.quantiles.histograms, strict=True):
        if len(histogram.cells) > 1:
            key = (column.type, histogram.shift, histogram.cells.tobytes(), histogram.counts.tobytes())
            first = seen.setdefault(key, column)
            pairs += [(first, column)] if first is not column else []
    for column, counted in zip(states.categories, states.levels.columns, strict=True):
        if counted.levels is None or len(counted.levels) > 1:
            levels = "" if counted.levels is None else str(hash(tuple(counted.levels.to_pylist())))
            key = (column.type, counted.missing, levels, counted.counts.tobytes())
            first = seen.setdefault(key, column)
            pairs += [(first, column)] if first is not column else []
    return tuple(pairs)
