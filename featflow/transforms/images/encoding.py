"""Encoded images to vectors, on threads.

Threads decode pieces of a batch. An encoder that uses all threads itself works on one batch while threads decode the
next ones; any other encodes each piece in the thread that decoded it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import torch

from featflow.columns.hashing import content_digest
from featflow.transforms.images.decoders import Decoder
from featflow.transforms.images.encoders import Encoder
from featflow.transforms.images.hashes import difference_hashes
from featflow.transforms.images.pictures import THUMBNAIL, Picture, Status, by_shape, reduced

__all__ = ["Encoded", "Image", "encode_images"]

BATCHES_AHEAD = 2
"""Batches decoded or being decoded beside the one that is encoded: the encoder waits for no single slow image, and no
more pixels than those of three batches are in memory."""

PIECES_A_THREAD, SMALLEST_PIECE = 1, 8
"""Pieces that each thread gets of the images that are left, and images in the smallest.

Smaller pieces leave threads less time to wait for the last one; larger ones share the cost of a call.
"""

Image = tuple[bytes | None, str | None]
"""Encoded bytes, or the reason why they could not be read."""
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Encoded:
    """Results of images: one entry for each."""

    statuses: list[Status]
    """Whether there is a vector, or why not."""
    errors: list[str]
    """What the reader or the decoder said."""
    sizes: np.ndarray
    """Width and height in pixels, upright, shape (images, 2), int32; 0 without a picture."""
    contents: list[bytes | None]
    """Digests of the encoded bytes; None without a picture."""
    perceptual_hashes: np.ndarray
    """Perceptual hashes, shape (images,), uint64; 0 without a picture."""
    vectors: np.ndarray
    """Shape (images, width of the encoder), float32; finite or not, as the encoder gave it; 0 without a picture."""


@dataclass(frozen=True, slots=True)
class _Decoded:
    """Some images before they are encoded; as in `Encoded`."""

    pictures: list[Picture]
    sizes: np.ndarray
    contents: list[bytes | None]
    perceptual_hashes: np.ndarray
    prepared: list[Any]


def encode_images(images: Sequence[Image], encoder: Encoder, decoder: Decoder) -> Encoded:
    """Return the results of images, in order, computed on ``torch.get_num_threads()`` threads."""
    threads = torch.get_num_threads()
    decode_piece = partial(_decode_piece, encoder=encoder, decoder=decoder)
    with ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        if encoder.threaded:
            batches = _pieces(images, encoder.batch)
            encoded = list(_one_batch_at_a_time(pool, threads, batches, decode_piece, encoder))
        else:
            pieces = list(_shrinking_pieces(images, encoder.batch, threads))
            encoded = _heaviest_first(pool, lambda piece: _encode_pieces([decode_piece(piece)], encoder), pieces)
    torch.set_num_threads(threads)  # what a thread of the pool sets is the default of threads to come
    return _concatenated(encoded, encoder.width)


def _shrinking_pieces(images: Sequence[Image], most: int, threads: int) -> Iterator[Sequence[Image]]:
    """Yield pieces of at most ``most`` images; they shrink towards the end where several threads share them."""
    start = 0
    while start < len(images):
        share = most if threads == 1 else -(-(len(images) - start) // (PIECES_A_THREAD * threads))
        size = min(most, max(SMALLEST_PIECE, share))
        yield images[start : start + size]
        start += size


def _heaviest_first(
    pool: ThreadPoolExecutor, encode: Callable[[Sequence[Image]], Encoded], pieces: Sequence[Sequence[Image]]
) -> list[Encoded]:
    """Return the results of pieces, in order; those of the most bytes start first, so that none of them ends last."""
    weights = [sum(len(data) for data, _ in piece if data) for piece in pieces]
    turns = sorted(range(len(pieces)), key=lambda index: -weights[index])
    begun = {index: pool.submit(encode, pieces[index]) for index in turns}
    return [begun[index].result() for index in range(len(pieces))]


def _one_batch_at_a_time(
    pool: ThreadPoolExecutor,
    threads: int,
    batches: Iterator[Sequence[Image]],
    decode_piece: Callable[[Sequence[Image]], _Decoded],
    encoder: Encoder,
) -> Iterator[Encoded]:
    """Yield the results of batches, in order: this thread encodes one while the pool decodes the next ones."""
    ahead: deque[list[Future[_Decoded]]] = deque()
    for batch in batches:
        ahead.append([pool.submit(decode_piece, piece) for piece in _pieces(batch, -(-encoder.batch // threads))])
        if len(ahead) > BATCHES_AHEAD:
            yield _encode_pieces([piece.result() for piece in ahead.popleft()], encoder)
    while ahead:
        yield _encode_pieces([piece.result() for piece in ahead.popleft()], encoder)


def _pieces(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    yield from (items[start : start + size] for start in range(0, len(items), size))


def _decode_piece(images: Sequence[Image], encoder: Encoder, decoder: Decoder) -> _Decoded:
    pictures, prepared = [], []
    contents: list[bytes | None] = [None] * len(images)
    thumbnails: list[np.ndarray | None] = [None] * len(images)
    sizes = np.zeros((len(images), 2), np.int32)
    for index, (data, error) in enumerate(images):
        unread = nullcontext(Picture(Status.UNREADABLE, error or ""))
        with unread if error else decoder.decoded(data) as picture:
            encoder_input = None
            if data is not None and picture.image is not None:
                sizes[index], contents[index] = picture.image.size, content_digest(data)
                thumbnail = thumbnails[index] = reduced(picture.image, THUMBNAIL)
                encoder_input = encoder.prepare(picture.image, thumbnail)
            picture = Picture(picture.status, picture.error)  # noqa: PLW2901  without pixels: others take their memory
        pictures.append(picture)
        prepared.append(encoder_input)
    return _Decoded(pictures, sizes, contents, _perceptual_hashes(thumbnails), prepared)


def _perceptual_hashes(thumbnails: list[np.ndarray | None]) -> np.ndarray:
    hashes = np.zeros(len(thumbnails), np.uint64)
    present = [(index, thumbnail) for index, thumbnail in enumerate(thumbnails) if thumbnail is not None]
    for _, places in by_shape(thumbnail.shape for _, thumbnail in present):
        group = [present[place] for place in places]
        hashes[[index for index, _ in group]] = difference_hashes(np.stack([thumbnail for _, thumbnail in group]))
    return hashes


def _encode_pieces(pieces: list[_Decoded], encoder: Encoder) -> Encoded:
    pictures = [picture for piece in pieces for picture in piece.pictures]
    sizes = np.concatenate([piece.sizes for piece in pieces])
    prepared = [each for piece in pieces for each in piece.prepared]
    vectors = np.zeros((len(prepared), encoder.width), np.float32)
    if any(each is not None for each in prepared):
        vectors = encoder.encode(prepared, sizes)
    return Encoded(
        [picture.status for picture in pictures],
        [picture.error for picture in pictures],
        sizes,
        [content for piece in pieces for content in piece.contents],
        np.concatenate([piece.perceptual_hashes for piece in pieces]),
        vectors,
    )


def _concatenated(pieces: list[Encoded], width: int) -> Encoded:
    empty = np.zeros((0, 2), np.int32), np.zeros(0, np.uint64), np.zeros((0, width), np.float32)
    return Encoded(
        list(chain.from_iterable(piece.statuses for piece in pieces)),
        list(chain.from_iterable(piece.errors for piece in pieces)),
        np.concatenate([empty[0], *(piece.sizes for piece in pieces)]),
        list(chain.from_iterable(piece.contents for piece in pieces)),
        np.concatenate([empty[1], *(piece.perceptual_hashes for piece in pieces)]),
        np.concatenate([empty[2], *(piece.vectors for piece in pieces)]),
    )
