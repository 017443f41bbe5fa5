"""Named features of a picture, without weights: what it looks like before any model looks at it.

Two looks at every picture. Its *thumbnail*, averaged over squares of whole pixels until no side exceeds 64, gives what
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

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from featflow.embedding.pictures import by_shape

__all__ = ["NAMES", "VERSION", "Descriptors", "Looks", "descriptors"]

VERSION = 2
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
WINDOW, WINDOWS, PIXELS_A_WINDOW = 64, 4, 256
"""Side of a window; windows along a side at most; pixels of a side for each of them."""
EDGE = 128
BLOCK = 8
CHROMA_STEPS = 16
"""Steps of a unit of chroma, which is rounded so that its sum is one of integers: below 2^24 over a thumbnail."""
BATCH_PIXELS = 2**18
"""Pixels of thumbnails in a batch."""
PLANES = torch.tensor(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [19595, 38470, 7471], [1, -1, 0], [0, 1, -1], [-1, 0, 1], [1, 1, -2]],
    dtype=torch.float32,
)
"""R, G, B, 65536 luma, R - G, G - B, B - R, R + G - 2 B: sums below 2^24, which float32 holds exactly."""
LEVELS = torch.arange(256, dtype=torch.float64)


NO_WINDOWS = np.zeros((0, 0, 0), np.uint8)


@dataclass(frozen=True, slots=True)
class Looks:
    """What is kept of a picture."""

    thumbnail: np.ndarray
    """Shape (height, width, 3), uint8, no side above 64."""
    windows: np.ndarray
    """Luma, shape (windows, height, width), uint8; none where the thumbnail is the picture."""


class Descriptors:
    """The encoder of `descriptors`."""

    width = len(NAMES)
    batch = 64
    threaded = False

    def prepare(self, image: Image.Image, thumbnail: np.ndarray) -> Looks:
        """Return both looks at a picture."""
        if thumbnail.shape[:2] == image.size[::-1]:
            return Looks(thumbnail, NO_WINDOWS)
        boxes = [(x, y) for y in _starts(image.height) for x in _starts(image.width)]
        width, height = (min(side, WINDOW) for side in image.size)
        windows = [np.asarray(image.crop((x, y, x + width, y + height)).convert("L")) for x, y in boxes]
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
                found[rows] = descriptors(thumbnails, windows, sizes[rows]).numpy()
        return found


def _starts(side: int) -> list[int]:
    """Return where windows start along a side: at multiples of 8, so that borders of blocks lie alike in all of them.

    Examples
    --------
    >>> _starts(100), _starts(1024)
    ([16], [96, 352, 608, 864])
    """
    count = min(WINDOWS, max(1, side // PIXELS_A_WINDOW))
    middles = [(2 * place + 1) * side // (2 * count) for place in range(count)]
    return [max(0, middle - WINDOW // 2) // BLOCK * BLOCK for middle in middles]


@torch.inference_mode()
def descriptors(thumbnails: torch.Tensor, windows: torch.Tensor, sizes: np.ndarray) -> torch.Tensor:
    """Return the features of pictures of one shape, shape (pictures, features), float64.

    Parameters
    ----------
    thumbnails
        Shape (pictures, height, width, 3), uint8, no side above 64.
    windows
        Luma, shape (pictures, windows, height, width), uint8, no side above 64; no windows: the thumbnails' own.
    sizes
        Width and height in the file, shape (pictures, 2).

    Examples
    --------
    >>> red = torch.tensor([255, 0, 0], dtype=torch.uint8).expand(1, 8, 8, 3)
    >>> values = descriptors(red, torch.zeros(1, 0, 0, 0), np.array([[8, 8]]))[0]
    >>> found = dict(zip(NAMES, values.tolist()))
    >>> found["hue"], found["saturation"], round(found["brightness"], 3)
    (0.0, 1.0, 0.298)
    """
    n = float(thumbnails[0, ..., 0].numel())
    planes = (PLANES.to(thumbnails.device) @ thumbnails.reshape(-1, 3).float().T).view(-1, *thumbnails.shape[:-1])
    luma = planes[3].add_(2**15).mul_(2**-16).floor_()
    histogram = _histogram(luma)
    first, second = histogram @ LEVELS.to(luma.device), histogram @ LEVELS.square().to(luma.device)
    brightness, luma_variance = _mean_and_variance(first, second, n)
    (saturation, saturation_variance), (mean_alpha, mean_beta, mean_chroma), colourfulness = _colours(planes, n)
    size = torch.from_numpy(sizes).double()
    cross = [_total(luma * luma.flip(axis)) for axis in (2, 1)]
    spread = second * n - first**2
    edges, detail = _edges(luma), _details((windows if windows.shape[1] else luma[:, None]).to(torch.int16))
    features = [
        size[:, 0],
        size[:, 1],
        size[:, 0] / size[:, 1],
        brightness / 255,
        luma_variance.sqrt() / 255,
        -torch.xlogy(histogram / n, histogram / n).sum(dim=1),
        saturation / 255,
        saturation_variance.sqrt() / 255,
        torch.rad2deg(torch.atan2(mean_beta, mean_alpha)) % 360,
        (torch.hypot(mean_alpha, mean_beta) / mean_chroma.clamp(min=1e-300)).clamp(max=1.0),
        colourfulness,
        detail[0],
        *edges,
        *(torch.where(spread > 0, (each * n - first**2) / spread.clamp(min=1), 1.0) for each in cross),
        detail[1],
    ]
    return torch.stack([feature.cpu() for feature in features], dim=1)


def _total(x: torch.Tensor) -> torch.Tensor:
    """Return the sum over each picture, shape (..., pictures), float64; of integers whose sum over a row is exact."""
    of_rows = x.sum(dim=-1, dtype=x.dtype if x.is_floating_point() else torch.int32)
    return of_rows.sum(dim=-1, dtype=torch.float64)


def _mean_and_variance(first: torch.Tensor, second: torch.Tensor, n: float) -> tuple[torch.Tensor, torch.Tensor]:
    return first / n, (second * n - first**2).clamp(min=0) / n**2


def _histogram(luma: torch.Tensor) -> torch.Tensor:
    """Return how often each level occurs in each picture, shape (pictures, 256), float64."""
    count = len(luma)
    start = 256 * torch.arange(count, device=luma.device, dtype=torch.int32)
    codes = luma.view(count, -1).int().add_(start[:, None])
    return torch.bincount(codes.ravel(), minlength=256 * count).view(count, 256).double()


def _colours(planes: torch.Tensor, n: float) -> tuple[tuple[torch.Tensor, ...], tuple[torch.Tensor, ...], torch.Tensor]:
    """Return saturation's mean and variance, mean alpha, beta and chroma, colourfulness; the planes are used up."""
    red, green, blue, _, red_green, green_blue, blue_red, _ = planes
    r, g, b = _total(planes[:3]) / n
    most = torch.maximum(red, green)
    torch.maximum(most, blue, out=most)
    least = torch.minimum(red, green)
    torch.minimum(least, blue, out=least)
    saturation = torch.sub(most, least, out=least).mul_(255).div_(most.clamp_(min=1)).round_()
    moments = _mean_and_variance(_total(saturation), _total(saturation.square_()), n)
    rg_square, yb_square = _total(planes[4:].square_()[::3]) / n
    rg_mean, yb_mean = r - g, (r + g) / 2 - b
    spread = rg_square - rg_mean**2 + yb_square / 4 - yb_mean**2
    colourfulness = spread.clamp(min=0).sqrt() + 0.3 * torch.hypot(rg_mean, yb_mean)
    chroma = red_green.add_(green_blue).add_(blue_red).mul_(0.5).sqrt_().mul_(CHROMA_STEPS).round_()
    direction = (r - (g + b) / 2, (g - b) * (math.sqrt(3) / 2), _total(chroma) / (CHROMA_STEPS * n))
    return moments, direction, colourfulness


