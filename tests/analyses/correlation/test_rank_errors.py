"""Spearman's measured bound against the exact coefficient, however values are missing."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import spearmanr

from featflow.analyses.correlation.rank_errors import RankedColumn, measured_bound, single_values
from featflow.columns.binning import number_coding
from featflow.columns.column import Column, Kind
from featflow.columns.encoding import encode, ranks
from featflow.summaries import ValueHistogramsSummarizer

N = 4_000
COLUMNS = tuple(Column(name, "float64", Kind.NUMBER) for name in "xy")


def bound_and_error(x, y, cells=65_536):
    """The measured bound, and how far the coefficient of ranks among all values is from the exact one."""
    batch = pa.record_batch({"x": pa.array(x, from_pandas=True), "y": pa.array(y, from_pandas=True)})
    histograms = ValueHistogramsSummarizer(COLUMNS, cells).summarize(batch).histograms
    codings = [number_coding(c, h.cells, h.counts, h.shift, (64, 16)) for c, h in zip(COLUMNS, histograms, strict=True)]
    codes = [c.groups[encode(batch.column(i), c)] for i, c in enumerate(codings)]
    table = np.zeros([int(c.groups.max()) + 1 for c in codings], np.int64)
    np.add.at(table, tuple(codes), 1)
    both = ~np.isnan(x) & ~np.isnan(y)
    ranked = [ranks(batch.column(i), c)[0][both] for i, c in enumerate(codings)]
    value = np.corrcoef(*ranked)[0, 1]
    sides = [
        RankedColumn(c, float(r.std()), int((~np.isnan(v)).sum()))
        for c, r, v in zip(codings, ranked, (x, y), strict=True)
    ]
    return measured_bound(value, table, *sides), abs(value - spearmanr(x[both], y[both]).statistic)


def drawn(random, correlation, *, ties):
    x = random.normal(size=N)
    y = correlation * x + np.sqrt(1 - correlation**2) * random.normal(size=N)
    return (np.round(x * 3), np.round(np.exp(y) * 2)) if ties else (x, np.exp(y))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("correlation", [0.0, 0.7, -0.95])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.4])
def test_the_measured_bound_holds_however_values_are_missing(share, correlation, ties):
    random = np.random.default_rng(1)
    for kind in ("at random", "the small", "the middle", "one bin", "ends of bins", "of one sign"):
        x, y = drawn(random, correlation, ties=ties)
        rank = np.argsort(np.argsort(x)) / N
        where = {
            "at random": random.random(N),
            "the small": rank,
            "the middle": abs(rank - 0.5),
            "one bin": abs(rank - 0.3),
            "ends of bins": np.where(rank * 16 % 1 > 0.5, 0, 1) * (rank < 0.5) + (rank * 16 % 1 > 0.5) * (rank >= 0.5),
            "of one sign": np.where(x * (y - np.median(y)) > 0, random.random(N), 1.0),
        }[kind]
        gone = np.argsort(where, kind="stable")[: int(share * N)]
        y[gone] = np.nan
        x[random.random(N) < share / 2] = np.nan
        for cells in (65_536, 256):
            bound, error = bound_and_error(x, y, cells)
            assert error <= bound + 1e-12, (kind, cells)


def test_the_measured_bound_is_tight_where_values_are_missing_at_random():
    """A share f is missing in each column: f / 8 of it is unknown within bins; the general bound takes all."""
    random = np.random.default_rng(2)
    x, y = drawn(random, 0.6, ties=False)
    x[random.random(N) < 0.02], y[random.random(N) < 0.02] = np.nan, np.nan
    bound, error = bound_and_error(x, y)
    assert error <= bound < 0.02 / 8 * 2 + 0.001
    few = random.integers(0, 5, (2, N)).astype(float)
    few[1, random.random(N) < 0.2] = np.nan
    bound, error = bound_and_error(*few)
    assert error <= bound + 1e-12
    assert bound < 0.003  # bins of one value: their ranks among the rest are known


def test_infinities_leave_the_bound_open():
    x, y = drawn(np.random.default_rng(3), 0.5, ties=False)
    y[1] = np.nan
    assert np.isfinite(bound_and_error(x, y)[0])
    x[0] = np.inf  # in a bin, and without a rank
    table = np.full((17, 17), 10, np.int64)
    coding = number_coding(COLUMNS[0], np.arange(20, dtype=np.uint64), np.ones(20, int), 0, (64, 16))
    sides = (RankedColumn(coding, 0.28, int(table[1:].sum()) - 1), RankedColumn(coding, 0.28, int(table[:, 1:].sum())))
    assert np.isnan(measured_bound(0.5, table, *sides))


def test_single_values_are_the_bins_of_one_value():
    cells, rows = np.arange(20, dtype=np.uint64), np.ones(20, int)
    assert single_values(number_coding(COLUMNS[0], cells[:5], rows[:5], 0, (64, 16)))[1:].all()
    assert not single_values(number_coding(COLUMNS[0], cells[:5] << np.uint64(3), rows[:5], 3, (64, 16)))[1:].any()
    of_twenty = single_values(number_coding(COLUMNS[0], cells, rows, 0, (64, 16)))
    assert of_twenty[1:].sum() == 12  # four of sixteen bins hold two values
