"""Pixels as Pillow and as image processors of transformers make them, none the worse for their neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transforms.images.models import clip_processor, convnext_processor, vit_processor

from featflow.transforms.images import pixels
from featflow.transforms.images.pixels import in_passes, prepare
from featflow.transforms.images.preprocessing import read_preprocessing

CPU = torch.device("cpu")
SHAPES = [(32, 32), (97, 61), (40, 120), (9, 7), (33, 32)]
LEVELS = {"do_rescale": False, "do_normalize": False}


def picture(height, width, seed=0):
    """Waves and some noise, as of a photograph."""
    rng = np.random.default_rng([seed, height, width])
    rows, columns = np.mgrid[:height, :width]
    waves = 127 + 70 * np.sin(rows[..., None] / 9 + columns[..., None] / 7 + np.arange(3))
    return np.clip(waves + rng.normal(0, 6, (height, width, 3)), 0, 255).astype(np.uint8)


def dots(height, width):
    """Black and white by chance: what makes bicubic resampling overshoot most."""
    return np.random.default_rng([height, width]).integers(0, 2, (height, width, 3)).astype(np.uint8) * 255


def between(old, new):
    return (2 * np.arange(new) + 1) * old % (2 * new) == 0


def prepared(pictures, config):
    return prepare(pictures, read_preprocessing(config, "m"), len(pictures), CPU).numpy()


@pytest.mark.parametrize("make", [picture, dots])
@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
@pytest.mark.parametrize("shape", SHAPES)
def test_resizing_is_that_of_pillow_horizontally_first(resample, shape, make):
    pixels, number = make(*shape), {"bilinear": 2, "bicubic": 3}[resample]
    expected = Image.fromarray(pixels).resize((40, shape[0]), number).resize((40, 48), number)
    expected = np.asarray(expected, np.float32).transpose(2, 0, 1)
    found = prepared([pixels], vit_processor(size=[48, 40], resample=number, **LEVELS))[0]
    elsewhere = in_passes(torch.from_numpy(pixels)[None].permute(0, 3, 1, 2), (48, 40), resample).numpy()[0]
    for each, levels in ((found, 1), (elsewhere, 2)):
        assert np.array_equal(each, each.round())
        assert np.abs(each - expected).max() <= levels
    assert (found == expected).mean() > 0.99
    assert (elsewhere == expected).mean() > 0.7  # halves, of which small ratios make many, are rounded either way


@pytest.mark.parametrize("shape", SHAPES)
def test_the_nearest_pixel_is_that_of_pillow(shape):
    found = prepared([dots(*shape)], vit_processor(size=[48, 40], resample=0, **LEVELS))[0]
    expected = np.asarray(Image.fromarray(dots(*shape)).resize((40, 48), 0), np.float32).transpose(2, 0, 1)
    # Where a middle falls between two pixels, Pillow's sum of steps decides by its rounding.
    rows, columns = (between(*sides) for sides in zip(shape, (48, 40), strict=True))
    found, expected = (each[:, ~rows][..., ~columns] for each in (found, expected))
    assert expected.size
    assert np.array_equal(found, expected)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "config",
    [
        vit_processor(),
        vit_processor(size={"height": 24, "width": 40}, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.4]),
        vit_processor(do_center_crop=True, crop_size={"height": 21, "width": 50}),
        vit_processor(do_resize=False, do_center_crop=True, crop_size=40, do_normalize=False),
        vit_processor(rescale_factor=1 / 127.5, image_mean=1.0, image_std=1.0),
        clip_processor(),
        clip_processor(33),
        clip_processor(size={"shortest_edge": 40, "longest_edge": 50}),
        convnext_processor(),
        convnext_processor(crop_pct=0.7, resample=2),
    ],
)
def test_pixels_are_those_of_the_processor_of_transformers(config, shape):
    pixels = picture(*shape)
    kind = getattr(transformers, config["image_processor_type"] + "Pil")
    keys = {key: value for key, value in config.items() if key != "image_processor_type"}
    expected = np.asarray(kind(**keys)(pixels, input_data_format="channels_last")["pixel_values"][0])
    found = prepared([pixels], config)[0]
    assert found.shape == expected.shape
    level = config.get("rescale_factor", 1 / 255) / 0.2
    assert np.abs(found - expected).max() <= 2.001 * level  # 1 of each pass, whose order may be another


@pytest.mark.parametrize("config", [vit_processor(), clip_processor()])
def test_a_picture_does_not_depend_on_others(config):
    pictures = [picture(*shape, seed) for seed in range(2) for shape in SHAPES]
    alone = np.concatenate([prepared([each], config) for each in pictures])
    assert np.array_equal(prepared(pictures, config), alone)
    damaged = [None if index in {0, 3, 9} else each for index, each in enumerate(pictures)]
    found = prepare(damaged, read_preprocessing(config, "m"), 16, CPU).numpy()
    assert not found[[0, 3, *range(9, 16)]].any()
    assert np.array_equal(found[[1, 2, 4, 5, 6, 7, 8]], alone[[1, 2, 4, 5, 6, 7, 8]])


def test_pictures_that_become_large_are_resized_one_by_one(monkeypatch):
    """Thirty-two lines of 1,024 pixels whose shorter side is to be 224 would be 5 GB at once."""
    lines = [picture(1, 90, seed) for seed in range(5)]
    together = prepared(lines, clip_processor())
    resized, at_once = pixels._resized, []

    def noted(group, *how):
        at_once.append(len(group))
        return resized(group, *how)

    monkeypatch.setattr(pixels, "_resized", noted)
    monkeypatch.setattr(pixels, "RESIZED_PIXELS", 2 * 32 * 90 * 32)
    assert np.array_equal(prepared(lines, clip_processor()), together)
    assert at_once == [2, 2, 1]
