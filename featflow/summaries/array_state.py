"""Converts states of numbers and arrays to Arrow and back.

Histograms, levels and sketches write a row a column instead: a block of 512 columns would have thousands of fields.
Stored columns write rows, of which later passes read some fields.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Self, get_args, get_type_hints

import numpy as np
import pyarrow as pa

__all__ = ["ArrayState"]


@dataclass(frozen=True, slots=True, eq=False)
class ArrayState:
    """Base of states whose fields are numbers, numpy arrays, tuples of these, dataclasses of these, or None.

    Examples
    --------
    >>> table = ArrayState(3).to_arrow()
    >>> table.column("rows").to_pylist(), ArrayState.from_arrow(table).rows
    ([[3]], 3)
    """

    rows: int
    """Rows seen."""

    def to_arrow(self) -> pa.Table:
        """Return one row, each number or array a list; shapes are in the metadata."""
        arrays = dict(_leaves("", self))
        metadata = {"version": "1", "shapes": json.dumps({name: array.shape for name, array in arrays.items()})}
        lists = {n: pa.LargeListArray.from_arrays([0, array.size], array.ravel()) for n, array in arrays.items()}
        return pa.table(lists).replace_schema_metadata(metadata)

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        leaves: dict[str, Any] = {}
        for name, shape in json.loads(table.schema.metadata[b"shapes"]).items():
            values = table.column(name).combine_chunks().flatten().to_numpy()
            leaves[name] = values.reshape(shape) if shape else values[0].item()
        state: Self = _from_leaves(cls, leaves, "")
        return state


def _leaves(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the numbers and arrays of a field with their dotted names; none of None."""
    if is_dataclass(value):
        children = [(field.name, getattr(value, field.name)) for field in fields(value)]
    elif isinstance(value, tuple):
        children = [(str(index), child) for index, child in enumerate(value)]
    else:
        if value is not None:
            yield name, np.asarray(value)
        return
    for key, child in children:
        yield from _leaves(f"{name}.{key}" if name else key, child)


def _from_leaves(kind: type[Any], leaves: dict[str, Any], prefix: str) -> Any:
    """Return a dataclass from its leaves."""
    hints, values = get_type_hints(kind), {}
    for field in fields(kind):
        name = prefix + field.name
        inner_leaves = [leaf for leaf in leaves if leaf.startswith(f"{name}.")]
        if not inner_leaves:
            values[field.name] = leaves.get(name)
            continue
        kinds: list[Any] = [each for each in get_args(hints[field.name]) if is_dataclass(each)]
        if not kinds:
            values[field.name] = tuple(leaves[f"{name}.{index}"] for index in range(len(inner_leaves)))
        else:
            values[field.name] = _from_leaves(kinds[0], leaves, f"{name}.")
    return kind(**values)
