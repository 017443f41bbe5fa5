"""Parts of the embedding table, one a shard: vectors of its images with the keys of their rows."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from featflow.analyses.embedding.tables import EMBEDDING
from featflow.columns.column import Column, Kind, Role
from featflow.dataset.batches import batch_rows, read_batches
from featflow.dataset.dataset import Quarantined, Shard
from featflow.dataset.image_places import MORE
from featflow.errors import InfrastructureError
from featflow.execution import state_store
from featflow.storage.run_writer import Written
from featflow.storage.store import Store
from featflow.summaries import StoredSummarizer

if TYPE_CHECKING:
    from featflow.transforms.images.embeddings import Embedding  # torch, for those who have images

__all__ = [
    "WHOLE_NUMBERS",
    "EmbeddingWork",
    "WrittenImages",
    "as_key",
    "embedding_part",
    "key_column",
    "key_type",
]

TIME, NANOSECONDS = pa.timestamp("us", "UTC"), pa.timestamp("ns", "UTC")
WHOLE_NUMBERS = {f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)}


@dataclass(frozen=True)
class EmbeddingWork:
    """Input that the tasks of all parts share."""

    store: Store
    """Where states are, and parts go."""
    embeddings: tuple[Embedding, ...]
    """Columns of images and their encoders."""
    keys: tuple[Column, ...]
    """Entity columns and event time."""
    options: dict[str, Any] = field(repr=False)
    """Of the dataset's filesystem."""


@dataclass(frozen=True)
class WrittenImages(Written):
    """One part of the table."""

    statuses: dict[str, dict[str, int]]
    """Images by column and status."""
    refused: dict[str, int]
    """Images by column that rows may not name."""


def embedding_part(work: EmbeddingWork, item: tuple[Shard, str]) -> WrittenImages:
    """Write a shard's part of the table."""
    shard, path = item
    keys, tables, statuses, refused = _key_table(work, shard), [], {}, {}
    for embedding in work.embeddings:
        stored = state_store.load(work.store, StoredSummarizer(embedding), shard.digest).table
        images = {name: stored[embedding.named(name).name] for name in ("status", "error", "vector")}
        rows = len(stored)
        if rows != shard.rows:
            raise InfrastructureError(f"{shard.file.uri}: {rows} images of {shard.rows} rows; run again")
        values = {"status": images["status"], "error": images["error"]}
        values["embedding"] = images["vector"].cast(pa.list_(pa.float32()))
        values |= {name: pa.repeat(value, rows) for name, value in _identity(embedding).items()}
        arrays = [values[name] for name in EMBEDDING.schema.names]
        columns = [*keys.columns, *arrays]
        tables.append(pa.table(columns, schema=pa.schema([*keys.schema, *EMBEDDING.schema])))
        statuses[embedding.column.name] = dict(Counter(images["status"].to_pylist()))
        refused[embedding.column.name] = pc.sum(pc.ends_with(images["error"], MORE)).as_py() or 0
    table = pa.concat_tables(tables).combine_chunks()
    _, data = work.store.write_parquet(path, table)
    return WrittenImages(len(table), len(data), hashlib.sha256(data).hexdigest(), statuses, refused)


def _identity(embedding: Embedding) -> dict[str, pa.Scalar]:
    return {"column": pa.scalar(embedding.column.name), "encoder": pa.scalar(embedding.encoder_id)}


def _key_table(work: EmbeddingWork, shard: Shard) -> pa.Table:
    """Return the keys of a shard's rows; no columns without keys."""
    if not work.keys:
        return pa.table({})
    kinds = {column: key_type(column) for column in work.keys}
    columns, batches = tuple(key_column(column, kind) for column, kind in kinds.items()), []
    for batch in read_batches(shard, columns, work.options, batch_rows(columns)):
        if isinstance(batch, Quarantined):
            raise InfrastructureError(f"{batch.uri}: its keys became unreadable during the run; run again")
        batches.append(batch)
    table = pa.Table.from_batches(batches)
    arrays = [as_key(table[column.name], kind) for column, kind in kinds.items()]
    return pa.table(arrays, names=table.column_names)


def key_type(column: Column) -> pa.DataType:
    """Return the type of a key in the table: that of the files where it is whole numbers, booleans or days, else text.

    Times are in UTC, in nanoseconds where all files have them so, else in microseconds; whole numbers of several types
    are int64. A key in nanoseconds and in other units is text: neither unit holds the times of both.
    """
    kinds = column.source_type.split("|")
    in_nanoseconds = [kind.startswith("timestamp[ns") for kind in kinds]
    time = NANOSECONDS if all(in_nanoseconds) else TIME
    if column.role is Role.EVENT_TIME:
        return time if column.kind is Kind.TIME else pa.type_for_alias(column.type)
    if all(kind in WHOLE_NUMBERS for kind in kinds) and (len(kinds) == 1 or "uint64" not in kinds):
        return pa.type_for_alias(kinds[0] if len(kinds) == 1 else "int64")
    if all(kind.startswith(("timestamp", "date")) for kind in kinds) and any(in_nanoseconds) == all(in_nanoseconds):
        return pa.date32() if all(kind.startswith("date") for kind in kinds) else time
    return pa.bool_() if kinds == ["bool"] else pa.string()


def key_column(column: Column, kind: pa.DataType) -> Column:
    """Return the column that reads a key of a type."""
    if kind == NANOSECONDS:  # the reader's numbers are microseconds, its texts have all digits
        return Column(column.name, "string", Kind.CATEGORY)
    if column.role is Role.EVENT_TIME or kind == pa.string():
        return column
    if pa.types.is_temporal(kind):
        return Column(column.name, "int64", Kind.TIME)
    return Column(column.name, "uint64" if kind == pa.uint64() else "int64", Kind.NUMBER)


def as_key(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return the values of a key, as `key_column` reads them, in their type."""
    if kind == NANOSECONDS:
        return values.cast(pa.string()).cast(pa.timestamp("ns")).cast(kind)
    return (values.cast(TIME) if pa.types.is_temporal(kind) else values).cast(kind)
