"""Copies a run's rows into folders of Parquet parts that Feast can read.

A view's folder is named by the parts that it holds, and is never changed once the definitions name it: other parts make
another folder, beside it, and what no definitions name any more is removed after they are written. The digest in a
part's name is of its rows and of how they were read. So the next export writes only new parts; those that stay are
linked on a disk, and copied by the store itself elsewhere. Feast cannot look up a row without a key or event time: such
rows are left out and counted.
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
from featflow.storage.many_files import copy, remove_folder
from featflow.storage.run import Run
from featflow.storage.store import Store

__all__ = ["Copied", "copy_view", "remove_others"]

Part = tuple[str, Callable[[], pa.Table]]
"""Digest of a part's rows, and the function that builds them."""
EMPTY = "part-empty.parquet"
"""A folder without parts has no schema that Feast could read."""
NAME = re.compile(r"part-([0-9a-f]+)-(\d+)\.parquet")
"""Digest of a part, and the number of rows it leaves out, which the next export thus knows without opening the part."""
FORMAT = 2
"""Version of copied columns, part of their digests: raise it when the same files and columns give other rows."""


@dataclass(frozen=True)
class Copied:
    """Parts and rows of a view's copy."""

    folder: str
    """Where they are, below that of all copies."""
    parts: int
    """Parts in all."""
    written: int
    """Parts that were not there yet."""
    left_out: int
    """Rows without a key, without event time, or without a vector, in all parts."""


def copy_view(run: Run, source: Source, view: View, store: Store) -> Copied:
    """Write the rows of a view into a folder of their own, which no definitions name yet unless it is whole already.

    Parameters
    ----------
    store
        Holds the copies.

    Raises
    ------
    DatasetError
        A file has changed since the run read it.
    InfrastructureError
        Storage failed; what is written stays and is not written again.
    """
    parts = list(_image_parts(run, view) if view.image else _column_parts(run, source, view))
    members = hashlib.sha256("\n".join(sorted(digest for digest, _ in parts)).encode()).hexdigest()[:16]
    folder = f"{view.folder}-{members}"
    # Those of this folder last: a part that is there is neither written nor copied.
    folders = [*sorted(_folders_of(view, store) - {folder}), folder]
    place_of = {
        match[1]: f"{each}/{match[0]}"
        for each in folders
        if view.folder and each.startswith(view.folder)
        for match in map(NAME.fullmatch, store.names(each))
        if match
    }
    left_out = written = 0
    for digest, build in parts:
        place = place_of.get(digest)
        if place is None:
            table = build()
            complete = _complete_rows(table, view)
            place = f"{folder}/part-{digest}-{len(table) - len(complete)}.parquet"
            store.write_parquet(place, complete)
            written += 1
        name = place.rpartition("/")[2]
        if place != f"{folder}/{name}":
            copy(store, place, f"{folder}/{name}")
        match = NAME.fullmatch(name)
        left_out += int(match[2]) if match else 0
    if not parts:
        store.write_parquet(f"{folder}/{EMPTY}", view.schema.empty_table())
    return Copied(folder, len(parts) or 1, written, left_out)


def remove_others(view: View, store: Store) -> None:
    """Remove the folders of a view's earlier copies, once definitions are written that name the view's own."""
    for folder in sorted(_folders_of(view, store) - {view.folder}):
        remove_folder(store, folder)


def _folders_of(view: View, store: Store) -> set[str]:
    of_view = re.compile(rf"{re.escape(view.name)}-[0-9a-f]{{8}}(-[0-9a-f]{{16}})?")
    return {name for name in store.names("") if of_view.fullmatch(name)}


def _complete_rows(table: pa.Table, view: View) -> pa.Table:
    """Return the rows without nulls in keys, event time and features that are vectors."""
    needed = [*(key.name for key in view.keys), view.time]
    needed += [feature.name for feature in view.features if feature.width]
    mask = np.ones(len(table), bool)
    for name in needed:
        mask &= table[name].is_valid().to_numpy()
    return table.filter(pa.array(mask)).combine_chunks()


def _column_parts(run: Run, source: Source, view: View) -> Iterator[Part]:
    """Yield a part of the dataset's columns for every shard that the run read."""
    features = {column.name: column for column in source.features}
    feature_columns = tuple(read_as(features[feature.column], feature.type) for feature in view.features)
    keys = tuple(key_column(key, key_type(key)) for key in source.keys)
    columns = (*keys, read_as(source.time, TIME), *feature_columns)

    def rows(shard: Shard) -> pa.Table:
        batches, derived = list[pa.RecordBatch](), DerivedColumns(run.store, shard.digest, columns)
        for batch in read_batches(shard, file_columns(columns), run.store.options, batch_rows(columns)):
            if isinstance(batch, Quarantined):
                raise InfrastructureError(f"{batch.uri}: row group {batch.row_group} became unreadable; run again")
            batches.append(derived.of(batch, sum(each.num_rows for each in batches)))
        table = pa.Table.from_batches(batches)
        arrays = [as_key_values(table[key.name], key) for key in source.keys]
        arrays.append(as_values(table[source.time.name], TIME))
        arrays += [as_values(table[feature.column], feature.type) for feature in view.features]
        return pa.table(arrays, schema=view.schema)

    reading = (FORMAT, columns, tuple(key_type(key) for key in source.keys))
    for shard in source.shards():
        yield hashlib.sha256(repr((shard.digest, reading)).encode()).hexdigest()[:24], partial(rows, shard)


def _image_parts(run: Run, view: View) -> Iterator[Part]:
    """Yield a part of an image column's vectors for every part of the embedding table."""
    for path in run.paths("embedding"):
        yield _table_digest(_image_part(run, view, path)), partial(_image_part, run, view, path)


def _image_part(run: Run, view: View, path: str) -> pa.Table:
    column, encoder = view.image or ("", "")
    embeddings = run.part(path)
    of_view = pc.and_(pc.equal(embeddings["column"], column), pc.equal(embeddings["encoder"], encoder))
    rows = embeddings.filter(pc.and_(of_view, pc.equal(embeddings["status"], "ok")))
    arrays = [rows[key.column].cast(key.type) for key in view.keys]
    times = rows[embeddings.column_names[len(view.keys)]]
    arrays.append(pc.floor_temporal(times, unit="microsecond").cast(TIME))
    if view.features[0].width:
        arrays.append(rows["embedding"].cast(view.features[0].type))
    else:
        arrays += _dimensions(rows["embedding"], len(view.features))
    return pa.table(arrays, schema=view.schema).combine_chunks()


def _dimensions(vectors: pa.ChunkedArray, width: int) -> list[pa.Array]:
    """Return each dimension of vectors as an array; no vector may be null."""
    values = pc.list_flatten(vectors).combine_chunks().to_numpy(zero_copy_only=False).reshape(len(vectors), width)
    return [pa.array(values[:, place]) for place in range(width)]


def _table_digest(table: pa.Table) -> str:
    # One chunk: the bytes of a stream depend on how a table is cut.
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    return hashlib.sha256(sink.getvalue()).hexdigest()[:24]
