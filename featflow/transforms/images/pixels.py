"""Pictures to a model's pixels, on its device.

Resizing is that of Pillow with the horizontal pass first: antialiased, each pass rounded to whole levels of 0 to 255.
So every device gives the same picture but for one or two levels, where a sum lies halfway. (Pillow itself goes
vertically first where that is less work. Over sharp edges the order of bicubic passes moves pixels by some levels.)
Later steps are in float32. A crop that is larger than the picture is filled up with black.

transformers' own image processors need torchvision to run on a device; those on Pillow take 1.4 to 4.3 times as long on
a core (240 to 1,200 pictures a second against 1,000 to 1,900 at 224 pixels), and 0.3 % of their values are a level off.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from featflow.transforms.images.pictures import by_shape
from featflow.transforms.images.preprocessing import Preprocessing, Sides

__all__ = ["in_passes", "prepare"]

RESIZED_AT_ONCE = 32
"""Pictures resized at once: more would hold more of them in float32 on a device, fewer would call it more often."""

RESIZED_PIXELS = 2**25
"""Pixels of pictures that are resized at once. A line of 1,024 pixels whose shorter side is to be 224 becomes 51
million, and 32 such lines would be 5 GB."""


def prepare(
    pictures: Sequence[np.ndarray | None], preprocessing: Preprocessing, slots: int, device: torch.device
) -> torch.Tensor:
    """Return pictures as a model takes them, shape (slots, 3, height, width), float32, channels last in memory.

    Parameters
    ----------
    pictures
        Each of shape (height, width, 3), uint8; None where there is none, whose slot is zero.
    slots
        Not fewer than pictures; those beyond are zero.

    Examples
    --------
    >>> from featflow.transforms.images.preprocessing import read_preprocessing
    >>> preprocessing = read_preprocessing({"image_processor_type": "ViTImageProcessor", "size": 4}, "models/vit")
    >>> white = np.full((9, 6, 3), 255, np.uint8)
    >>> batch = prepare([white, None], preprocessing, 2, torch.device("cpu"))
    >>> batch.shape, batch[0].unique().tolist(), batch[1].unique().tolist()
    (torch.Size([2, 3, 4, 4]), [1.0], [0.0])
    """
    batch = torch.zeros((slots, 3, *preprocessing.shape), device=device).contiguous(memory_format=torch.channels_last)
    mean, std = (torch.tensor(each, device=device)[:, None, None] for each in (preprocessing.mean, preprocessing.std))
    present = [(slot, picture) for slot, picture in enumerate(pictures) if picture is not None]
    for (height, width, _), places in by_shape(picture.shape for _, picture in present):
        sides = preprocessing.resized(height, width)
        at_once = max(1, min(RESIZED_AT_ONCE, RESIZED_PIXELS // max(sides[0] * sides[1], height * width)))
        for start in range(0, len(places), at_once):
            group, arrays = zip(*(present[place] for place in places[start : start + at_once]), strict=True)
            pixels = torch.from_numpy(np.stack(arrays)).to(device)
            resized = _resized(pixels.permute(0, 3, 1, 2), sides, preprocessing.resample)
            cropped = _centre_cropped(resized, preprocessing.crop) if preprocessing.crop else resized
            batch[list(group)] = cropped.float().mul_(preprocessing.scale).sub_(mean).div_(std)
    return batch


def _resized(pixels: torch.Tensor, sides: Sides, resample: str) -> torch.Tensor:
    """Return pictures, shape (pictures, 3, height, width), resized to whole levels."""
    if pixels.shape[2:] == sides:
        return pixels
    if resample == "nearest":
        for axis, side in enumerate(sides, start=2):
            doubled = (2 * torch.arange(side, device=pixels.device) + 1) * pixels.shape[axis]  # of middles of pixels
            pixels = pixels.index_select(axis, doubled // (2 * side))
        return pixels
    if pixels.device.type == "cpu":
        return functional.interpolate(pixels, sides, mode=resample, antialias=True)
    return in_passes(pixels, sides, resample)


def in_passes(pixels: torch.Tensor, sides: Sides, resample: str) -> torch.Tensor:
    """Return resized pictures as PyTorch's resizing of bytes on CPUs gives them: each pass rounded, within 0 to 255.

    Parameters
    ----------
    pixels
        Shape (pictures, 3, height, width).
    resample
        Bilinear or bicubic.
    """
    for pass_sides in ((pixels.shape[2], sides[1]), sides):
        exact = functional.interpolate(pixels.float(), pass_sides, mode=resample, antialias=True)
        pixels = exact.round_().clamp_(0, 255)
    return pixels


def _centre_cropped(pixels: torch.Tensor, sides: Sides) -> torch.Tensor:
    """Return the middle of pictures, with black around it where they are smaller.

    A negative width of padding cuts off.
    """
    top, left = ((have - want) // 2 for have, want in zip(pixels.shape[2:], sides, strict=True))
    bottom, right = pixels.shape[2] - sides[0] - top, pixels.shape[3] - sides[1] - left
    return functional.pad(pixels, (-left, -right, -top, -bottom))
