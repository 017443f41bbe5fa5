"""The features of pictures of one shape, as `featflow.transforms.images.descriptors` defines them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from featflow.transforms.images.pictures import THUMBNAIL

__all__ = ["BLOCK", "descriptors"]

EDGE = 128
"""Gradient of an edge: a straight border between areas that differ by 32 of 255 levels has it."""
BLOCK = 8
"""Side of JPEG's blocks in pixels."""
CHROMA_STEPS = 16
"""Steps of a unit of chroma, which is rounded so that its sum is one of integers: below 2^24 over a thumbnail."""
PLANES = torch.tensor(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [19595, 38470, 7471], [1, -1, 0], [0, 1, -1], [-1, 0, 1], [1, 1, -2]],
    dtype=torch.float32,
)
"""R, G, B, 65536 luma, R - G, G - B, B - R, R + G - 2 B: sums below 2^24, which float32 holds exactly."""
LEVELS = torch.arange(256, dtype=torch.float64)
POWERS = torch.stack([LEVELS, LEVELS.square()], dim=1)
COUNTS = torch.arange(THUMBNAIL**2 + 1, dtype=torch.float64)
COUNT_LOGARITHMS = torch.xlogy(COUNTS, COUNTS)
"""n ln n of every count of pixels."""


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over the pixels of every picture: whole numbers, shapes (pictures,) or (rows named, pictures), float64."""

    n: float
    """Pixels of a thumbnail."""
    luma: np.ndarray
    """Of Y, of its squares, of n ln n over its histogram, of Y by its mirror images left to right and top to bottom."""
    colours: np.ndarray
    """Of R, G, B, saturation, its squares, (R - G) squared, (R + G - 2 B) squared, chroma in `CHROMA_STEPS`."""
    edges: np.ndarray
    """Of |g|, of |g| that is flat, rising, steep; pixels with |g| of at least `EDGE`."""
    details: np.ndarray
    """Of the Laplacian, of its squares, of differences across borders of blocks, of other differences."""


@torch.inference_mode()
def descriptors(thumbnails: torch.Tensor, windows: torch.Tensor, sizes: np.ndarray) -> np.ndarray:
    """Return the features of pictures of one shape, shape (pictures, features), float64.

    Sums over pixels are torch's. Features, of a few sums a picture, are numpy's, whose calls cost less.

    Parameters
    ----------
    thumbnails
        Shape (pictures, height, width, 3), uint8, no side above 40.
    windows
        Luma, shape (pictures, windows, height, width), uint8, no side above 64; no windows: the thumbnails' own.
    sizes
        Width and height in the file, shape (pictures, 2).

    Examples
    --------
    >>> from featflow.dataset.image_options import DESCRIPTORS
    >>> red = torch.tensor([255, 0, 0], dtype=torch.uint8).expand(1, 8, 8, 3)
    >>> values = descriptors(red, torch.zeros(1, 0, 0, 0), np.array([[8, 8]]))[0]
    >>> features = dict(zip(DESCRIPTORS, values.tolist()))
    >>> features["hue"], features["saturation"], round(features["brightness"], 3)
    (0.0, 1.0, 0.298)
    """
    planes = (PLANES.to(thumbnails.device) @ thumbnails.reshape(-1, 3).float().T).view(-1, *thumbnails.shape[:-1])
    luma = planes[3].add_(2**15).mul_(2**-16).floor_()
    close_up = (windows if windows.shape[1] else luma[:, None]).to(torch.int16)
    sums = _Sums(
        float(thumbnails[0, ..., 0].numel()),
        *(
            values.cpu().numpy()
            for values in (_luma_sums(luma), _colour_sums(planes), _edge_sums(luma), _detail_sums(close_up))
        ),
    )
    return _features(sums, sizes.astype(np.float64), luma.shape[1:], close_up.shape[1:])


def _features(sums: _Sums, sizes: np.ndarray, thumbnail: tuple[int, ...], close_up: tuple[int, ...]) -> np.ndarray:
    """Return the features of sums over pixels, in the order of `featflow.dataset.image_options.DESCRIPTORS`.

    Parameters
    ----------
    thumbnail
        Height and width.
    looked_at
        Windows, their height and width.
    """
    n = sums.n
    first, second, information, *mirrored = sums.luma
    spread = second * n - first**2
    (red, green, blue), saturation, (red_green, yellow_blue, chroma) = (
        sums.colours[:3] / n,
        sums.colours[3:5],
        sums.colours[5:] / n,
    )
    alpha, beta = red - (green + blue) / 2, (green - blue) * (math.sqrt(3) / 2)
    rg, yb = red - green, (red + green) / 2 - blue
    colour_spread = red_green - rg**2 + yellow_blue / 4 - yb**2
    gradients, flat, rising, steep, dense = sums.edges
    laplacian, squares, across, other = sums.details
    inner_thumbnail, inner_close_up = max(_inner_pixels(thumbnail), 1), max(_inner_pixels(close_up), 1)
    borders, others = _difference_counts(close_up)
    at_borders, elsewhere = across / max(borders, 1), other / max(others, 1)
    differences = at_borders + elsewhere
    features = [
        sizes[:, 0],
        sizes[:, 1],
        sizes[:, 0] / sizes[:, 1],
        first / n / 255,
        np.sqrt(_variance(first, second, n)) / 255,
        np.maximum(math.log(n) - information / n, 0.0),
        saturation[0] / n / 255,
        np.sqrt(_variance(saturation[0], saturation[1], n)) / 255,
        np.degrees(np.arctan2(beta, alpha)) % 360,
        np.minimum(np.hypot(alpha, beta) / np.maximum(chroma / CHROMA_STEPS, 1e-300), 1.0),
        np.sqrt(np.maximum(colour_spread, 0.0)) + 0.3 * np.hypot(rg, yb),
        _variance(laplacian, squares, inner_close_up),
        dense / inner_thumbnail,
        *(share / np.maximum(gradients, 1) for share in (flat, rising, steep, gradients - flat - rising - steep)),
        *(np.where(spread > 0, (each * n - first**2) / np.maximum(spread, 1), 1.0) for each in mirrored),
        np.where(differences > 0, (at_borders - elsewhere) / np.maximum(differences, 1e-300), 0.0) * (borders > 0),
    ]
    return np.stack(features, axis=1)


def _variance(first: np.ndarray, second: np.ndarray, n: float) -> np.ndarray:
    return np.asarray(np.maximum(second * n - first**2, 0.0) / n**2)


def _inner_pixels(shape: tuple[int, ...]) -> int:
    """Return the pixels that have four neighbours, of pictures or windows of (..., height, width)."""
    height, width = shape[-2:]
    return math.prod(shape[:-2]) * max(height - 2, 0) * max(width - 2, 0)


def _difference_counts(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the numbers of differences of neighbours across borders of blocks, and elsewhere."""
    borders = others = 0
    for side, lines in ((shape[2], shape[0] * shape[1]), (shape[1], shape[0] * shape[2])):
        if side > BLOCK:
            across = (side - 1) // BLOCK
            borders, others = borders + lines * across, others + lines * (side - 1 - across)
    return borders, others


