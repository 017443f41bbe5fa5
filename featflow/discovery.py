"""q-values of a table that comes block by block: every row counts towards every other row's.

The blocks wait on the driver's disk, compressed; memory holds 8 bytes a row for
its p-value, 8 for its q-value, and while one method is sorted another 32 a row of it.
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.measures.significance import false_discovery_rates

__all__ = ["with_q_values"]


def with_q_values(tables: Iterable[pa.Table], procedure: str) -> Iterator[pa.Table]:
    """Yield tables of one schema again with their q-values, over all rows of one ``method``; null where p is null.

    Parameters
    ----------
    tables
        With columns method, p_value and q_value; all are taken before the first is yielded.
    procedure
        As in `false_discovery_rates`.

    Examples
    --------
    >>> from featflow.tables import build
    >>> blocks = [build("correlation", {"method": ["pearson"], "p_value": [p]}) for p in (0.01, 0.04, None)]
    >>> [block["q_value"][0].as_py() for block in with_q_values(blocks, "benjamini_hochberg")]
    [0.02, 0.04, None]
    """
    p_values: dict[str, list[np.ndarray]] = defaultdict(list)
    with tempfile.TemporaryFile() as waiting:
        writer = None
        for table in tables:
            writer = writer or pa.ipc.new_stream(
                waiting, table.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")
            )
            writer.write_table(table.combine_chunks())
            for method, rows in _by_method(table):
                p_values[method].append(table["p_value"].to_numpy()[rows])
        if writer is None:
            return
        writer.close()
        q_values = {
            method: false_discovery_rates(np.concatenate(p_values.pop(method)), procedure) for method in [*p_values]
        }
        taken = dict.fromkeys(q_values, 0)
        waiting.seek(0)
        with pa.ipc.open_stream(waiting) as reader:
            for batch in reader:
                table = pa.Table.from_batches([batch])
                q_value = np.full(table.num_rows, np.nan)
                for method, rows in _by_method(table):
                    q_value[rows] = q_values[method][taken[method] : taken[method] + len(rows)]
                    taken[method] += len(rows)
                index = table.schema.get_field_index("q_value")
                yield table.set_column(index, table.schema.field(index), pa.array(q_value, mask=np.isnan(q_value)))


def _by_method(table: pa.Table) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every method of a table and the indices of its rows."""
    for method in pc.unique(table["method"]).to_pylist():
        yield method, np.flatnonzero(pc.equal(table["method"], method).to_numpy(zero_copy_only=False))
