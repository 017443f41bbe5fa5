"""Where a column's values come from: a file, the stored states of a transform, or a transform applied to a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from featflow.columns.column import Column, Transform
from featflow.dataset.canonical import canonical
from featflow.execution import state_store
from featflow.storage.store import Store
from featflow.summaries import RowsSpec, StoredSummarizer

__all__ = ["DerivedColumns", "file_columns", "stored_layers", "stored_rows"]


def file_columns(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns of files that must be read for these columns and for their inline transforms."""
    needed: dict[str, Column] = {}
    for column in columns:
        if column.derived is None:
            needed.setdefault(repr(column), column)
        elif not column.derived.stored:
            needed |= {repr(each): each for each in file_columns(column.derived.inputs) if repr(each) not in needed}
    return tuple(needed.values())


def _stored_transforms(columns: Sequence[Column]) -> dict[Transform, None]:
    """Return the stored transforms whose states are read for these columns, in order and without repeats."""
    transforms: dict[Transform, None] = {}
    for transform in dict.fromkeys(column.derived for column in columns if column.derived):
        transforms |= {transform: None} if transform.stored else _stored_transforms(transform.inputs)
    return transforms


def stored_layers(columns: Sequence[Column]) -> list[list[Transform]]:
    """Return the transforms whose states must exist before these columns are read, in the order of computing them.

    A transform stands in a later list than the transforms that it depends on.
    """
    layers: list[list[Transform]] = []
    waiting = list(_stored_transforms(columns))
    while waiting:
        layers.insert(0, waiting)
        waiting = list(_stored_transforms([column for transform in waiting for column in transform.inputs]))
        # A transform that another one needs moves to an earlier layer.
        layers = [[each for each in layer if each not in waiting] for layer in layers]
    return [layer for layer in layers if layer]


def stored_rows(store: Store, specs: Sequence[RowsSpec], name: str, fields: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield some fields of stored rows, batch by batch, of the shard or merged state of that name."""
    fields_by_spec = [(spec, [field for field in spec.fields if field in fields]) for spec in specs]
    files = [(state_store.path(spec, name), names) for spec, names in fields_by_spec if names]
    for batches in zip(*(store.read_arrow_batches(*file) for file in files), strict=True):
        yield pa.record_batch(
            {field: array for batch in batches for field, array in zip(batch.schema.names, batch.columns, strict=True)}
        )


class DerivedColumns:
    """The values of some columns in a shard, batch by batch.

    Parameters
    ----------
    shard
        Digest of the shard.
    columns
        Columns of any kind, of files or derived.
    """

    def __init__(self, store: Store, shard: str, columns: Sequence[Column]) -> None:
        self._columns, self._files = tuple(columns), file_columns(columns)
        self._stored: dict[str, pa.Array] = {}
        needed = _needed_columns(columns)
        for transform in _stored_transforms(columns):
            fields = [column.name for column in transform.outputs if repr(column) in needed]
            batches = list(stored_rows(store, [StoredSummarizer(transform)], shard, fields))
            for column in transform.outputs:
                if column.name in fields:
                    self._stored[repr(column)] = pa.concat_arrays([batch.column(column.name) for batch in batches])

    def of(self, batch: pa.RecordBatch, start: int) -> pa.RecordBatch:
        """Return the columns of a batch in their order, given a batch of `file_columns`.

        Parameters
        ----------
        start
            Place of the batch's first row in the shard.
        """
        if self._columns == self._files:
            return batch
        values = {repr(column): batch.column(place) for place, column in enumerate(self._files)}
        outputs = {key: array.slice(start, batch.num_rows) for key, array in self._stored.items()}
        arrays = [_column_values(column, values, outputs) for column in self._columns]
        return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in self._columns])


def _output_column(column: Column) -> Column:
    """Return a derived column with the type that its transform returns; ``dataset.kinds`` may change it."""
    outputs = column.derived.outputs if column.derived else (column,)
    return next(each for each in outputs if each.name == column.name)


def _needed_columns(columns: Sequence[Column]) -> set[str]:
    """Return the keys of the outputs that these columns need: their own, and those of inline transforms' inputs."""
    needed = {repr(_output_column(column)) for column in columns}
    for transform in {column.derived for column in columns if column.derived and not column.derived.stored}:
        needed |= _needed_columns(transform.inputs)
    return needed


def _column_values(column: Column, values: dict[str, pa.Array], outputs: dict[str, pa.Array]) -> pa.Array:
    """Return a column's values.

    Parameters
    ----------
    values
        Values of columns that are known already; this column and its inputs are added.
    outputs
        Outputs of transforms before they are cast to the column's type; likewise.
    """
    key = repr(column)
    if key not in values and column.derived:
        output_key, transform = repr(_output_column(column)), column.derived
        if output_key not in outputs:
            arrays = [_column_values(each, values, outputs) for each in transform.inputs]
            batch = pa.RecordBatch.from_arrays(arrays, names=[each.name for each in transform.inputs])
            outputs |= {
                repr(each_output): array
                for each_output, array in zip(transform.outputs, transform.apply(batch), strict=True)
            }
        values[key] = canonical(outputs[output_key], column)
    return values[key]
