"""Where the values of columns lie: in files, in the states of what was made of them, or in what is made of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from featflow.columns.column import Column
from featflow.columns.transform import Transform
from featflow.dataset.batches import canonical
from featflow.execution import state_store
from featflow.storage.store import Store
from featflow.summaries import RowsSpec, StoredSummarizer

__all__ = ["DerivedColumns", "file_columns", "stored_layers", "stored_rows"]


def file_columns(columns: Sequence[Column]) -> tuple[Column, ...]:
    """Return the columns of files that these are read from, or made of while they are read."""
    found: dict[str, Column] = {}
    for column in columns:
        if column.derived is None:
            found.setdefault(repr(column), column)
        elif not column.derived.stored:
            found |= {repr(each): each for each in file_columns(column.derived.inputs) if repr(each) not in found}
    return tuple(found.values())


def _stored(columns: Sequence[Column]) -> dict[Transform, None]:
    """Return the transforms whose states are read for these columns."""
    found: dict[Transform, None] = {}
    for transform in dict.fromkeys(column.derived for column in columns if column.derived):
        found |= {transform: None} if transform.stored else _stored(transform.inputs)
    return found


def stored_layers(columns: Sequence[Column]) -> list[list[Transform]]:
    """Return the transforms whose states must be there before these columns are read, those first that need no other.

    Each follows those that it is made of, in a later list.
    """
    layers: list[list[Transform]] = []
    waiting = list(_stored(columns))
    while waiting:
        layers.insert(0, waiting)
        waiting = list(_stored([column for transform in waiting for column in transform.inputs]))
        layers = [[each for each in layer if each not in waiting] for layer in layers]
    return [layer for layer in layers if layer]


def stored_rows(store: Store, specs: Sequence[RowsSpec], name: str, fields: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Yield some fields of the rows of a shard, or of several joined, that specs keep by that name."""
    wanted = [(spec, [field for field in spec.fields if field in fields]) for spec in specs]
    files = [(state_store.path(spec, name), some) for spec, some in wanted if some]
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
        Of any kind.
    """

    def __init__(self, store: Store, shard: str, columns: Sequence[Column]) -> None:
        self._columns, self._files = tuple(columns), file_columns(columns)
        self._stored: dict[str, pa.Array] = {}
        needed = _inner(columns)
        for transform in _stored(columns):
            fields = [column.name for column in transform.outputs if repr(column) in needed]
            batches = list(stored_rows(store, [StoredSummarizer(transform)], shard, fields))
            for column in transform.outputs:
                if column.name in fields:
                    self._stored[repr(column)] = pa.concat_arrays([batch.column(column.name) for batch in batches])

    def of(self, batch: pa.RecordBatch, start: int) -> pa.RecordBatch:
        """Return the columns of a batch that holds those of files, in their order.

        Parameters
        ----------
        start
            Place of the batch's first row in the shard.
        """
        if self._columns == self._files:
            return batch
        values = {repr(column): batch.column(place) for place, column in enumerate(self._files)}
        made = {key: array.slice(start, batch.num_rows) for key, array in self._stored.items()}
        arrays = [_value(column, values, made) for column in self._columns]
        return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in self._columns])


def _native(column: Column) -> Column:
    """Return a derived column as its transform makes it: kinds may say that it is to be read as another type."""
    outputs = column.derived.outputs if column.derived else (column,)
    return next(each for each in outputs if each.name == column.name)


def _inner(columns: Sequence[Column]) -> set[str]:
    """Return what is needed for columns: themselves as they are made, and what inline transforms are made of."""
    found = {repr(_native(column)) for column in columns}
    for transform in {column.derived for column in columns if column.derived and not column.derived.stored}:
        found |= _inner(transform.inputs)
    return found


def _value(column: Column, values: dict[str, pa.Array], made: dict[str, pa.Array]) -> pa.Array:
    """Return a column's values.

    Parameters
    ----------
    values
        Columns that are there already; those that are made join them.
    made
        Outputs of transforms as these make them; likewise.
    """
    key = repr(column)
    if key not in values and column.derived:
        native, transform = repr(_native(column)), column.derived
        if native not in made:
            arrays = [_value(each, values, made) for each in transform.inputs]
            batch = pa.RecordBatch.from_arrays(arrays, names=[each.name for each in transform.inputs])
            made |= {
                repr(output): array for output, array in zip(transform.outputs, transform.apply(batch), strict=True)
            }
        values[key] = canonical(made[native], column)
    return values[key]
