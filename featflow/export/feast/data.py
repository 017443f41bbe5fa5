"""Copies of a run's rows that Feast can read: each part whole from the moment it has its name, and nothing else there.

A part is named by what it holds and how that was read, so the next export writes what is new, and removes what is no
longer of the run. A row without a key or event time is none that Feast could find: it is left out and counted.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.analyses.embedding.parts import key_column, key_type
from featflow.dataset.batches import batch_rows, read_batches
from featflow.dataset.dataset import Quarantined, Shard
from featflow.errors import InfrastructureError
from featflow.execution.derived_columns import DerivedColumns, file_columns
from featflow.export.feast.source import Source
from featflow.export.feast.types import TIME, as_key_values, as_values, read_as
from featflow.export.feast.views import View
from featflow.storage.run import Run
from featflow.storage.store import Store

__all__ = ["Copied", "copy_view"]

Part = tuple[str, Callable[[], pa.Table]]
"""Digest of what a part holds, and what makes it."""
NAME = re.compile(r"part-([0-9a-f]+)-(\d+)\.parquet")
"""Digest of a part, and how many rows it leaves out: so the next export knows without opening it."""
FORMAT = 2
"""Of copies of the dataset's columns: raise it when other rows are made of the same files, read the same way."""


@dataclass(frozen=True)
class Copied:
    """What a copy took."""

    parts: int
    """Parts in all."""
    written: int
    """Parts that were not there yet."""
    left_out: int
    """Rows without a key, without event time, or without a vector, in all parts."""


def copy_view(run: Run, source: Source, view: View, store: Store) -> Copied:
    """Write the rows of a view, and remove what is there of earlier runs.

    Parameters
    ----------
    store
        Where copies are.

    Raises
    ------
    DatasetError
        A file has changed since the run read it.
    InfrastructureError
        Storage failed; what is written stays and is not written again.
    """
    there = {name for name in store.names(str(view.folder)) if name.endswith(".parquet")}
    parts = _of_images(run, view) if view.image else _of_columns(run, source, view)
    known = {found[1]: name for name in there if (found := NAME.fullmatch(name))}
    kept, written = set[str](), 0
    for digest, rows in parts:
        if digest not in known:
            table = rows()
            whole = _complete(table, view)
            known[digest] = f"part-{digest}-{len(table) - len(whole)}.parquet"
            store.write_parquet(f"{view.folder}/{known[digest]}", whole)
            written += 1
        kept.add(known[digest])
    left_out = sum(int(found[2]) for found in map(NAME.fullmatch, kept) if found)
    if not kept:
        kept.add("part-empty.parquet")
        store.write_parquet(f"{view.folder}/part-empty.parquet", view.schema.empty_table())
    for name in there - kept:
        store.remove(f"{view.folder}/{name}")
    return Copied(len(kept), written, left_out)


def _complete(table: pa.Table, view: View) -> pa.Table:
    """Return the rows that have keys, event time and, where it is a vector, their feature."""
    needed = [*(key.name for key in view.keys), view.time]
    needed += [feature.name for feature in view.features if feature.width]
    mask = np.ones(len(table), bool)
    for name in needed:
        mask &= table[name].is_valid().to_numpy()
    return table.filter(pa.array(mask)).combine_chunks()


def _of_columns(run: Run, source: Source, view: View) -> Iterator[Part]:
    """Yield a part for every shard that the run read."""
    features = {column.name: column for column in source.features}
    wanted = tuple(read_as(features[feature.column], feature.type) for feature in view.features)
    keys = tuple(key_column(key, key_type(key)) for key in source.keys)
    columns = (*keys, read_as(source.time, TIME), *wanted)

    def rows(shard: Shard) -> pa.Table:
        batches, derived = list[pa.RecordBatch](), DerivedColumns(run.store, shard.digest, columns)
        for batch in read_batches(shard, file_columns(columns), run.store.options, batch_rows(columns)):
            if isinstance(batch, Quarantined):
                raise InfrastructureError(f"{batch.uri}: row group {batch.row_group} became unreadable; run again")
            batches.append(derived.of(batch, sum(each.num_rows for each in batches)))
        read = pa.Table.from_batches(batches)
        arrays = [as_key_values(read[key.name], key) for key in source.keys]
        arrays.append(as_values(read[source.time.name], TIME))
        arrays += [as_values(read[feature.column], feature.type) for feature in view.features]
        return pa.table(arrays, schema=view.schema)

    reading = (FORMAT, columns, tuple(key_type(key) for key in source.keys))
    for shard in source.shards():
        yield hashlib.sha256(repr((shard.digest, reading)).encode()).hexdigest()[:24], partial(rows, shard)


def _of_images(run: Run, view: View) -> Iterator[Part]:
    """Yield a part for every part of the embedding table."""
    column, encoder = view.image or ("", "")
    for path in run.paths("embedding"):
        whole = run.store.read_parquet(path)
        ours = pc.and_(pc.equal(whole["column"], column), pc.equal(whole["encoder"], encoder))
        table = whole.filter(pc.and_(ours, pc.equal(whole["status"], "ok")))
        arrays = [table[key.column].cast(key.type) for key in view.keys]
        arrays.append(table[whole.column_names[len(view.keys)]].cast(TIME))
        if view.features[0].width:
            arrays.append(table["embedding"].cast(view.features[0].type))
        else:
            arrays += _unnested(table["embedding"], len(view.features))
        part = pa.table(arrays, schema=view.schema)
        yield _digest(part), part.combine_chunks


def _unnested(vectors: pa.ChunkedArray, width: int) -> list[pa.Array]:
    """Return each dimension of vectors, none of which is null."""
    values = pc.list_flatten(vectors).combine_chunks().to_numpy(zero_copy_only=False).reshape(len(vectors), width)
    return [pa.array(values[:, place]) for place in range(width)]


def _digest(table: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()[:24]
