"""What tells equal and nearly equal pictures: a digest of the pixels, and a hash that small changes leave alone.

The perceptual hash is the difference hash of Krawetz (2013): luma averaged down to 9 x 8, one bit for every pixel that
is brighter than its right neighbour. Pictures whose hashes differ in few of 64 bits look alike; flat pictures have
hash 0, which says nothing.
"""

from __future__ import annotations

import hashlib

import numpy as np
from PIL import Image

__all__ = ["DIGEST_BYTES", "content_digest", "difference_hash"]

DIGEST_BYTES = 16
WIDTH, HEIGHT = 9, 8


def content_digest(pixels: np.ndarray) -> bytes:
    """Return BLAKE2b of shape and pixels: equal for equal pictures, however they were encoded.

    Parameters
    ----------
    pixels
        Shape (height, width, 3), uint8.
    """
    digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=DIGEST_BYTES)
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.digest()


def difference_hash(pixels: np.ndarray) -> int:
    """Return the hash, below 2^64.

    Examples
    --------
    >>> falling = np.repeat(np.arange(90, 0, -1, dtype=np.uint8)[None, :, None], 3, axis=2).repeat(80, axis=0)
    >>> hex(difference_hash(falling)), difference_hash(falling[:, ::-1])
    ('0xffffffffffffffff', 0)
    """
    small = Image.fromarray(pixels).convert("L").resize((WIDTH, HEIGHT), Image.Resampling.BOX)
    luma = np.asarray(small, np.int16)
    return int.from_bytes(np.packbits(luma[:, :-1] > luma[:, 1:]).tobytes(), "big")
