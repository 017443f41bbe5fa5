"""A column of images as vectors, and what else is seen of each image: read by later passes in place of pixels.

Stored, as decoding and encoding, by far the dearest work of a run, are done once for a shard and an encoder. Cost: 4
bytes a number of the vector and some 50 a row.
"""

from __future__ import annotations

import hashlib
import sys
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import pyarrow as pa

from featflow.columns.column import Column, Kind, Transform, Worker
from featflow.columns.hashing import DIGEST_BYTES
from featflow.dataset.batches import IMAGE_BYTES
from featflow.summaries import VectorMomentsSummarizer
from featflow.transforms.images.decoders import ApartDecoder, Decoder
from featflow.transforms.images.decoding_memory import PIXEL_BYTES, SMALL_BYTES, DecodingMemory
from featflow.transforms.images.encoders import DescriptorsSpec, EncoderSpec, load
from featflow.transforms.images.pictures import THUMBNAIL, Status
from featflow.transforms.images.postprocessing import Postprocessing

__all__ = ["Embedding"]

AS_THEY_ARE = Postprocessing()
IMAGE_COPIES = 5
"""Encoded images as Arrow, joined, as Python's bytes; and those of the next batch, as Arrow and joined."""
DECODING_SHARE, PICTURE_SHARE = 1 / 4, 3 / 4
"""Parts of `budget.memory` for the pictures that a task decodes at once, of which two tasks take half, and for a single
one, which leaves a quarter to all else."""
ROW_BYTES = 128
"""Bytes of a row beside its vector."""


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
    """What makes vectors of them."""
    most_pixels: int
    """Pixels beyond which an image is not decoded."""
    postprocessing: Postprocessing = AS_THEY_ARE
    """What is done to a vector before it is kept."""
    thumbnail: int = THUMBNAIL
    """Longest side of what perceptual hashes are made of; those made of other thumbnails are not like them."""
    apart: bool = field(default=False, repr=False)
    """Whether images are decoded in a process of their own, which one of them may end."""
    memory: int = field(default=sys.maxsize, repr=False)
    """Bytes of the whole run, `budget.memory`."""

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
        """What makes the vectors, and what is done to them."""
        return self.encoder.id + self.postprocessing.name

    @property
    def space(self) -> str:
        """Digest of what decides what a vector means: those of one space may be compared."""
        return hashlib.sha256(repr((self.encoder, self.postprocessing)).encode()).hexdigest()[:16]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides its values; the run's memory is of it where pictures may take more."""
        digest, most = super().digest, self._most_bytes
        return digest if most == self._most_needed else hashlib.sha256(f"{digest} {most}".encode()).hexdigest()[:16]

    @property
    def _most_needed(self) -> int:
        """Bytes that a picture of the most pixels takes."""
        return self.most_pixels * PIXEL_BYTES + SMALL_BYTES

    @property
    def _most_bytes(self) -> int:
        """Bytes that decoding one picture may take."""
        return min(int(PICTURE_SHARE * self.memory), self._most_needed)

    @property
    def _decoding_bytes(self) -> int:
        """Bytes that the pictures may take that a task decodes at once."""
        return min(int(DECODING_SHARE * self.memory), self._most_needed)

    @property
    def inputs(self) -> tuple[Column, ...]:
        """The images."""
        return (self.column,)

    def named(self, what: str) -> Column:
        """Return one of the columns that it makes: status, error, width, height, content, perceptual_hash or vector."""
        types = {
            "status": ("string", Kind.CATEGORY),
            "error": ("string", Kind.TEXT),
            "width": ("int64", Kind.NUMBER),
            "height": ("int64", Kind.NUMBER),
            "content": ("binary", Kind.VECTOR),
            "perceptual_hash": ("uint64", Kind.NUMBER),
            "vector": ("vector", Kind.VECTOR),
        }
        before = f"{self.column.name}.descriptors" if self.of_pixels else self.column.name
        return Column(f"{before}.{what}", *types[what], derived=self)

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
        """An encoder, which is loaded once, beside batches of encoded images and pictures that are decoded."""
        nbytes = IMAGE_COPIES * IMAGE_BYTES + self._decoding_bytes + self.encoder.working_bytes
        return Worker(nbytes, resident=True, gpus=self.encoder.uses_gpus)

    def second_attempt(self) -> Embedding:
        """Return what decodes apart from its own process: an image may have ended the first one."""
        return replace(self, apart=True)

    def apply(self, batch: pa.RecordBatch) -> list[pa.Array]:
        """Return the columns of a batch."""
        images = batch.column(self.column.name)
        data, errors = (images.field(name).to_pylist() for name in ("bytes", "error"))
        pairs = list(zip(data, errors, strict=True))
        from featflow.transforms.images.encoding import encode_images  # noqa: PLC0415  torch

        memory = DecodingMemory(self._decoding_bytes, self._most_bytes)
        with (ApartDecoder if self.apart else Decoder)(self.most_pixels, memory) as decoder:
            found = encode_images(pairs, load(self.encoder), decoder)
        vectors = self.postprocessing.apply(found.vectors)
        absent = np.array([status is not Status.OK for status in found.statuses], bool)
        return [
            pa.array([status.value for status in found.statuses], pa.string()),
            pa.array([error or None for error in found.errors], pa.string()),
            *(pa.array(sides, pa.int32(), mask=absent) for sides in found.sizes.T),
            pa.array(found.contents, pa.binary(DIGEST_BYTES)),
            pa.array(found.perceptual_hashes, pa.uint64(), mask=absent),
            pa.FixedSizeListArray.from_arrays(
                pa.array(vectors.ravel(), pa.float32()), vectors.shape[1], mask=pa.array(absent)
            ),
        ]
