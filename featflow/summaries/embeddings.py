"""A shard's images as vectors, a row an image: what later passes read in place of pixels.

Merging is concatenation. Cost: 4 bytes a number of the vector and some 50 a row; decoding and encoding, by far the
dearest work of a run, are done once for a shard and an encoder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns import Column
from featflow.embedding.encoders import DescriptorsSpec, load
from featflow.embedding.encoding import Encoded, encode_images
from featflow.embedding.hashes import DIGEST_BYTES

__all__ = ["Embeddings", "EmbeddingsSummarizer", "embeddings_schema"]

ROW_BYTES = 128
"""Bytes of a row beside its vector."""


def embeddings_schema(width: int) -> pa.Schema:
    """Return the columns of a state whose vectors have this length."""
    return pa.schema(
        [
            ("status", pa.string()),
            ("error", pa.string()),
            ("width", pa.int32()),
            ("height", pa.int32()),
            ("content", pa.binary(DIGEST_BYTES)),
            ("likeness", pa.uint64()),
            ("vector", pa.list_(pa.float32(), width)),
        ]
    )


@dataclass(frozen=True, slots=True, eq=False)
class Embeddings:
    """Images in the order of their rows; see `embeddings_schema`."""

    rows: int
    """Rows seen."""
    table: pa.Table
    """One row a row; all but the status is null where there is no picture."""

    def merge(self, other: Self) -> Self:
        """Return the rows of both operands."""
        return type(self)(self.rows + other.rows, pa.concat_tables([self.table, other.table]).combine_chunks())

    def to_arrow(self) -> pa.Table:
        """Return one row a row."""
        return self.table.replace_schema_metadata({"version": "1"})

    @classmethod
    def from_arrow(cls, table: pa.Table) -> Self:
        """Rebuild the state."""
        return cls(table.num_rows, table.replace_schema_metadata(None))


@dataclass(frozen=True, slots=True)
class EmbeddingsSummarizer:
    """Spec of `Embeddings`.

    Examples
    --------
    >>> from featflow.columns import Kind
    >>> from featflow.embedding.encoders import DescriptorsSpec
    >>> from featflow.embedding.sources import IMAGE_TYPE
    >>> spec = EmbeddingsSummarizer(Column("photo", "image", Kind.IMAGE), DescriptorsSpec(), most_pixels=10**8)
    >>> values = [{"bytes": b"", "error": None}, {"bytes": None, "error": None}]
    >>> spec.summarize(pa.record_batch({"photo": pa.array(values, IMAGE_TYPE)})).table["status"].to_pylist()
    ['empty', 'missing']
    """

    column: Column
    """The images."""
    encoder: DescriptorsSpec
    """What makes vectors of them."""
    most_pixels: int
    """Pixels beyond which an image is not decoded."""
    shard_rows: int = field(default=0, repr=False)
    """Rows of the largest shard, for `nbytes`."""

    @property
    def name(self) -> str:
        """Folder of its states."""
        return "embeddings"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The images."""
        return (self.column,)

    def empty(self) -> Embeddings:
        """Return no rows."""
        return Embeddings(0, embeddings_schema(self.encoder.width).empty_table())

    def summarize(self, batch: pa.RecordBatch) -> Embeddings:
        """Return the vectors of a batch."""
        images = batch.column(self.column.name)
        data, errors = (images.field(name).to_pylist() for name in ("bytes", "error"))
        found = encode_images(list(zip(data, errors, strict=True)), load(self.encoder), self.most_pixels)
        return Embeddings(len(found), _table(found, self.encoder.width))

    def nbytes(self) -> int:
        """Return the bytes of the largest shard's vectors."""
        return self.shard_rows * (4 * self.encoder.width + ROW_BYTES)


def _table(found: list[Encoded], width: int) -> pa.Table:
    absent = np.array([each.vector is None for each in found], bool)
    vectors = np.zeros((len(found), width), np.float32)
    for index, each in enumerate(found):
        if each.vector is not None:
            vectors[index] = each.vector
    columns = {
        "status": [each.status.value for each in found],
        "error": [each.error or None for each in found],
        "width": [each.size[0] or None for each in found],
        "height": [each.size[1] or None for each in found],
        "content": [each.content or None for each in found],
        "likeness": [None if each.vector is None else each.likeness for each in found],
    }
    schema = embeddings_schema(width)
    arrays = [pa.array(values, schema.field(name).type) for name, values in columns.items()]
    flat = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width, mask=pa.array(absent))
    return pa.table([*arrays, flat], schema)
