"""The embedding table, a part a shard: its images' vectors beside the keys that say whose they are."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from featflow import states
from featflow.columns import Column, Kind, Role
from featflow.dataset import Quarantined, Shard
from featflow.errors import InfrastructureError
from featflow.reading import batch_rows, read_batches
from featflow.storage import Store
from featflow.summaries import EmbeddingsSummarizer
from featflow.tables import schema

__all__ = ["EmbeddingWork", "WrittenImages", "embedding_part"]


@dataclass(frozen=True)
class EmbeddingWork:
    """What every part's task is given."""

    store: Store
    """Where states are, and parts go."""
    specs: tuple[EmbeddingsSummarizer, ...]
    """Columns of images and their encoders."""
    keys: tuple[Column, ...]
    """Entity columns and event time."""
    options: dict[str, Any] = field(repr=False)
    """Of the dataset's filesystem."""


@dataclass(frozen=True)
class WrittenImages:
    """One part of the table."""

    rows: int
    sha256: str
    statuses: dict[str, dict[str, int]]
    """Images by column and status."""


def embedding_part(work: EmbeddingWork, item: tuple[Shard, str]) -> WrittenImages:
    """Write a shard's part of the table."""
    shard, path = item
    keys, tables, statuses = _keys(work, shard), [], {}
    for spec in work.specs:
        images = states.load(work.store, spec, shard.digest).table
        if len(images) != shard.rows:
            raise InfrastructureError(f"{shard.file.uri}: {len(images)} images of {shard.rows} rows; run again")
        known = {"status": images["status"], "error": images["error"]}
        known["embedding"] = images["vector"].cast(pa.list_(pa.float32()))
        known |= {name: pa.repeat(value, len(images)) for name, value in _names(spec).items()}
        arrays = [known[name] for name in schema("embedding").names]
        columns = [*keys.columns, *arrays]
        tables.append(pa.table(columns, schema=pa.schema([*keys.schema, *schema("embedding")])))
        statuses[spec.column.name] = dict(Counter(images["status"].to_pylist()))
    table = pa.concat_tables(tables).combine_chunks()
    _, data = work.store.write_parquet(path, table)
    return WrittenImages(len(table), hashlib.sha256(data).hexdigest(), statuses)


def _names(spec: EmbeddingsSummarizer) -> dict[str, pa.Scalar]:
    return {"column": pa.scalar(spec.column.name), "encoder": pa.scalar(spec.encoder.id)}


def _keys(work: EmbeddingWork, shard: Shard) -> pa.Table:
    """Return the keys of a shard's rows, times as such; no columns without keys."""
    if not work.keys:
        return pa.table({})
    batches = []
    for batch in read_batches(shard, work.keys, work.options, batch_rows(work.keys)):
        if isinstance(batch, Quarantined):
            raise InfrastructureError(f"{batch.uri}: its keys became unreadable during the run; run again")
        batches.append(batch)
    table = pa.Table.from_batches(batches)
    arrays = [_key(column, table[column.name]) for column in work.keys]
    return pa.table(arrays, names=[column.name for column in work.keys])


def _key(column: Column, values: pa.ChunkedArray) -> pa.ChunkedArray:
    if column.role is Role.EVENT_TIME and column.kind is Kind.TIME:
        return values.cast(pa.timestamp("us", "UTC"))
    return pc.cast(values, pa.string()) if column.type == "string" else values
