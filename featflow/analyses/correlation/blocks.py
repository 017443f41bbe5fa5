"""The correlation table, made where the engine runs: measured block by block and put aside, then written part by part.

The driver holds little of a block: its p-values as a multiset, its strongest pairs, and, where the table
keeps the strongest of every column, the largest strengths of each.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.analyses.correlation.counts import cramers_v, pair_information
from featflow.analyses.correlation.moments import correlation_ratio, pearson, spearman
from featflow.analyses.correlation.options import Keep
from featflow.analyses.correlation.strongest import (
    FEATURES,
    Best,
    above,
    best_of_features,
    by_method,
    strengths,
    strongest,
)
from featflow.analyses.correlation.tables import CORRELATION
from featflow.analyses.recount import Bars, PairErrors
from featflow.execution.requests import Place
from featflow.measures.p_values import PValues, QValues
from featflow.storage.run_writer import Written
from featflow.storage.store import Store
from featflow.summaries import (
    CoMoments,
    CoMomentsSummarizer,
    GroupedMoments,
    GroupedMomentsSummarizer,
    PairCounts,
    PairCountsSummarizer,
    RankCoMomentsSummarizer,
)

__all__ = [
    "Block",
    "PairMeasure",
    "PartWork",
    "measure_counts",
    "measure_moments",
    "measure_ranks",
    "measure_ratios",
    "write_part",
]


@dataclass(frozen=True)
class PairMeasure:
    """Input that the measures of all blocks share."""

    features: dict[str, int]
    """Index of every column."""
    present: dict[str, int]
    """Finite values of every number."""
    methods: tuple[str, ...]
    """Configured methods."""
    confidence: float
    effective_share: float
    """Rows of equal weight that would say as much, as a share of the rows."""
    keep: Keep
    """Pairs to write."""
    error_bars: int
    """Strongest pairs of each method to report."""
    dense: str | None = None
    """Folder where values are written as matrices, too; None for none."""


@dataclass(frozen=True)
class Block:
    """Summary of a block that the driver holds."""

    place: Place
    """Where its rows wait."""
    rows: int
    """Rows put aside."""
    p_values: dict[str, PValues]
    """p-values of all pairs, by method."""
    strongest: pa.Table
    """Method, features and strength of the strongest pairs."""
    best: Best
    """Largest strengths of every column, where the table keeps the strongest of each."""
    matrices: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By method: path, rows and columns of the matrix that was written."""


def measure_moments(work: PairMeasure, place: Place, spec: CoMomentsSummarizer, state: CoMoments) -> Block:
    """Measure a block of pearson."""
    return _put_aside(work, place, pearson(spec, _over_groups(spec, state), work.confidence, work.effective_share))


def measure_ranks(work: PairMeasure, place: Place, spec: RankCoMomentsSummarizer, state: CoMoments) -> Block:
    """Measure a block of spearman."""
    table = spearman(spec, _over_groups(spec, state), work.present, work.confidence, work.effective_share)
    return _put_aside(work, place, table)


def _over_groups(spec: CoMomentsSummarizer | RankCoMomentsSummarizer, state: CoMoments) -> CoMoments:
    return state.over_groups() if spec.jackknife else state


def measure_ratios(work: PairMeasure, place: Place, spec: GroupedMomentsSummarizer, state: GroupedMoments) -> Block:
    """Measure a block of correlation ratios."""
    return _put_aside(work, place, correlation_ratio(spec, state, work.effective_share))


def measure_counts(work: PairMeasure, place: Place, spec: PairCountsSummarizer, state: PairCounts) -> Block:
    """Measure a block of Cramer's V and mutual information."""
    functions = {"cramers_v": cramers_v, "mutual_information": pair_information}
    tables = [functions[method](spec, state) for method in functions if method in work.methods]
    return _put_aside(work, place, pa.concat_tables([CORRELATION.empty(), *tables]))


def _put_aside(work: PairMeasure, place: Place, table: pa.Table) -> Block:
    """Put a block's rows aside, without rows that the table will not keep, and return the block's summary."""
    p_values = {
        method: PValues.of(table["p_value"].to_numpy(zero_copy_only=False)[rows]) for method, rows in by_method(table)
    }
    best = best_of_features(table, work.features, work.keep.top) if work.keep.top else {}
    matrices = _write_matrices(place, work.dense, table) if work.dense else {}
    reported = strongest(table, work.error_bars)
    if work.keep.top:  # a pair that is not among the best of its block is not among the best of all
        least = {method: np.full(len(work.features), np.inf) for method in best}
        for method, (names, values) in best.items():
            least[method][names] = values.min(axis=1)
        table = above(table, work.features, least)
    elif work.keep.above is not None:
        table = table.filter(pa.array(strengths(table) >= work.keep.above))
    if table.num_rows:
        place.put_aside(table)
    return Block(place, table.num_rows, p_values, reported, best, matrices)


