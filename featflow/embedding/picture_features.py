"""The features of pictures of one shape, as `featflow.embedding.descriptors` defines them."""

from __future__ import annotations

import math

import numpy as np
import torch

from featflow.embedding.pictures import THUMBNAIL

__all__ = ["BLOCK", "descriptors"]

EDGE = 128
BLOCK = 8
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


@torch.inference_mode()
def descriptors(thumbnails: torch.Tensor, windows: torch.Tensor, sizes: np.ndarray) -> torch.Tensor:
    """Return the features of pictures of one shape, shape (pictures, features), float64.

    Parameters
    ----------
    thumbnails
        Shape (pictures, height, width, 3), uint8, no side above 48.
    windows
        Luma, shape (pictures, windows, height, width), uint8, no side above 64; no windows: the thumbnails' own.
    sizes
        Width and height in the file, shape (pictures, 2).

    Examples
    --------
    >>> from featflow.embedding.descriptors import NAMES
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
    first, second = (histogram.double() @ POWERS.to(luma.device)).T
    information = COUNT_LOGARITHMS.to(luma.device)[histogram].sum(dim=1)
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
        (math.log(n) - information / n).clamp(min=0),
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
    """Return how often each level occurs in each picture, shape (pictures, 256), int64."""
    count = len(luma)
    start = 256 * torch.arange(count, device=luma.device, dtype=torch.int32)
    codes = luma.view(count, -1).int().add_(start[:, None])
    return torch.bincount(codes.ravel(), minlength=256 * count).view(count, 256)


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
        step = torch.zeros_like(luma).view(-1)
        next_line = 1 if axis == 3 else luma.shape[3]
        torch.sub(luma.view(-1)[next_line:], luma.view(-1)[:-next_line], out=step[:-next_line])
        lines = step.abs_().view(luma.shape).sum(dim=(1, 5 - axis), dtype=torch.int32)[:, :-1].double()
        across = lines[:, BLOCK - 1 :: BLOCK]
        border, inside = border + across.sum(dim=1), inside + lines.sum(dim=1) - across.sum(dim=1)
        pixels = luma.shape[1] * luma.shape[5 - axis]
        borders, others = borders + pixels * across.shape[1], others + pixels * (lines.shape[1] - across.shape[1])
    b, a = border / max(borders, 1), inside / max(others, 1)
    return torch.where(a + b > 0, (b - a) / (a + b).clamp(min=1e-300), 0.0) * (borders > 0)
