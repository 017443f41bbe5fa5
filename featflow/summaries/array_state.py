"""A state that is a few whole numbers and arrays: how it goes to Arrow and back."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
import pyarrow as pa

__all__ = ["ArrayState"]


@dataclass(frozen=True, slots=True, eq=False)
class ArrayState:
    """Base of states whose fields are integers and numpy arrays.

    Examples
    --------
    >>> table = ArrayState(3).to_arrow()
    >>> table.column("rows").to_pylist(), ArrayState.from_arrow(table).rows
    ([[3]], 3)
    """

    rows: int
    """Rows seen."""

    def to_arrow(self) -> pa.Table:
        """Return one row, each field a list; shapes are in the metadata."""
        arrays = {field.name: np.asarray(getattr(self, field.name)) for field in fields(self)}
        metadata = {"version": "1", "shapes": json.dumps({name: array.shape for name, array in arrays.items()})}
        lists = {n: pa.LargeListArray.from_arrays([0, array.size], array.ravel()) for n, array in arrays.items()}
        return pa.table(lists).replace_schema_metadata(metadata)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        found: dict[str, Any] = {}
        for name, shape in json.loads(table.schema.metadata[b"shapes"]).items():
            values = table.column(name).combine_chunks().flatten().to_numpy()
            found[name] = values.reshape(shape) if shape else int(values[0])
        return cls(**found)
