"""A shard's images as vectors, a row an image: what later passes read in place of pixels.

Merging is concatenation. Cost: 4 bytes a number of the vector and some 50 a row; decoding and encoding, by far the
dearest work of a run, are done once for a shard and an encoder.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pyarrow as pa

from featflow.columns.column import Column
from featflow.columns.hashing import DIGEST_BYTES
from featflow.dataset.batches import IMAGE_BYTES
from featflow.summaries.protocol import Spec, Worker
from featflow.transforms.images.decoders import ApartDecoder, Decoder
from featflow.transforms.images.encoders import EncoderSpec, load
from featflow.transforms.images.encoding import Encoded, encode_images
from featflow.transforms.images.form import VectorForm
from featflow.transforms.images.pictures import THUMBNAIL, Status

__all__ = ["Embeddings", "EmbeddingsSummarizer", "embeddings_schema"]

AS_THEY_ARE = VectorForm()
IMAGE_COPIES = 5
"""Encoded images as Arrow, joined, as Python's bytes; and those of the next batch, as Arrow and joined."""
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
class EmbeddingsSummarizer(Spec[Embeddings]):
    """Spec of `Embeddings`.

    Examples
    --------
    >>> from featflow.columns.column import Kind
    >>> from featflow.transforms.images.encoders import DescriptorsSpec
    >>> from featflow.dataset.image_bytes import IMAGE_TYPE
    >>> spec = EmbeddingsSummarizer(Column("photo", "image", Kind.IMAGE), DescriptorsSpec(), most_pixels=10**8)
    >>> values = [{"bytes": b"", "error": None}, {"bytes": None, "error": None}]
    >>> spec.summarize(pa.record_batch({"photo": pa.array(values, IMAGE_TYPE)})).table["status"].to_pylist()
    ['empty', 'missing']
    """

    name = "embeddings"
    state = Embeddings
    by_shard = True

    column: Column
    """The images."""
    encoder: EncoderSpec
    """What makes vectors of them."""
    most_pixels: int
    """Pixels beyond which an image is not decoded."""
    form: VectorForm = AS_THEY_ARE
    """What is done to a vector before it is kept."""
    shard_rows: int = field(default=0, repr=False)
    """Rows of the largest shard, for `nbytes`."""
    thumbnail: int = THUMBNAIL
    """Longest side of what perceptual hashes are made of; those made of other thumbnails are not like them."""
    apart: bool = field(default=False, repr=False)
    """Whether images are decoded in a process of their own, which one of them may end."""

    @property
    def columns(self) -> tuple[Column, ...]:
        """The images."""
        return (self.column,)

    @property
    def width(self) -> int:
        """Dimensions of a vector."""
        return self.form.width(self.encoder.width)

    @property
    def encoder_id(self) -> str:
        """What makes the vectors, and what is done to them."""
        return self.encoder.id + self.form.name

    def empty(self) -> Embeddings:
        """Return no rows."""
        return Embeddings(0, embeddings_schema(self.width).empty_table())

    def summarize(self, batch: pa.RecordBatch) -> Embeddings:
        """Return the vectors of a batch."""
        images = batch.column(self.column.name)
        data, errors = (images.field(name).to_pylist() for name in ("bytes", "error"))
        pairs = list(zip(data, errors, strict=True))
        with ApartDecoder(self.most_pixels) if self.apart else Decoder(self.most_pixels) as decoder:
            found = encode_images(pairs, load(self.encoder), decoder)
        return Embeddings(batch.num_rows, _table(found, self.form.apply(found.vectors)))

    @property
    def worker(self) -> Worker:
        """An encoder, which is loaded once, beside batches of encoded images."""
        return Worker(
            IMAGE_COPIES * IMAGE_BYTES + self.encoder.working_bytes, resident=True, gpus=self.encoder.uses_gpus
        )

    def second_attempt(self) -> Self:
        """Return a spec that decodes apart from its own process: an image may have ended the first one."""
        return replace(self, apart=True)

    def nbytes(self) -> int:
        """Return the bytes of the largest shard's vectors."""
        return self.shard_rows * (4 * self.width + ROW_BYTES)


def _table(found: Encoded, vectors: np.ndarray) -> pa.Table:
    absent = np.array([status is not Status.OK for status in found.statuses], bool)
    count, width = vectors.shape
    columns = [
        pa.array([status.value for status in found.statuses]),
        pa.array([error or None for error in found.errors], pa.string()),
        *(pa.array(sides, mask=absent) for sides in found.sizes.T),
        pa.array(found.contents, pa.binary(DIGEST_BYTES)),
        pa.array(found.likenesses, mask=absent),
        pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), width, mask=pa.array(absent)),
    ]
    return pa.table(columns, embeddings_schema(width)) if count else embeddings_schema(width).empty_table()
