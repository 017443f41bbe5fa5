"""The description of a table: name, meaning of a row, columns. Each package describes its own tables.

Tables are long and typed. A statistic that does not exist is null, never NaN
or infinity. Information quantities are in nats, said in the field's metadata.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

__all__ = [
    "INTEGER",
    "INTEGERS",
    "NAMES",
    "QUANTILE_PROBABILITIES",
    "QUARANTINE",
    "REAL",
    "REALS",
    "TESTS",
    "TEXT",
    "TableSpec",
    "field",
    "nats",
]

QUANTILE_PROBABILITIES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Probabilities of every column of quantiles."""

TEXT, INTEGER, REAL = pa.string(), pa.int64(), pa.float64()
NAMES, REALS, INTEGERS = pa.list_(TEXT), pa.list_(REAL), pa.list_(INTEGER)


def field(name: str, kind: pa.DataType, description: str, unit: str = "") -> pa.Field:
    """Return a column with its meaning and unit as metadata."""
    metadata = {"description": description} | ({"unit": unit} if unit else {})
    return pa.field(name, kind, metadata=metadata)


def nats(name: str, description: str) -> pa.Field:
    """Return a column of information, in nats."""
    return field(name, REAL, description, "nats")


TESTS = (
    field("p_value", REAL, "Probability of a score at least this large under the null."),
    field("q_value", REAL, "Smallest false-discovery rate at which this row would be reported."),
)
"""Columns of every table whose rows are hypothesis tests."""


@dataclass(frozen=True)
class TableSpec:
    """One table of a run."""

    name: str
    """Its name: its file, and what readers ask for."""
    row: str
    """What a row is, as in "A row is a column"."""
    schema: pa.Schema
    """Its columns, each with what it means and its unit."""
    of_columns: tuple[str, ...] = ()
    """Fields computed from all columns that were read, for lineage."""
    of_images: tuple[str, ...] = ()
    """Fields computed from images, for lineage."""

    def build(self, columns: dict[str, Any]) -> pa.Table:
        """Return the table from its columns; absent columns are null, NaN and infinities become null.

        Parameters
        ----------
        columns
            Arrays or lists of one length, by field name.

        Examples
        --------
        >>> QUARANTINE.build({"uri": ["a.parquet"], "reason": ["unreadable_file"]}).column("rows").null_count
        1
        """
        length = max(map(len, columns.values()), default=0)
        unknown = set(columns) - set(self.schema.names)
        if unknown:
            raise KeyError(f"table {self.name} has no column {sorted(unknown)}")
        arrays = [_array(columns.get(each.name), each.type, length) for each in self.schema]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def empty(self) -> pa.Table:
        """Return the table without rows."""
        return self.schema.empty_table()

    def describe(self) -> dict[str, Any]:
        """Return the published JSON description: field names, types, units, meanings."""
        fields = []
        for each in self.schema:
            metadata = {key.decode(): value.decode() for key, value in (each.metadata or {}).items()}
            fields.append({"name": each.name, "type": str(each.type), **metadata})
        return {"table": self.name, "fields": fields}


def _array(values: Any, kind: pa.DataType, length: int) -> pa.Array:
    if values is None:
        return pa.nulls(length, kind)
    if kind == REAL:
        real = (
            values
            if isinstance(values, np.ndarray)
            else np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        )
        return pa.array(real, kind, mask=~np.isfinite(real))
    return pa.array(values, kind)


QUARANTINE = TableSpec(
    name="quarantine",
    row="something that could not be read",
    schema=pa.schema(
        [
            field("uri", TEXT, "File."),
            field("row_group", INTEGER, "Row group; null for a whole file."),
            field("row", INTEGER, "Row within the row group; null for a whole row group."),
            field("column", TEXT, "Column at fault, where known."),
            field("rows", INTEGER, "Rows lost; null where the footer cannot be read."),
            field("reason", TEXT, "unreadable_file or unreadable_row_group."),
            field("detail", TEXT, "What the reader said."),
        ]
    ),
)
"""Written by every run, whatever it computes."""
