"""Images to vectors, statuses, sizes and hashes, which later passes read in place of pixels.

Stored: decoding and encoding are by far the most expensive work of a run, and are done once for each shard and encoder.
Cost: 4 bytes for each number of a vector and some 50 for each row.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa

from featflow.columns.column import Column, Kind
from featflow.columns.hashing import DIGEST_BYTES
from featflow.columns.transform import Transform, Worker
from featflow.dataset.batches import IMAGE_BYTES
from featflow.summaries import VectorMomentsSummarizer
from featflow.transforms.images.decoders import ApartDecoder, Decoder
from featflow.transforms.images.encoders import DescriptorsSpec, EncoderSpec, load
from featflow.transforms.images.encoding import encode_images
from featflow.transforms.images.pictures import THUMBNAIL, Status
from featflow.transforms.images.postprocessing import Postprocessing

__all__ = ["Embedding"]

UNCHANGED = Postprocessing()
IMAGE_COPIES = 5
"""Copies of encoded images in memory: as Arrow, joined, as Python's bytes; the next batch's as Arrow, joined."""
ROW_BYTES = 128
"""Bytes of a row beside its vector: above the 50 or so of its columns, as texts of errors have no fixed length."""


@dataclass(frozen=True, repr=False, eq=False)
class Embedding(Transform):
    """Images to vectors, and to their status, error, sides, digest of their bytes, and perceptual hash.

    All but the status is null where there is no picture. Of descriptors the names of the columns begin
    ``photo.descriptors.``, of a model ``photo.``: an image column may have one of each.

    Examples
    --------
    >>> from featflow.dataset.image_bytes import IMAGE_TYPE
    >>> made = Embedding(Column("photo", "image", Kind.IMAGE), DescriptorsSpec(), most_pixels=10**8)
    >>> values = [{"bytes": b"", "error": None}, {"bytes": None, "error": None}]
    >>> made.apply(pa.record_batch({"photo": pa.array(values, IMAGE_TYPE)}))[0].to_pylist()
    ['empty', 'missing']
    """

    kind = "embedding"
    stored = True

    column: Column
    """The images."""
    encoder: EncoderSpec
    """The encoder."""
    most_pixels: int
    """Pixels beyond which an image is not decoded."""
    postprocessing: Postprocessing = UNCHANGED
    """Changes to a vector before it is stored."""
    thumbnail: int = THUMBNAIL
    """Longest side of the thumbnails of perceptual hashes, which those of other thumbnails cannot be compared with."""
    apart: bool = field(default=False, repr=False)
    """Whether images are decoded in a process of their own, which one of them may end."""

    @property
    def of_pixels(self) -> bool:
        """Whether its vectors are descriptors."""
        return isinstance(self.encoder, DescriptorsSpec)

    @property
    def width(self) -> int:
        """Dimensions of a vector."""
        return self.postprocessing.width(self.encoder.width)

    @property
    def encoder_id(self) -> str:
        """The encoder's id, and the changes to its vectors."""
        return self.encoder.id + self.postprocessing.name

    @property
    def space(self) -> str:
        """Digest of the encoder and the changes to its vectors: vectors of one space may be compared."""
        return hashlib.sha256(repr((self.encoder, self.postprocessing)).encode()).hexdigest()[:16]

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The images."""
        return (self.column,)

    def named(self, what: str) -> Column:
        """Return one of its output columns: status, error, width, height, content, perceptual_hash or vector."""
        types = {
            "status": ("string", Kind.CATEGORY),
            "error": ("string", Kind.TEXT),
            "width": ("int64", Kind.NUMBER),
            "height": ("int64", Kind.NUMBER),
            "content": ("binary", Kind.VECTOR),
            "perceptual_hash": ("uint64", Kind.NUMBER),
            "vector": ("vector", Kind.VECTOR),
        }
        prefix = f"{self.column.name}.descriptors" if self.of_pixels else self.column.name
        return Column(f"{prefix}.{what}", *types[what], derived=self)

    @property
    def moments(self) -> VectorMomentsSummarizer:
        """The spec of the moments of its vectors."""
        return VectorMomentsSummarizer(self.named("vector"), self.width)

    @property
    def outputs(self) -> tuple[Column, ...]:
        """All columns."""
        return tuple(map(self.named, ("status", "error", "width", "height", "content", "perceptual_hash", "vector")))

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return 4 * self.width + ROW_BYTES

    @property
    def worker(self) -> Worker:
        """Memory for an encoder, which is loaded once, and for batches of encoded images."""
        return Worker(
            IMAGE_COPIES * IMAGE_BYTES + self.encoder.working_bytes, resident=True, gpus=self.encoder.uses_gpus
        )

    def second_attempt(self) -> Embedding:
        """Return the same, decoding in a process of its own: an image may have crashed the first attempt."""
        return replace(self, apart=True)

    def apply(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return the columns of a batch."""
        images = batch.column(self.column.name)
        data, errors = (images.field(name).to_pylist() for name in ("bytes", "error"))
        pairs = list(zip(data, errors, strict=True))
        with ApartDecoder(self.most_pixels) if self.apart else Decoder(self.most_pixels) as decoder:
            encoded = encode_images(pairs, load(self.encoder), decoder)
        vectors = self.postprocessing.apply(encoded.vectors)
        absent = np.array([status is not Status.OK for status in encoded.statuses], bool)
        return [
            pa.array([status.value for status in encoded.statuses], pa.string()),
            pa.array([error or None for error in encoded.errors], pa.string()),
            *(pa.array(sides, pa.int32(), mask=absent) for sides in encoded.sizes.T),
            pa.array(encoded.contents, pa.binary(DIGEST_BYTES)),
            pa.array(encoded.perceptual_hashes, pa.uint64(), mask=absent),
            pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.ravel(), pa.float32()), vectors.shape[1], mask=pa.array(absent)
            ),
        ]
