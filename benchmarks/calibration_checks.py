"""What the lines of calibration.py share: limits on rates, processes, and codings of drawn columns."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from math import sqrt
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

import featflow
from featflow.columns.binning import category_coding
from featflow.columns.codebook import CategoryCoding
from featflow.columns.column import Column, Kind

SEED = 20260101
PROCESSES = 2
PAIR_LEVELS = 16

Item = TypeVar("Item")
Result = TypeVar("Result")


def widened(low: float, high: float, draws: int, wanted: int) -> tuple[float, float]:
    """Return limits on a rate: as given from ``wanted`` draws on, three binomial standard errors wider below."""
    if draws >= wanted:
        return low, high
    reach = [3 * sqrt(max(limit * (1 - limit), 0.0) / draws) for limit in (low, high)]
    return max(low - reach[0], 0.0), min(high + reach[1], 1.0)


def in_processes(function: Callable[[Item], Result], items: Sequence[Item], small: bool) -> Iterable[Result]:
    """Yield the function of every item, in order, from `PROCESSES` processes; a small run is over before they start."""
    if small:
        yield from map(function, items)
        return
    with ProcessPoolExecutor(PROCESSES, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(function, items)


def levels_of(name: str, levels: int) -> CategoryCoding:
    """Return the coding of a column of so many levels, named 0, 1, ..."""
    column = Column(name, "string", Kind.CATEGORY)
    return category_coding(column, [str(level) for level in range(levels)], [1] * levels, PAIR_LEVELS)


def batch_of(**columns: np.ndarray) -> pa.RecordBatch:
    """Return a batch of category columns from the numbers of their levels."""
    return pa.record_batch({name: _dictionary(numbers) for name, numbers in columns.items()})


def _dictionary(numbers: np.ndarray) -> pa.DictionaryArray:
    names = pa.array([str(level) for level in range(int(numbers.max()) + 1)])
    return pa.DictionaryArray.from_arrays(pa.array(numbers.astype(np.int32)), names)


def ranking_rows(folder: Path, dataset: dict[str, Any], **analyses: Any) -> list[dict[str, Any]]:
    """Run the job for the ranking alone, with results below the folder, and return its rows by rank."""
    config = {
        "dataset": dataset,
        "output": str(folder / "results"),
        "analyses": {"correlation": False, "interaction": False} | analyses,
        "engine": {"kind": "serial"},
    }
    return list(featflow.run(config).arrow("ranking").to_pylist())
