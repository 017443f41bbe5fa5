"""Image features against their formulas in floating point, planted pictures, and themselves in other company."""

from __future__ import annotations

import cmath
import colorsys

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage, stats

from featflow.dataset.image_options import DESCRIPTORS
from featflow.transforms.images.descriptors import Descriptors
from featflow.transforms.images.picture_features import descriptors
from featflow.transforms.images.pictures import THUMBNAIL, reduced


def looks(picture):
    image = Image.fromarray(picture)
    return Descriptors().prepare(image, reduced(image, THUMBNAIL))


def found(*pictures):
    """Features of pictures of one shape, as a run makes them, before they are rounded to float32."""
    of = [looks(picture) for picture in pictures]
    thumbnails, windows = (torch.from_numpy(np.stack([getattr(x, k) for x in of])) for k in ("thumbnail", "windows"))
    sizes = np.array([picture.shape[1::-1] for picture in pictures])
    return [dict(zip(DESCRIPTORS, row, strict=True)) for row in descriptors(thumbnails, windows, sizes).tolist()]


def by_formula(picture):
    """The table of the module's docstring, pixel by pixel."""
    red, green, blue = picture.astype(float).transpose(2, 0, 1)
    luma = np.floor((19595 * red + 38470 * green + 7471 * blue) / 65536 + 0.5)
    hsv = [colorsys.rgb_to_hsv(*pixel) for pixel in picture.reshape(-1, 3) / 255]
    saturation = np.array([s for _, s, _ in hsv])
    chroma = red - (green + blue) / 2 + 1j * np.sqrt(3) / 2 * (green - blue)
    rg, yb = red - green, (red + green) / 2 - blue
    kernel = np.array([[0, 1, 0], [1, -4, 1], [0, 1, 0]])
    laplacian = ndimage.convolve(luma, kernel)[1:-1, 1:-1]
    gx, gy = (ndimage.sobel(luma, axis)[1:-1, 1:-1] for axis in (1, 0))
    size, angle = np.abs(gx) + np.abs(gy), np.degrees(np.arctan2(gy, gx)) % 180
    near = np.degrees(np.arctan2(12, 29)) - 1e-9  # of the horizontal and the vertical; the diagonals have the rest
    bins = np.select([(angle < near) | (angle > 180 - near), np.abs(angle - 90) < near, angle < 90], [0, 2, 1], 3)
    steps = [(np.abs(np.diff(luma, axis=axis)), axis) for axis in (0, 1)]
    border = [np.arange(step.shape[axis]) % 8 == 7 for step, axis in steps]
    across = np.concatenate([step.compress(at, axis).ravel() for (step, axis), at in zip(steps, border, strict=True)])
    inside = np.concatenate([step.compress(~at, axis).ravel() for (step, axis), at in zip(steps, border, strict=True)])
    height, width = luma.shape
    return {
        "width": width,
        "height": height,
        "aspect": width / height,
        "brightness": luma.mean() / 255,
        "contrast": luma.std() / 255,
        "entropy": stats.entropy(np.unique(luma, return_counts=True)[1]),
        "saturation": saturation.mean(),
        "saturation_spread": saturation.std(),
        "hue": np.degrees(cmath.phase(chroma.sum())) % 360,
        "hue_concentration": abs(chroma.sum()) / np.abs(chroma).sum(),
        "colourfulness": np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean()),
        "sharpness": laplacian.var(),
        "edge_density": (size >= 128).mean(),
        **{f"edge_{45 * k}": size[bins == k].sum() / size.sum() for k in range(4)},
        "symmetry_left_right": np.corrcoef(luma.ravel(), luma[:, ::-1].ravel())[0, 1],
        "symmetry_top_bottom": np.corrcoef(luma.ravel(), luma[::-1].ravel())[0, 1],
        "blockiness": (across.mean() - inside.mean()) / (across.mean() + inside.mean()),
    }


TOLERANCE = {"saturation": 3e-3, "saturation_spread": 3e-3, "hue_concentration": 1e-3}
"""Of what is rounded pixel by pixel; all else to 1e-9."""


@pytest.mark.parametrize("shape", [(20, 30), (33, 17), (40, 40)])
def test_features_are_their_formulas(shape):
    random = np.random.default_rng(2)
    smooth = ndimage.gaussian_filter(random.normal(size=(*shape, 3)), (3, 2, 0))
    picture = (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)
    noise = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    for of_picture, ours in zip((picture, noise), found(picture, noise), strict=True):
        for name, value in by_formula(of_picture).items():
            tolerance = TOLERANCE.get(name, 1e-9)
            assert ours[name] == pytest.approx(value, rel=tolerance, abs=tolerance), name
    assert len(DESCRIPTORS) == len(set(DESCRIPTORS)) == len(by_formula(picture))


