"""Named features of a picture, without weights: what it looks like before any model looks at it.

All sums over pixels are of integers and therefore exact: a feature does not depend by a bit on the device, on
threads, or on what else is in the batch. Notation: R, G, B in 0..255; luma ``Y = (77 R + 150 G + 29 B) / 256`` rounded
down (ITU-R BT.601 weights); Sobel gradients g of Y, ``|g| = |gx| + |gy|``. Pictures whose longer side exceeds
`LONGEST` are first averaged over squares of whole pixels; width and height are those of the file. Cost: some 60
passes over a batch, 30 to 50 ns a pixel on a slow core.

========================  =========================================================================  ==============
width, height             pixels, upright                                                            1 and more
aspect                    width / height                                                             above 0
brightness                mean Y / 255                                                               0 to 1
contrast                  standard deviation of Y / 255 [1]                                          0 to 0.5
entropy                   of the 256 values of Y, nats                                               0 to ln 256
saturation, _spread       mean and standard deviation of (max - min) / max of R, G, B [2]            0 to 1
hue                       angle of the mean of (R - (G + B) / 2, sqrt(3) / 2 (G - B)), degrees [3]   0 to 360
hue_concentration         length of that mean over the mean length                                   0 to 1
colourfulness             sqrt(s_rg^2 + s_yb^2) + 0.3 sqrt(m_rg^2 + m_yb^2) of m(ean) and s(tandard  0 to about 200
                          deviation) of rg = R - G and yb = (R + G) / 2 - B [4]
sharpness                 variance of the Laplacian of Y, 4 neighbours [5]                           0 and more
edge_density              share of pixels with |g| of at least 128                                   0 to 1
edge_0, _45, _90, _135    share of |g| with that direction mod 180 degrees, within arctan(12 / 29)   0 to 1
                          = 22.5 degrees of 0 and of 90 [6]
symmetry_left_right,      correlation of Y with its mirror image; 1 where Y is constant              -1 to 1
symmetry_top_bottom
blockiness                (b - a) / (b + a): b the mean absolute difference of neighbours across     -1 to 1
                          8-pixel borders, a elsewhere; 0 where there is no border [7]
========================  =========================================================================  ==============

[1] Peli (1990, JOSA A 7). [2] HSV, Smith (1978, SIGGRAPH). [3] circular mean weighted by chroma, Fisher (1993). [4]
Hasler & Suesstrunk (2003, SPIE 5007). [5] Pech-Pacheco et al. (2000, ICPR). [6] after Dalal & Triggs (2005, CVPR).
[7] after Wang, Sheikh & Bovik (2002, ICIP).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import torch

__all__ = ["LONGEST", "NAMES", "VERSION", "Descriptors", "descriptors"]

VERSION = 1
"""Of the formulas."""

NAMES = (
    "width",
    "height",
    "aspect",
    "brightness",
    "contrast",
    "entropy",
    "saturation",
    "saturation_spread",
    "hue",
    "hue_concentration",
    "colourfulness",
    "sharpness",
    "edge_density",
    "edge_0",
    "edge_45",
    "edge_90",
    "edge_135",
    "symmetry_left_right",
    "symmetry_top_bottom",
    "blockiness",
)
LONGEST = 512
"""Longer side of the pixels that are looked at."""
EDGE = 128
BLOCK = 8
CHROMA_STEPS = 16
"""Steps of a unit of chroma, which is rounded so that its sum is one of integers."""


BATCH_PIXELS = 2**16
"""Pixels of a batch, which should stay near the processor."""


class Descriptors:
    """The encoder of `descriptors`."""

    width = len(NAMES)
    longest = LONGEST
    batch = 64

    def encode(self, pictures: Sequence[np.ndarray], sizes: np.ndarray) -> np.ndarray:
        """Return the features of every picture, shape (pictures, features), float32."""
        found = np.empty((len(pictures), self.width), np.float32)
        by_shape: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, picture in enumerate(pictures):
            by_shape[picture.shape].append(index)
        for (height, width, _), indices in by_shape.items():
            step = max(1, BATCH_PIXELS // (height * width))
            for start in range(0, len(indices), step):
                some = indices[start : start + step]
                pixels = torch.from_numpy(np.stack([pictures[index] for index in some]))
                found[some] = descriptors(pixels, sizes[some]).numpy()
        return found


def descriptors(pixels: torch.Tensor, sizes: np.ndarray) -> torch.Tensor:
    """Return the features of pictures of one size, shape (pictures, features), float64.

    Parameters
    ----------
    pixels
        Shape (pictures, height, width, 3), uint8.
    sizes
        Width and height in the file, shape (pictures, 2).

    Examples
    --------
    >>> red = torch.tensor([255, 0, 0], dtype=torch.uint8).expand(1, 8, 8, 3)
    >>> found = dict(zip(NAMES, descriptors(red, np.array([[8, 8]]))[0].tolist()))
    >>> found["hue"], found["saturation"], round(found["brightness"], 3)
    (0.0, 1.0, 0.298)
    """
    _, height, width, _ = pixels.shape
    n = float(height * width)
    red, green, blue = pixels.to(torch.int16).permute(3, 0, 1, 2).contiguous()
    luma = (77 * red.int() + 150 * green.int() + 29 * blue.int() >> 8).to(torch.int16)

    brightness, luma_variance = _mean_and_variance(luma)
    most, least = torch.maximum(torch.maximum(red, green), blue), torch.minimum(torch.minimum(red, green), blue)
    saturation = (510 * (most - least).int() + most) // (2 * most.clamp(min=1)).int()  # rounded, of 255
    saturation_mean, saturation_variance = _mean_and_variance(saturation)
    rg, yb = red - green, red + green - 2 * blue  # twice yb
    (rg_mean, rg_variance), (yb_mean, yb_variance) = _mean_and_variance(rg), _mean_and_variance(yb)
    yb_mean, yb_variance = yb_mean / 2, yb_variance / 4
    alpha, beta = (2 * red - green - blue), green - blue
    chroma = (CHROMA_STEPS * (0.25 * alpha.float().square() + 0.75 * beta.float().square()).sqrt()).round().int()
    mean_alpha, mean_beta = _total(alpha) / 2, _total(beta) * (math.sqrt(3) / 2)
    hue = torch.rad2deg(torch.atan2(mean_beta, mean_alpha)) % 360
    length = torch.hypot(mean_alpha, mean_beta) / (_total(chroma) / CHROMA_STEPS).clamp(min=1e-300)
    features = [
        torch.from_numpy(sizes[:, 0]).double(),
        torch.from_numpy(sizes[:, 1]).double(),
        torch.from_numpy(sizes[:, 0] / sizes[:, 1]),
        brightness / 255,
        luma_variance.sqrt() / 255,
        _entropy(luma, n),
        saturation_mean / 255,
        saturation_variance.sqrt() / 255,
        hue,
        length.clamp(max=1.0),
        (rg_variance + yb_variance).sqrt() + 0.3 * torch.hypot(rg_mean, yb_mean),
        *_edges(luma),
        *(_symmetry(luma, axis) for axis in (2, 1)),
        _blockiness(luma),
    ]
    return torch.stack([feature.cpu() for feature in features], dim=1)


def _total(x: torch.Tensor) -> torch.Tensor:
    """Return the sum over each picture, shape (pictures,), float64; of integers whose sum over a row is below 2^31."""
    return x.sum(dim=2, dtype=torch.int32).sum(dim=1).double()


def _mean_and_variance(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    m, wide = x[0].numel(), x.int()
    first, second = _total(wide), _total(wide * wide)
    return first / m, (second * m - first**2).clamp(min=0) / m**2


def _entropy(luma: torch.Tensor, n: float) -> torch.Tensor:
    count = len(luma)
    codes = luma.reshape(count, -1).int() + 256 * torch.arange(count, device=luma.device, dtype=torch.int32)[:, None]
    p = torch.bincount(codes.ravel(), minlength=256 * count).view(count, 256).double() / n
    return -torch.xlogy(p, p).sum(dim=1)


def _edges(luma: torch.Tensor) -> list[torch.Tensor]:
    count, height, width = luma.shape
    if min(height, width) < 3:
        return [torch.zeros(count, dtype=torch.float64)] * 6
    inner = luma[:, 1:-1, 1:-1]
    laplacian = luma[:, :-2, 1:-1] + luma[:, 2:, 1:-1] + luma[:, 1:-1, :-2] + luma[:, 1:-1, 2:] - 4 * inner
    across = luma[:, :-2] + 2 * luma[:, 1:-1] + luma[:, 2:]
    down = luma[:, :, :-2] + 2 * luma[:, :, 1:-1] + luma[:, :, 2:]
    gx, gy = across[:, :, 2:] - across[:, :, :-2], down[:, 2:] - down[:, :-2]
    abs_x, abs_y = gx.abs(), gy.abs()
    size = abs_x + abs_y
    flat, steep = 29 * abs_y < 12 * abs_x, 29 * abs_x < 12 * abs_y  # 12 / 29 is tan(22.5 degrees)
    rising = (gx ^ gy) >= 0  # of one sign
    whole = _total(size)
    of_flat, of_steep = _total(size * flat), _total(size * steep)
    of_rising = _total(size * (rising & ~flat & ~steep))
    shares = [of_flat, of_rising, of_steep, whole - of_flat - of_steep - of_rising]
    n = float(inner[0].numel())
    return [_mean_and_variance(laplacian)[1], _total(size >= EDGE) / n, *(s / whole.clamp(min=1) for s in shares)]


def _symmetry(luma: torch.Tensor, axis: int) -> torch.Tensor:
    n = float(luma[0].numel())
    values = luma.int()
    first, second, cross = _total(luma), _total(values * values), _total(values * values.flip(axis))
    spread = second * n - first**2
    return torch.where(spread > 0, (cross * n - first**2) / spread.clamp(min=1), 1.0)


def _blockiness(luma: torch.Tensor) -> torch.Tensor:
    border, inside = torch.zeros((2, len(luma)), dtype=torch.float64, device=luma.device)
    borders = others = 0
    for axis in (1, 2):
        size = luma.shape[axis]
        if size <= BLOCK:
            continue
        step = (luma.narrow(axis, 1, size - 1) - luma.narrow(axis, 0, size - 1)).abs()
        across = step.index_select(axis, torch.arange(BLOCK - 1, size - 1, BLOCK, device=luma.device))
        border, inside = border + _total(across), inside + _total(step) - _total(across)
        borders, others = borders + across[0].numel(), others + step[0].numel() - across[0].numel()
    b, a = border / max(borders, 1), inside / max(others, 1)
    return torch.where(a + b > 0, (b - a) / (a + b).clamp(min=1e-300), 0.0) * (borders > 0)