# --- sums, shape (what is summed, pictures), float64 ----------------------------------------------------------------


def _picture_sums(x: torch.Tensor) -> torch.Tensor:
    """Return the sum over each picture, shape (..., pictures), float64; of integers whose sum over a column is exact.

    Columns first: adding rows to one another is twice as fast as adding up each.
    """
    columns = x.sum(dim=-2, dtype=x.dtype if x.is_floating_point() else torch.int32)
    return columns.sum(dim=-1, dtype=torch.float64)


def _luma_sums(luma: torch.Tensor) -> torch.Tensor:
    """Return the sums of `_Sums.luma`."""
    # One histogram of all pictures: each counts in 256 cells of its own. Moments and entropy follow from counts.
    count = len(luma)
    start = 256 * torch.arange(count, device=luma.device, dtype=torch.int32)
    codes = luma.view(count, -1).int().add_(start[:, None])
    histogram = torch.bincount(codes.ravel(), minlength=256 * count).view(count, 256)
    information = COUNT_LOGARITHMS.to(luma.device)[histogram].sum(dim=1)
    mirrored = [_picture_sums(luma * luma.flip(axis)) for axis in (2, 1)]
    return torch.stack([*(histogram.double() @ POWERS.to(luma.device)).T, information, *mirrored])


def _colour_sums(planes: torch.Tensor) -> torch.Tensor:
    """Return the sums of `_Sums.colours`; the planes are overwritten, which saves memory for copies."""
    red, green, blue, _, red_green, green_blue, blue_red, _ = planes
    means = _picture_sums(planes[:3])
    most = torch.maximum(red, green)
    torch.maximum(most, blue, out=most)
    least = torch.minimum(red, green)
    torch.minimum(least, blue, out=least)
    saturation = torch.sub(most, least, out=least).mul_(255).div_(most.clamp_(min=1)).round_()
    first, second = _picture_sums(saturation), _picture_sums(saturation.square_())
    squares = _picture_sums(planes[4:].square_()[::3])
    # The squared length of a pixel's hue vector is half the sum of the three squared differences.
    chroma = red_green.add_(green_blue).add_(blue_red).mul_(CHROMA_STEPS**2 / 2).sqrt_().round_()
    return torch.stack([*means, first, second, *squares, _picture_sums(chroma)])


