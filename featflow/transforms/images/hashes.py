"""Perceptual hashes, which small changes of a picture leave alone: nearly equal pictures have nearly equal hashes.

The perceptual hash is the difference hash of Krawetz (2013): luma averaged down to 9 x 8, one bit for every pixel that
is brighter than its right neighbour. Pictures whose hashes differ in few of 64 bits look alike; flat pictures have
hash 0, which says nothing. It is made of thumbnails, in integers, so it does not depend on what else is in a batch.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

__all__ = ["difference_hashes"]

WIDTH, HEIGHT = 9, 8
"""Cells of luma: 8 x 8 differences of neighbours in a row fill 64 bits."""

LUMA = (5, 9, 2)
"""ITU-R BT.601 weights in 16ths: sums of 255 x 16 over at most 40 x 40 pixels are below 2^24, float32 holds them."""


def difference_hashes(thumbnails: np.ndarray) -> np.ndarray:
    """Return the hashes, shape (pictures,), uint64.

    Parameters
    ----------
    thumbnails
        Shape (pictures, height, width, 3), uint8, no side above 40.

    Examples
    --------
    >>> falling = np.tile(np.arange(45, 0, -1, dtype=np.uint8)[:, None], (2, 40, 1, 3))
    >>> [hex(each) for each in difference_hashes(falling)], difference_hashes(falling[:, :, ::-1]).tolist()
    (['0xffffffffffffffff', '0xffffffffffffffff'], [0, 0])
    """
    count, height, width, _ = thumbnails.shape
    pixels = torch.from_numpy(np.ascontiguousarray(thumbnails)).view(count, height, 3 * width).float()
    sums = _shares(height, HEIGHT, 1).T @ pixels @ _shares(width, WIDTH, *LUMA)
    bits = (sums[:, :, :-1] > sums[:, :, 1:]).view(count, -1).numpy()
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


@lru_cache(maxsize=256)
def _shares(pixels: int, cells: int, *weights: int) -> torch.Tensor:
    """Return the overlap of each pixel with each cell, in 1 / cells of a pixel, times each channel's weight."""
    starts = np.arange(pixels)[:, None] * cells
    borders = np.arange(cells + 1) * pixels
    overlap = np.minimum(starts + cells, borders[1:]) - np.maximum(starts, borders[:-1])
    weighted = np.clip(overlap, 0, None)[:, None, :] * np.array(weights)[:, None]
    return torch.from_numpy(weighted.reshape(-1, cells).astype(np.float32))
