"""Second moments in their time: Pearson and Spearman against pandas, and against the bare products of numpy.

Five ways over memory-resident Arrow batches, each beside what it is measured by, in turn, medians. The answers
of both are asserted to be the same. Without `--small` the ratios are, too. Run it by

    python benchmarks/moments.py [--json FILE] [--small]

The widest comparison holds 200,000 rows of 2,000 float64 columns, 3 GiB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from featflow.analyses.correlation.moments import pearson, spearman
from featflow.columns.binning import number_coding
from featflow.columns.codebook import NumberCoding
from featflow.columns.column import Column, Kind
from featflow.summaries import CoMoments, CoMomentsSummarizer, RankCoMomentsSummarizer, ValueHistogramsSummarizer

SEED = 20260301
REPEATS, LONG = 5, 10.0
"""Runs of what takes less than so many seconds; what takes longer runs once more."""
CELLS, BINS = 65_536, (64, 16)
BATCH_ROWS = 131_072
WIDE_BATCH_ROWS = 16_384


@dataclass(frozen=True)
class Case:
    """A comparison: what is timed, and what it is measured by."""

    name: str
    """What is compared."""
    ours: Callable[[], np.ndarray]
    """Returns the correlations of all pairs, first column by first column."""
    theirs: Callable[[], np.ndarray]
    """Returns a matrix."""
    correlations: Callable[[np.ndarray], np.ndarray]
    """Turns that matrix into correlations, outside of the time."""
    at_most: float
    """Largest ratio of the medians."""
    tolerance: float
    """Largest difference of a correlation."""


@dataclass(frozen=True)
class Measured:
    """A finished comparison."""

    name: str
    """What is compared."""
    seconds: float
    """Median of ours."""
    reference_seconds: float
    """Median of the other."""
    ratio: float
    """Of the two."""
    at_most: float
    """Largest ratio that passes."""
    difference: float
    """Largest difference of a correlation."""


def batches(x: np.ndarray, rows: int) -> list[pa.RecordBatch]:
    """Return columns, shape (columns, rows), as record batches over the same memory."""
    names = [f"column_{index}" for index in range(len(x))]
    return [
        pa.record_batch([pa.array(column[start : start + rows]) for column in x], names)
        for start in range(0, x.shape[1], rows)
    ]


def columns_of(x: np.ndarray) -> tuple[Column, ...]:
    """Return the columns of a block."""
    return tuple(Column(f"column_{index}", x.dtype.name, Kind.NUMBER) for index in range(len(x)))


def codebook(x: np.ndarray, data: list[pa.RecordBatch]) -> tuple[NumberCoding, ...]:
    """Return the codings of all columns, from their histograms."""
    spec = ValueHistogramsSummarizer(columns_of(x), CELLS)
    state = spec.empty()
    for batch in data:
        state = state.merge(spec.summarize(batch))
    both = zip(spec.columns, state.histograms, strict=True)
    return tuple(number_coding(column, h.cells, h.counts, h.shift, BINS) for column, h in both)


def folded(spec: CoMomentsSummarizer | RankCoMomentsSummarizer, data: list[pa.RecordBatch]) -> CoMoments:
    """Return the moments of all batches."""
    state = spec.empty()
    for batch in data:
        state = state.merge(spec.summarize(batch))
    return state


def our_pearson(codings: tuple[NumberCoding, ...], data: list[pa.RecordBatch]) -> np.ndarray:
    """Return Pearson's correlations, from batches to table."""
    spec = CoMomentsSummarizer(codings, codings)
    return np.asarray(pearson(spec, folded(spec, data)).column("value").to_numpy())


def our_spearman(x: np.ndarray, data: list[pa.RecordBatch]) -> np.ndarray:
    """Return Spearman's correlations, from batches over histograms and ranks to table."""
    codings = codebook(x, data)
    spec = RankCoMomentsSummarizer(codings, codings)
    present = {coding.column.name: int(np.isfinite(column).sum()) for coding, column in zip(codings, x, strict=True)}
    return np.asarray(spearman(spec, folded(spec, data), present).column("value").to_numpy())


def correlations_of(product: np.ndarray, mean: np.ndarray, rows: int) -> np.ndarray:
    """Return the correlations that a product of columns says."""
    covariance = product / rows - np.outer(mean, mean)
    deviation = np.sqrt(covariance.diagonal())
    return np.asarray(covariance / np.outer(deviation, deviation))


def pairs(matrix: np.ndarray) -> np.ndarray:
    """Return the pairs of a correlation matrix, each once."""
    return np.asarray(matrix[np.triu_indices(len(matrix), 1)])


