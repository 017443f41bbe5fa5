"""Named features of a picture, without weights: what it looks like before any model looks at it.

Two looks at every picture. Its *thumbnail*, averaged over squares of whole pixels until no side exceeds 40, gives what
is seen at a glance. Up to 16 *windows* of 64 x 64 pixels as they are in the file, spread evenly, give what averaging
would remove. All sums over pixels are of integers and exact in any order: a feature does not depend by a bit on the
device, on threads, or on what else is in the batch. Notation: R, G, B in 0..255; luma ``Y = (19595 R + 38470 G +
7471 B) / 65536`` rounded (ITU-R BT.601, Pillow's L); Sobel gradients g of Y, ``|g| = |gx| + |gy|``. Cost: about 15 ns
a pixel of the thumbnail and 4 of the windows on a slow core.

========================  =========================================================================  ==============
width, height             pixels in the file, upright                                                1 and more
aspect                    width / height                                                             above 0
brightness                mean Y / 255                                                               0 to 1
contrast                  standard deviation of Y / 255 [1]                                          0 to 0.5
entropy                   of the 256 values of Y, nats                                               0 to ln 256
saturation, _spread       mean and standard deviation of (max - min) / max of R, G, B [2]            0 to 1
hue                       angle of the mean of (R - (G + B) / 2, sqrt(3) / 2 (G - B)), degrees [3]   0 to 360
hue_concentration         length of that mean over the mean length                                   0 to 1
colourfulness             sqrt(s_rg^2 + s_yb^2) + 0.3 sqrt(m_rg^2 + m_yb^2) of m(ean) and s(tandard  0 to about 200
                          deviation) of rg = R - G and yb = (R + G) / 2 - B [4]
sharpness                 variance of the Laplacian of Y, 4 neighbours [5]; of the windows           0 and more
edge_density              share of pixels with |g| of at least 128                                   0 to 1
edge_0, _45, _90, _135    share of |g| with that direction mod 180 degrees, within arctan(12 / 29)   0 to 1
                          = 22.5 degrees of 0 and of 90 [6]
symmetry_left_right,      correlation of Y with its mirror image; 1 where Y is constant              -1 to 1
symmetry_top_bottom
blockiness                (b - a) / (b + a): b the mean absolute difference of neighbours across     -1 to 1
                          8-pixel borders, a elsewhere; 0 without a border [7]; of the windows
========================  =========================================================================  ==============

[1] Peli (1990, JOSA A 7). [2] HSV, Smith (1978, SIGGRAPH). [3] circular mean weighted by chroma, Fisher (1993). [4]
Hasler & Suesstrunk (2003, SPIE 5007). [5] Pech-Pacheco et al. (2000, ICPR). [6] after Dalal & Triggs (2005, CVPR).
[7] after Wang, Sheikh & Bovik (2002, ICIP).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from PIL import Image

from featflow.dataset.image_options import DESCRIPTORS
from featflow.transforms.images.picture_features import BLOCK, descriptors
from featflow.transforms.images.pictures import by_shape, pixels_of

__all__ = ["Descriptors", "Looks"]

WINDOW, WINDOWS, PIXELS_A_WINDOW = 64, 4, 256
"""Side of a window; windows along a side at most; pixels of a side for each of them."""
BATCH_PIXELS = 2**20
"""Pixels of thumbnails in a batch."""
NO_WINDOWS = np.zeros((0, 0, 0), np.uint8)


@dataclass(frozen=True, slots=True)
class Looks:
    """What is kept of a picture."""

    thumbnail: np.ndarray
    """Shape (height, width, 3), uint8, no side above 40."""
    windows: np.ndarray
    """Luma, shape (windows, height, width), uint8; none where the thumbnail is the picture."""


class Descriptors:
    """The encoder of `descriptors`."""

    width = len(DESCRIPTORS)
    batch = 256
    threaded = False

    def prepare(self, image: Image.Image, thumbnail: np.ndarray) -> Looks:
        """Return both looks at a picture."""
        if thumbnail.shape[:2] == image.size[::-1]:
            return Looks(thumbnail, NO_WINDOWS)
        boxes = [(x, y) for y in _starts(image.height) for x in _starts(image.width)]
        width, height = (min(side, WINDOW) for side in image.size)
        windows = [pixels_of(image.crop((x, y, x + width, y + height)).convert("L")) for x, y in boxes]
        return Looks(thumbnail, np.stack(windows) if len(windows) > 1 else windows[0][None])

    def encode(self, prepared: Sequence[Looks | None], sizes: np.ndarray) -> np.ndarray:
        """Return the features of every picture, shape (pictures, features), float32."""
        found = np.zeros((len(prepared), self.width), np.float32)
        there = [(index, each) for index, each in enumerate(prepared) if each is not None]
        shapes = [(each.thumbnail.shape, each.windows.shape) for _, each in there]
        for (thumbnail, _), places in by_shape(shapes):
            step = max(1, BATCH_PIXELS // (thumbnail[0] * thumbnail[1]))
            for start in range(0, len(places), step):
                some = [there[place] for place in places[start : start + step]]
                thumbnails = torch.from_numpy(np.stack([each.thumbnail for _, each in some]))
                windows = torch.from_numpy(np.stack([each.windows for _, each in some]))
                rows = [index for index, _ in some]
                found[rows] = descriptors(thumbnails, windows, sizes[rows])
        return found


@lru_cache(maxsize=4096)
def _starts(side: int) -> tuple[int, ...]:
    """Return where windows start along a side: at multiples of 8, so that borders of blocks lie alike in all of them.

    Examples
    --------
    >>> _starts(100), _starts(1024)
    ((16,), (96, 352, 608, 864))
    """
    count = min(WINDOWS, max(1, side // PIXELS_A_WINDOW))
    middles = [(2 * place + 1) * side // (2 * count) for place in range(count)]
    return tuple(max(0, middle - WINDOW // 2) // BLOCK * BLOCK for middle in middles)