def test_large_pictures_are_seen_as_a_thumbnail_and_through_windows():
    """Of 640 x 320 pixels: averages of 16 x 16, and two windows side by side."""
    random = np.random.default_rng(4)
    smooth = ndimage.gaussian_filter(random.normal(size=(320, 640, 3)), (9, 6, 0))
    picture = (200 * (smooth - smooth.min()) / np.ptp(smooth) + random.integers(0, 50, smooth.shape)).astype(np.uint8)
    thumbnail = looks(picture).thumbnail
    assert np.abs(thumbnail - picture.reshape(20, 16, 40, 16, 3).mean(axis=(1, 3))).max() <= 0.5
    (ours,) = found(picture)
    expected = by_formula(thumbnail) | {"width": 640, "height": 320, "aspect": 2.0}
    windows = [picture[128:192, x : x + 64] for x in (128, 448)]
    alone = [by_formula(window) for window in windows]
    for name in set(DESCRIPTORS) - {"sharpness", "blockiness"}:
        tolerance = TOLERANCE.get(name, 1e-9)
        assert ours[name] == pytest.approx(expected[name], rel=tolerance, abs=tolerance), name
    assert ours["sharpness"] == pytest.approx(np.mean([of["sharpness"] for of in alone]), rel=1e-3)
    assert ours["blockiness"] == pytest.approx(np.mean([of["blockiness"] for of in alone]), abs=1e-3)


def flat(*colour, shape=(16, 24)):
    return np.broadcast_to(np.array(colour, np.uint8), (*shape, 3)).copy()


def test_flat_pictures_are_what_they_look_like():
    black, white, red, green, blue = found(
        flat(0, 0, 0), flat(255, 255, 255), flat(255, 0, 0), flat(0, 255, 0), flat(0, 0, 255)
    )
    assert [of["brightness"] for of in (black, white)] == [0, 1]
    assert [of["saturation"] for of in (black, white, red)] == [0, 0, 1]
    assert [of["hue"] for of in (red, green, blue)] == pytest.approx([0, 120, 240])
    assert [of["hue_concentration"] for of in (black, red, blue)] == pytest.approx([0, 1, 1], abs=1e-2)
    for of in (black, white, red, green, blue):
        assert of["contrast"] == of["entropy"] == of["sharpness"] == of["edge_density"] == of["blockiness"] == 0
        assert of["symmetry_left_right"] == of["symmetry_top_bottom"] == 1


@pytest.mark.parametrize(("angle", "name"), [(0, "edge_0"), (45, "edge_45"), (90, "edge_90"), (135, "edge_135")])
def test_ramps_have_their_direction(angle, name):
    y, x = np.indices((40, 40))
    ramp = 100 + 2.0 * (np.cos(np.radians(angle)) * (x - 20) + np.sin(np.radians(angle)) * (y - 20))
    (ours,) = found(np.repeat(ramp.round().astype(np.uint8)[..., None], 3, axis=2))
    assert ours[name] > 0.9


def test_blocks_and_blur():
    random = np.random.default_rng(0)
    blocks = np.kron(random.integers(0, 256, (4, 5, 3)), np.ones((8, 8, 1))).astype(np.uint8)
    blurred = ndimage.gaussian_filter(blocks.astype(float), (3, 3, 0)).astype(np.uint8)
    sharp, soft = found(blocks, blurred)
    assert sharp["blockiness"] == 1
    assert soft["blockiness"] < 0.5
    assert sharp["sharpness"] > 10 * soft["sharpness"]


def test_a_picture_has_the_same_features_in_any_company():
    random = np.random.default_rng(1)
    pictures = random.integers(0, 256, (37, 45, 31, 3), dtype=np.uint8)
    together = found(*pictures)
    threads = torch.get_num_threads()
    for some in ([3], [3, 4], [36, 3, 0]):
        for count in (1, 2):
            torch.set_num_threads(count)
            try:
                assert found(*pictures[some]) == [together[index] for index in some]
            finally:
                torch.set_num_threads(threads)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (2, 300), (300, 1), (9, 1), (3, 3), (2, 2000)])
def test_tiny_pictures_have_finite_features(shape):
    random = np.random.default_rng(1)
    for row in found(*random.integers(0, 256, (2, *shape, 3), dtype=np.uint8)):
        assert np.isfinite(list(row.values())).all()