def _edges(luma: torch.Tensor) -> list[torch.Tensor]:
    """Return edge density and the shares of four directions; see `_details` for how neighbours are found."""
    count, height, width = luma.shape
    if min(height, width) < 3:
        return [torch.zeros(count, dtype=torch.float64)] * 5
    line = luma.to(torch.int16).view(-1)
    gradients = torch.zeros((2, len(line)), dtype=torch.int16, device=luma.device)
    inner = gradients[:, width + 1 : len(line) - width - 1]
    down = torch.add(line[: -2 * width], line[2 * width :]).add_(line[width:-width], alpha=2)
    across = torch.add(line[:-2], line[2:]).add_(line[1:-1], alpha=2)
    torch.sub(down[2:], down[:-2], out=inner[0])
    torch.sub(across[2 * width :], across[: -2 * width], out=inner[1])
    pictures = gradients.view(2, count, height, width)
    pictures[:, :, 0] = pictures[:, :, -1] = pictures[:, :, :, 0] = pictures[:, :, :, -1] = 0
    gx, gy = pictures
    one_sign = (gx ^ gy).bitwise_right_shift_(15).add_(1)
    abs_x, abs_y = gx.abs_(), gy.abs_()
    size = abs_x + abs_y
    flat = (12 * abs_x).sub_(abs_y, alpha=29).clamp_(0, 1).mul_(size)  # 12 / 29 is tan(22.5 degrees)
    steep = (12 * abs_y).sub_(abs_x, alpha=29).clamp_(0, 1).mul_(size)
    rising = one_sign.mul_(size - flat - steep)
    whole, of_flat, of_rising, of_steep = (_total(each) for each in (size, flat, rising, steep))
    dense = _total(size.sub_(EDGE - 1).clamp_(0, 1)) / ((height - 2) * (width - 2))
    shares = (of_flat, of_rising, of_steep, whole - of_flat - of_steep - of_rising)
    return [dense, *(share / whole.clamp(min=1) for share in shares)]


