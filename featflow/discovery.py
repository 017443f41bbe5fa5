"""q-values of a table that comes block by block: every row counts towards every other row's; error bars of the best.

The blocks wait on the driver's disk, compressed; memory holds 8 bytes a row for
its p-value, 8 for its q-value, and while one method is sorted another 32 a row of it.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.measures.significance import false_discovery_rates

__all__ = ["with_q_values"]

FEATURES = ("feature_a", "feature_b")


Pairs = dict[str, list[tuple[str, str]]]
"""Pairs of features, by method."""
Errors = Mapping[tuple[str, str, str], tuple[float, float, float]]
"""Standard error and interval, by method and features."""


def with_q_values(
    tables: Iterable[pa.Table], procedure: str, keep: int = 0, errors: Callable[[Pairs], Errors] | None = None
) -> Iterator[pa.Table]:
    """Yield correlation tables again with q-values over all rows of one ``method``, null where p is null.

    Parameters
    ----------
    tables
        With columns method, p_value and q_value; all are taken before the first is yielded.
    procedure
        As in `false_discovery_rates`.
    keep
        Strongest pairs of each method that get error bars of their own.
    errors
        What gives these error bars.

    Examples
    --------
    >>> from featflow.tables import build
    >>> blocks = [build("correlation", {"method": ["pearson"], "p_value": [p]}) for p in (0.01, 0.04, None)]
    >>> [block["q_value"][0].as_py() for block in with_q_values(blocks, "benjamini_hochberg")]
    [0.02, 0.04, None]
    """
    p_values: dict[str, list[np.ndarray]] = defaultdict(list)
    strongest = None
    with tempfile.TemporaryFile() as waiting:
        writer = None
        for table in tables:
            writer = writer or pa.ipc.new_stream(
                waiting, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
            )
            writer.write_table(table.combine_chunks())
            for method, rows in _by_method(table):
                p_values[method].append(table["p_value"].to_numpy()[rows])
            strongest = _strongest(strongest, table, keep)
        if writer is None:
            return
        writer.close()
        q_values = {
            method: false_discovery_rates(np.concatenate(p_values.pop(method)), procedure) for method in [*p_values]
        }
        found = errors(_pairs(strongest)) if errors and strongest is not None else {}
        taken = dict.fromkeys(q_values, 0)
        waiting.seek(0)
        with pa.ipc.open_stream(waiting) as reader:
            for batch in reader:
                table = pa.Table.from_batches([batch])
                q_value = np.full(table.num_rows, np.nan)
                for method, rows in _by_method(table):
                    q_value[rows] = q_values[method][taken[method] : taken[method] + len(rows)]
                    taken[method] += len(rows)
                table = _replaced(table, "q_value", q_value)
                yield _with_errors(table, found) if found else table


def _strongest(before: pa.Table | None, table: pa.Table, keep: int) -> pa.Table | None:
    """Return the strongest pairs of each method so far: method, features and strength."""
    if not keep:
        return None
    strength = np.abs(table["value"].to_numpy(zero_copy_only=False)) - np.nan_to_num(
        table["expected"].to_numpy(zero_copy_only=False)
    )
    some = table.select(["method", *FEATURES]).append_column("strength", pa.array(strength))
    some = some.filter(pa.array(np.isfinite(strength)))
    both = pa.concat_tables([before, some]) if before is not None else some
    order = [("method", "ascending"), ("strength", "descending"), *((name, "ascending") for name in FEATURES)]
    both = both.sort_by(order).combine_chunks()
    kept = np.zeros(len(both), bool)
    for _, rows in _by_method(both):
        kept[rows[:keep]] = True
    return both.filter(pa.array(kept))


def _pairs(strongest: pa.Table) -> Pairs:
    pairs: Pairs = defaultdict(list)
    for row in strongest.to_pylist():
        pairs[row["method"]].append((row["feature_a"], row["feature_b"]))
    return dict(pairs)


def _with_errors(table: pa.Table, found: Errors) -> pa.Table:
    keys = zip(*(table[name].to_pylist() for name in ("method", *FEATURES)), strict=True)
    at = [(row, found[key]) for row, key in enumerate(keys) if key in found]
    if not at:
        return table
    rows, values = np.array([row for row, _ in at]), np.array([bars for _, bars in at])
    bound = np.nan_to_num(table["error_bound"].to_numpy(zero_copy_only=False))[rows]  # ranks are known so well
    values[:, 1] = np.where(bound > 0, np.maximum(values[:, 1] - bound, -1.0), values[:, 1])
    values[:, 2] = np.where(bound > 0, np.minimum(values[:, 2] + bound, 1.0), values[:, 2])
    for index, name in enumerate(("standard_error", "ci_low", "ci_high")):
        changed = table[name].to_numpy(zero_copy_only=False).copy()
        changed[rows] = values[:, index]
        table = _replaced(table, name, changed)
    how = np.array(table["error_method"].to_pylist(), dtype=object)
    how[rows] = "jackknife"
    index = table.schema.get_field_index("error_method")
    return table.set_column(index, table.schema.field(index), pa.array(how.tolist(), pa.string()))


def _replaced(table: pa.Table, name: str, values: np.ndarray) -> pa.Table:
    index = table.schema.get_field_index(name)
    return table.set_column(index, table.schema.field(index), pa.array(values, mask=np.isnan(values)))


def _by_method(table: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every method of a table and the indices of its rows."""
    for method in pc.unique(table["method"]).to_pylist():
        yield method, np.flatnonzero(pc.equal(table["method"], method).to_numpy(zero_copy_only=False))