def _write_matrices(place: Place, folder: str, table: pa.Table) -> dict[str, dict[str, Any]]:
    """Write a matrix of values for every method, and return its path and columns."""
    written = {}
    for method, rows in by_method(table):
        method_table = table.take(pa.array(rows)).combine_chunks()
        a, b = (pa.concat_arrays(method_table[name].chunks).dictionary_encode() for name in FEATURES)
        matrix = np.full((len(a.dictionary), len(b.dictionary)), np.nan)
        matrix[a.indices.to_numpy(), b.indices.to_numpy()] = method_table["value"].to_numpy(zero_copy_only=False)
        sink = pa.BufferOutputStream()
        pa.ipc.write_tensor(pa.Tensor.from_numpy(matrix), sink)
        path = f"{folder}/{method}/{place.index:06d}.arrow"
        data = sink.getvalue().to_pybytes()
        place.store.write(path, data)
        sides = {"rows": a.dictionary.to_pylist(), "columns": b.dictionary.to_pylist()}
        written[method] = {"path": path, **sides, "sha256": hashlib.sha256(data).hexdigest()}
    return written


# --- parts ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class PartWork:
    """Input that the tasks of all parts share."""

    store: Store
    features: dict[str, int]
    """Index of every column."""
    q_values: dict[str, QValues]
    """q-values of all p-values, by method."""
    least: dict[str, np.ndarray]
    """Strength that a pair of each column must reach, by method; empty where all pairs that wait are kept."""
    errors: Bars
    """Error bars of the strongest pairs."""


def write_part(work: PartWork, item: tuple[tuple[str, ...], str]) -> Written:
    """Write a part of the table from rows that were put aside."""
    waiting, path = item
    tables = [CORRELATION.empty()]
    for place in waiting:
        table = work.store.read_arrow(place)
        if work.least:
            table = above(table, work.features, work.least)
        tables.append(_completed(work, table))
    table = pa.concat_tables(tables).combine_chunks()
    _, data = work.store.write_parquet(path, table)
    return Written.of(table.num_rows, data)


def _completed(work: PartWork, table: pa.Table) -> pa.Table:
    """Return rows with estimates, q-values and error bars."""
    value, expected = (table[name].to_numpy(zero_copy_only=False) for name in ("value", "expected"))
    table = _with_column(table, "estimate", value - np.nan_to_num(expected))
    p_value = table["p_value"].to_numpy(zero_copy_only=False)
    q_value = np.full(table.num_rows, np.nan)
    for method, rows in by_method(table):
        q_value[rows] = work.q_values[method].of(p_value[rows])
        table = _with_errors(table, rows, work.errors.get(method, {}))
    return _with_column(table, "q_value", q_value)


def _with_errors(table: pa.Table, method_rows: np.ndarray, bars_of_pair: dict[tuple[str, str], PairErrors]) -> pa.Table:
    if not bars_of_pair:
        return table
    names = pa.array(sorted({name for pair in bars_of_pair for name in pair}))
    keys = [table[name].take(pa.array(method_rows)) for name in FEATURES]
    index = [pa.compute.index_in(key, value_set=names).fill_null(-1).to_numpy() for key in keys]
    known = np.flatnonzero((index[0] >= 0) & (index[1] >= 0))
    pairs = zip(*(key.take(pa.array(known)).to_pylist() for key in keys), strict=True)
    matched = [
        (method_rows[row], bars_of_pair[pair]) for row, pair in zip(known, pairs, strict=True) if pair in bars_of_pair
    ]
    if not matched:
        return table
    rows, values = np.array([row for row, _ in matched]), np.array([bars for _, bars in matched])
    estimate = table["estimate"].to_numpy(zero_copy_only=False)[rows]
    values[:, 3] = np.where(np.isnan(values[:, 3]), estimate, values[:, 3])
    values[:, 4] = np.fmin(values[:, 4], table["error_bound"].to_numpy(zero_copy_only=False)[rows])
    bound = np.nan_to_num(values[:, 4])  # ranks are known up to it, so the interval is widened by it
    values[:, 1] = np.where(bound > 0, np.maximum(values[:, 1] - bound, -1.0), values[:, 1])
    values[:, 2] = np.where(bound > 0, np.minimum(values[:, 2] + bound, 1.0), values[:, 2])
    # Fisher's z is cut off near 1, which is outside of what is turned back from it.
    values[:, 1], values[:, 2] = np.fmin(values[:, 1], values[:, 3]), np.fmax(values[:, 2], values[:, 3])
    for column, name in enumerate(PairErrors._fields):
        changed = table[name].to_numpy(zero_copy_only=False).copy()
        changed[rows] = values[:, column]
        table = _with_column(table, name, changed)
    jackknifed = np.zeros(table.num_rows, bool)
    jackknifed[rows] = True
    method_column = table.schema.get_field_index("error_method")
    changed = pa.compute.if_else(pa.array(jackknifed), "jackknife", table["error_method"])
    return table.set_column(method_column, table.schema.field(method_column), changed)


def _with_column(table: pa.Table, name: str, values: np.ndarray) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index), pa.array(values, mask=np.isnan(values)))