def _details(luma: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return sharpness and blockiness of windows.

    Neighbours are found by shifting all windows at once as one line of pixels; what that gives at borders is left out.
    """
    count, _, height, width = luma.shape
    sharpness = torch.zeros(count, dtype=torch.float64)
    if min(height, width) >= 3:
        line = luma.view(-1)
        laplacian = torch.empty_like(line)
        inner = laplacian[width:-width]
        torch.add(line[: -2 * width], line[2 * width :], out=inner)
        inner.add_(line[width - 1 : -width - 1]).add_(line[width + 1 : len(line) - width + 1])
        inner.sub_(line[width:-width], alpha=4)
        wide = laplacian.view(luma.shape)[..., 1:-1, 1:-1].int()
        first = _total(wide).sum(dim=1)
        second = _total(wide.mul_(wide)).sum(dim=1)
        _, sharpness = _mean_and_variance(first, second, float(wide[0].numel()))
    return sharpness, _blockiness(luma)


def _blockiness(luma: torch.Tensor) -> torch.Tensor:
    border, inside = torch.zeros((2, len(luma)), dtype=torch.float64, device=luma.device)
    borders = others = 0
    for axis in (2, 3):
        size = luma.shape[axis]
        if size <= BLOCK:
            continue
        step = (luma.narrow(axis, 1, size - 1) - luma.narrow(axis, 0, size - 1)).abs_()
        lines = step.sum(dim=(1, 5 - axis), dtype=torch.int32).double()
        across = lines[:, BLOCK - 1 :: BLOCK]
        border, inside = border + across.sum(dim=1), inside + lines.sum(dim=1) - across.sum(dim=1)
        pixels = step[0].numel() // lines.shape[1]
        borders, others = borders + pixels * across.shape[1], others + pixels * (lines.shape[1] - across.shape[1])
    b, a = border / max(borders, 1), inside / max(others, 1)
    return torch.where(a + b > 0, (b - a) / (a + b).clamp(min=1e-300), 0.0) * (borders > 0)
