"""Encoded images to vectors: threads decode the next pictures while the encoder works on the last ones."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from featflow.embedding.encoders import Encoder
from featflow.embedding.hashes import content_digest, difference_hash
from featflow.embedding.pictures import Picture, Status, decode

__all__ = ["Encoded", "Image", "encode_images"]

BATCHES_AHEAD = 2
"""Batches decoded or being decoded beside the one that is encoded."""

Image = tuple[bytes | None, str | None]
"""Encoded bytes, and why they could not be read."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """What became of one image."""

    status: Status
    """Whether there is a vector, or why not."""
    error: str = ""
    """What the reader, the decoder or the encoder said."""
    size: tuple[int, int] = (0, 0)
    """Width and height in pixels, upright."""
    content: bytes = b""
    """Digest of the pixels."""
    likeness: int = 0
    """Perceptual hash."""
    vector: np.ndarray | None = None
    """Shape (width of the encoder,), float32; finite or not, as the encoder gave it."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    encoded: Encoded
    pixels: np.ndarray | None = None


def encode_images(images: Sequence[Image], encoder: Encoder, most_pixels: int) -> list[Encoded]:
    """Return what became of every image, in order, decoded on ``torch.get_num_threads()`` threads.

    Parameters
    ----------
    most_pixels
        Pixels beyond which an image is not decoded.
    """
    read = partial(_decoded, longest=encoder.longest, most_pixels=most_pixels)
    found: list[Encoded] = []
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        ahead: deque[list[Future[_Decoded]]] = deque()
        for some in _batches(images, encoder.batch):
            ahead.append([pool.submit(read, image) for image in some])
            if len(ahead) > BATCHES_AHEAD:
                found += _vectors(encoder, ahead.popleft())
        for batch in ahead:
            found += _vectors(encoder, batch)
    return found


def _batches(images: Sequence[Image], size: int) -> Iterator[Sequence[Image]]:
    yield from (images[start : start + size] for start in range(0, len(images), size))


def _decoded(image: Image, *, longest: int, most_pixels: int) -> _Decoded:
    data, error = image
    picture = Picture(Status.UNREADABLE, error) if error else decode(data, most_pixels)
    if picture.pixels is None:
        return _Decoded(Encoded(picture.status, picture.error))
    height, width, _ = picture.pixels.shape
    hashes = content_digest(picture.pixels), difference_hash(picture.pixels)
    return _Decoded(Encoded(Status.OK, "", (width, height), *hashes), picture.reduced(longest))


def _vectors(encoder: Encoder, waiting: list[Future[_Decoded]]) -> list[Encoded]:
    decoded = [each.result() for each in waiting]
    there = [(index, each.pixels) for index, each in enumerate(decoded) if each.pixels is not None]
    found = [each.encoded for each in decoded]
    if there:
        sizes = np.array([found[index].size for index, _ in there])
        vectors = encoder.encode([pixels for _, pixels in there], sizes)
        for (index, _), vector in zip(there, vectors, strict=True):
            of = found[index]
            found[index] = Encoded(of.status, of.error, of.size, of.content, of.likeness, vector)
    return found
