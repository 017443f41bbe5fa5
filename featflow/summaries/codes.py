"""Stores the pair codes of a shard's rows, from which the pairs of columns are counted.

Joint counts of all pairs take more memory than the data of a shard; codes take one byte a cell.
A row's weight is kept beside them. The state is a multiset of coded rows: nothing computed from it depends on the order
of rows. States of several shards are merged only where they are small together.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa

from featflow.columns.batch_cache import classes_of, pair_codes_of
from featflow.columns.codebook import Coding
from featflow.columns.column import Column
from featflow.columns.jackknife_groups import JackknifeGroups, group_codes
from featflow.columns.values import row_weights
from featflow.summaries.rows import RowsSpec

__all__ = ["GROUP_FIELD", "WEIGHT_FIELD", "CodesSummarizer", "column_field", "target_field"]

GROUP_FIELD = "group"
"""Field that holds the rows' groups."""
WEIGHT_FIELD = "weight"
"""Field that holds the rows' weights."""


def column_field(name: str) -> str:
    """Return the field that holds a column's pair codes."""
    return f"column:{name}"


def target_field(name: str) -> str:
    """Return the field that holds a target's classes, beside the column's own pair codes."""
    return f"target:{name}"


@dataclass(frozen=True, slots=True)
class CodesSummarizer(RowsSpec):
    """Spec of the rows of pair codes, uint8, 0 for missing, and of weights, float64.

    Examples
    --------
    >>> from featflow.columns.binning import category_coding
    >>> from featflow.columns.column import Kind
    >>> coding = category_coding(Column("x", "string", Kind.CATEGORY), ["a", "b"], [2, 1], 16)
    >>> batch = pa.record_batch({"x": pa.array(["b", None, "a"]).dictionary_encode()})
    >>> CodesSummarizer((coding,), ()).summarize(batch).table["column:x"].to_pylist()
    [2, 0, 1]
    """

    name = "codes"

    codings: tuple[Coding, ...]
    """Codings of columns that take part in pairs."""
    targets: tuple[Coding, ...]
    """Codings of targets whose classes are kept."""
    shard_rows: int = field(default=0, repr=False)
    """Rows of the largest shard, for `nbytes`."""
    weight: Column | None = None
    """Row weights, where they are to be kept."""
    jackknife: JackknifeGroups | None = None
    """Groups of rows, where they are to be kept; at most 256."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """Columns of all codings, what groups the rows, and the weight."""
        columns = dict.fromkeys(coding.column for coding in self.codings + self.targets)
        columns |= dict.fromkeys(self.jackknife.columns if self.jackknife else ())
        return tuple(columns) + ((self.weight,) if self.weight else ())

    @property
    def fields(self) -> tuple[str, ...]:
        """`column_field` of every column, `target_field` of every target, then groups and weights."""
        columns = tuple(column_field(coding.column.name) for coding in self.codings)
        targets = tuple(target_field(target.column.name) for target in self.targets)
        extra = ((GROUP_FIELD,) if self.jackknife else ()) + ((WEIGHT_FIELD,) if self.weight else ())
        return columns + targets + extra

    @property
    def row_bytes(self) -> int:
        """Bytes of a row: one a code, eight a weight."""
        return len(self.fields) + (7 if self.weight else 0)

    def values(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return the codes of a batch."""
        rows = [pair_codes_of(batch, coding) for coding in self.codings]
        rows += [classes_of(batch, target) for target in self.targets]
        rows += [group_codes(batch, self.jackknife).astype(np.uint8)] if self.jackknife else []
        weights = row_weights(batch, self.weight)
        return [pa.array(each) for each in (*rows, *([] if weights is None else [weights]))]
