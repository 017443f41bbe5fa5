"""Builds the codebook from the states of pass 1."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, islice

import numpy as np

from featflow.columns.binning import category_coding, hashed_coding, number_coding
from featflow.columns.codebook import Codebook, Coding
from featflow.columns.column import Column, Kind
from featflow.columns.options import CodebookOptions
from featflow.summaries import Moments
from featflow.summaries.levels import LevelCounts
from featflow.summaries.value_histograms import Histogram

__all__ = ["CANDIDATES", "ColumnStates", "build_codebook", "duplicate_candidates", "histogram_cells", "target_values"]

MOST_CELLS = 65_536
"""Histogram cells a number where there are few of them; a column of no more values is counted exactly."""
ALL_CELLS = 2**23
"""Histogram cells of all numbers together, 128 MiB."""
FEWEST_CELLS = 1024
"""Histogram cells a number however many there are: 16 for each of the 64 bins that are the default."""
CANDIDATES = 1000
"""Pairs of columns that are compared row by row, at the cost of one comparison a pair and row."""


@dataclass(frozen=True)
class ColumnStates:
    """Whole-dataset states of pass 1, column by column."""

    rows: int
    """Rows summarized."""
    numbers: tuple[Column, ...]
    """Numeric columns."""
    categories: tuple[Column, ...]
    """Category and text columns."""
    moments: Moments
    """Moments of the numbers."""
    histograms: tuple[Histogram, ...]
    """One a number."""
    levels: tuple[LevelCounts, ...]
    """One a category."""

    @property
    def effective_share(self) -> float:
        """Effective sample size as a share of the rows (Kish 1965); 1 without weights."""
        weights, squares = self.moments.weight_sum, self.moments.weight_square_sum
        return (weights / squares) * (weights / self.moments.rows) if squares else 1.0


def histogram_cells(options: CodebookOptions, numbers: int) -> int:
    """Return the histogram cells of each number, from how many numbers the dataset has."""
    return options.cells or max(FEWEST_CELLS, min(MOST_CELLS, ALL_CELLS // max(numbers, 1)))


def build_codebook(columns: tuple[Column, ...], states: ColumnStates, options: CodebookOptions) -> Codebook:
    """Return the codings of all columns that can be coded: all kinds but text, in the order of ``columns``."""
    codings: dict[str, Coding] = {}
    for column, histogram in zip(states.numbers, states.histograms, strict=True):
        bins = (options.bins, options.pair_bins)
        codings[column.name] = number_coding(column, histogram.cells, histogram.counts, histogram.shift, bins)
    for column, level_counts in zip(states.categories, states.levels, strict=True):
        if column.kind is not Kind.CATEGORY:
            continue
        if level_counts.levels is None:
            codings[column.name] = hashed_coding(column, level_counts.counts, level_counts.heavy(), options.pair_bins)
        else:
            levels, rows = level_counts.levels.to_pylist(), level_counts.counts.tolist()
            codings[column.name] = category_coding(column, levels, rows, options.pair_bins)
    return Codebook(tuple(codings[column.name] for column in columns if column.name in codings))


def duplicate_candidates(states: ColumnStates) -> tuple[tuple[Column, Column], ...]:
    """Return pairs of columns of one type whose values and counts are the same, constants left out.

    At most `CANDIDATES` pairs: columns that are permutations of one another agree in their counts, too.
    """
    by_counts: dict[tuple[object, ...], list[Column]] = {}
    for column, histogram in zip(states.numbers, states.histograms, strict=True):
        if len(histogram.cells) > 1:
            key = (column.type, histogram.shift, histogram.cells.tobytes(), histogram.counts.tobytes())
            by_counts.setdefault(key, []).append(column)
    for column, level_counts in zip(states.categories, states.levels, strict=True):
        if level_counts.levels is None or len(level_counts.levels) > 1:
            levels = () if level_counts.levels is None else tuple(level_counts.levels.to_pylist())
            by_counts.setdefault((column.type, level_counts.missing, levels, level_counts.counts.tobytes()), []).append(
                column
            )
    pairs = (pair for columns in by_counts.values() for pair in combinations(columns, 2))
    return tuple(islice(pairs, CANDIDATES))


def target_values(states: ColumnStates, target: Column) -> int:
    """Return how many values a target takes, exactly or, of a number of many values, as occupied histogram cells."""
    if target.is_numeric:
        return len(states.histograms[states.numbers.index(target)].cells)
    return int(np.count_nonzero(states.levels[states.categories.index(target)].counts))