def _edge_sums(luma: torch.Tensor) -> torch.Tensor:
    """Return the sums of `_Sums.edges`; neighbours are found as in `_detail_sums`."""
    count, height, width = luma.shape
    if min(height, width) < 3:
        return torch.zeros((5, count), dtype=torch.float64)
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
    # 1 where gx and gy have the same sign, so that the gradient lies along the rising diagonal; else 0.
    one_sign = (gx ^ gy).bitwise_right_shift_(15).add_(1)
    abs_x, abs_y = gx.abs_(), gy.abs_()
    size = abs_x + abs_y
    flat = (12 * abs_x).sub_(abs_y, alpha=29).clamp_(0, 1).mul_(size)  # 12 / 29 is tan(22.5 degrees)
    steep = (12 * abs_y).sub_(abs_x, alpha=29).clamp_(0, 1).mul_(size)
    rising = one_sign.mul_(size - flat - steep)
    dense = _picture_sums((size >= EDGE).to(torch.int16))
    return torch.stack([*(_picture_sums(each) for each in (size, flat, rising, steep)), dense])


def _detail_sums(luma: torch.Tensor) -> torch.Tensor:
    """Return the sums of `_Sums.details`, over all windows of a picture together.

    Neighbours are found by shifting all windows at once as one line of pixels; what that gives at borders is left out.
    """
    count, _, height, width = luma.shape
    line = luma.view(-1)
    sums = torch.zeros((4, count), dtype=torch.float64, device=luma.device)
    if min(height, width) >= 3:
        laplacian = torch.empty_like(line)
        inner = laplacian[width:-width]
        torch.add(line[: -2 * width], line[2 * width :], out=inner)
        inner.add_(line[width - 1 : -width - 1]).add_(line[width + 1 : len(line) - width + 1])
        inner.sub_(line[width:-width], alpha=4)
        wide = laplacian.view(luma.shape)[..., 1:-1, 1:-1].int()
        sums[0] = _picture_sums(wide).sum(dim=1)
        sums[1] = _picture_sums(wide.mul_(wide)).sum(dim=1)
    for axis, next_line in ((2, width), (3, 1)):
        if luma.shape[axis] <= BLOCK:
            continue
        step = torch.zeros_like(line)
        torch.sub(line[next_line:], line[:-next_line], out=step[:-next_line])
        lines = step.abs_().view(luma.shape).sum(dim=(1, 5 - axis), dtype=torch.int32)[:, :-1]
        across = lines[:, BLOCK - 1 :: BLOCK].sum(dim=1)
        sums[2] += across
        sums[3] += lines.sum(dim=1) - across
    return sums