def factors(columns: int, rows: int, dtype: str, missing: int = 0) -> np.ndarray:
    """Return correlated columns; in the first ``missing`` every twentieth value is NaN."""
    random = np.random.default_rng((SEED, columns, rows, missing))
    x = random.standard_normal((columns, rows), np.float32).astype(dtype)
    x += (x[: max(columns // 10, 1)].mean(axis=0) * 2).astype(dtype)
    for column in x[:missing]:
        column[random.random(rows) < 0.05] = np.nan
    return x


def cases(scale: int) -> list[Callable[[], Case]]:
    """Return what makes each comparison, rows divided by ``scale``; data is made when a case's turn comes."""

    def with_missing() -> Case:
        x = factors(60, 1_000_000 // scale, "float32", 6)
        data, frame = batches(x, BATCH_ROWS), pd.DataFrame(x.T, copy=False)
        codings = codebook(x, data)
        name = f"pearson, {x.shape[1]:,} x 60 float32, 6 columns with 5 % missing, pandas corr"
        return Case(name, lambda: our_pearson(codings, data), lambda: frame.corr().to_numpy(), np.asarray, 1 / 8, 1e-10)

    def complete() -> Case:
        x = factors(60, 1_000_000 // scale, "float32")
        data = batches(x, BATCH_ROWS)
        codings = codebook(x, data)
        name = f"pearson, {x.shape[1]:,} x 60 float32, numpy corrcoef"
        return Case(name, lambda: our_pearson(codings, data), lambda: np.corrcoef(x), np.asarray, 1.5, 1e-12)

    def wide() -> Case:
        x = factors(2_000 // min(scale, 10), 200_000 // scale, "float64")
        data = batches(x, WIDE_BATCH_ROWS)
        first = batches(x[:, :WIDE_BATCH_ROWS], WIDE_BATCH_ROWS)
        codings, columns = codebook(x, first), x.T
        answer = partial(correlations_of, mean=x.mean(axis=1), rows=x.shape[1])
        name = f"pearson, {x.shape[1]:,} x {len(x):,} float64, numpy x.T @ x"
        return Case(name, lambda: our_pearson(codings, data), lambda: columns.T @ columns, answer, 2.0, 1e-10)

    def by_rank(missing: int, at_most: float) -> Case:
        x = factors(60, 200_000 // scale, "float32", missing)
        data, frame = batches(x, BATCH_ROWS), pd.DataFrame(x.T, copy=False)
        said = f", {missing} columns with 5 % missing" * bool(missing)
        name = f"spearman, {x.shape[1]:,} x 60 float32{said}, histogram and ranks, pandas corr"
        return Case(
            name, lambda: our_spearman(x, data), lambda: frame.corr("spearman").to_numpy(), np.asarray, at_most, 1e-3
        )

    return [with_missing, complete, wide, partial(by_rank, 6, 1 / 20), partial(by_rank, 0, 1 / 5)]


def timed(work: Callable[[], np.ndarray]) -> tuple[float, np.ndarray]:
    """Return the seconds of a call, and what it returns."""
    start = time.perf_counter()
    answer = work()
    return time.perf_counter() - start, answer


def measure(case: Case, repeats: int) -> Measured:
    """Run both in turn; assert that they say the same."""
    ours, theirs = [], []
    while len(ours) < repeats and (len(ours) < 2 or max(ours + theirs) < LONG):
        seconds, found = timed(case.ours)
        ours.append(seconds)
        seconds, truth = timed(case.theirs)
        theirs.append(seconds)
    difference = float(np.abs(found - pairs(case.correlations(truth))).max())
    if not difference <= case.tolerance:
        raise SystemExit(f"{case.name}: correlations differ by {difference:.2g}")
    seconds, reference = statistics.median(ours), statistics.median(theirs)
    return Measured(case.name, seconds, reference, seconds / reference, case.at_most, difference)


def main() -> None:
    """Run all comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="where to write the figures")
    parser.add_argument("--small", action="store_true", help="few rows, answers alone")
    options = parser.parse_args()
    measured = []
    print(f"{'seconds':>8} {'beside':>8} {'ratio':>6} {'at most':>7}  comparison")
    for make in cases(20 if options.small else 1):
        result = measure(make(), 1 if options.small else REPEATS)
        measured.append(result)
        print(
            f"{result.seconds:8.3f} {result.reference_seconds:8.3f} {result.ratio:6.3f} {result.at_most:7.3f}"
            f"  {result.name}",
            flush=True,
        )
    if options.json:
        options.json.write_text(json.dumps([asdict(result) for result in measured], indent=1))
    late = [result.name for result in measured if result.ratio > result.at_most]
    if late and not options.small:
        raise SystemExit(f"slower than they may be: {', '.join(late)}")


if __name__ == "__main__":
    main()
