"""Small datasets that the tests make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


def mixed_table(rows: int, seed: int = 7) -> pa.Table:
    """A table of all the kinds that matter: offsets, ties, missing values, ids, time, nested fields."""
    random = np.random.default_rng(seed)
    x = random.normal(size=rows)
    y = 0.6 * x + 0.8 * random.normal(size=rows)
    city = random.integers(0, 40, rows)
    target = (random.random(rows) < 1 / (1 + np.exp(-x - 0.1 * (city % 5)))).astype(np.int8)
    return pa.table(
        {
            "x": x,
            "y": pa.array(y + 1e8, mask=random.random(rows) < 0.1),
            "small": random.normal(size=rows).astype(np.float32),
            "count": pa.array(random.poisson(3, rows), pa.int32()),
            "big_id": pa.array((1 << 60) + random.permutation(rows), pa.int64()),
            "city": pa.array(np.char.add("city-", city.astype(str)), mask=random.random(rows) < 0.05),
            "flag": pa.array(random.random(rows) < 0.3),
            "when": pa.array(1_600_000_000_000_000 + random.integers(0, 10**13, rows), pa.timestamp("us")),
            "user": pa.array(np.char.add("u", random.integers(0, rows // 3, rows).astype(str))),
            "nested": pa.array([{"a": float(v), "b": "left" if v > 0 else "right"} for v in random.normal(size=rows)]),
            "target": target,
        }
    )


def write_parts(table: pa.Table, folder: Path, parts: int, group_rows: int | None = None) -> str:
    """Write a table as so many files and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    cuts = np.linspace(0, table.num_rows, parts + 1).astype(int)
    for index in range(parts):
        piece = table.slice(cuts[index], cuts[index + 1] - cuts[index])
        pq.write_table(piece, folder / f"part-{index:03d}.parquet", row_group_size=group_rows or max(piece.num_rows, 1))
    return str(folder)


def measured_again(config: dict) -> dict:
    """The same configuration with other room for bad rows, which decides no number: a run finds states, and measures.

    With the very same one it would publish the tables that are there.
    """
    budget = config.get("budget", {})
    bad_rows = budget.get("bad_rows", 0.001)
    return config | {"budget": budget | {"bad_rows": bad_rows + (0.001 if bad_rows < 0.9 else -0.001)}}
