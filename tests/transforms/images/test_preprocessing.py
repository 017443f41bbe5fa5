"""What preprocessor_config.json says, and what transformers' own image processors make of it; what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import transformers
from transforms.images.models import clip_processor, convnext_processor, vit_processor

from featflow.errors import ConfigurationError
from featflow.transforms.images.pixels import prepare
from featflow.transforms.images.preprocessing import TYPES, read_preprocessing

RNG = np.random.default_rng(0)
WAVES = 127 + 60 * np.sin(np.mgrid[:300, :260].sum(0) / 9)[..., None]
PICTURE = np.clip(WAVES + RNG.normal(0, 6, (300, 260, 3)), 0, 255).astype(np.uint8)


def check(config, processor):
    expected = processor(PICTURE, input_data_format="channels_last")["pixel_values"][0]
    found = prepare([PICTURE], read_preprocessing(config, "m"), 1, torch.device("cpu"))[0].numpy()
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 2.001 / 255 / 0.26  # a level of each pass


@pytest.mark.parametrize("kind", sorted(TYPES))
def test_what_a_file_leaves_out_is_as_documented(kind):
    processor = getattr(transformers, f"{kind}ImageProcessorPil")()
    for name in (f"{kind}ImageProcessor", f"{kind}ImageProcessorFast", f"{kind}FeatureExtractor"):
        check({"image_processor_type": name, "size": None}, processor)


@pytest.mark.parametrize("side", [224, 384])
def test_convnext_crops_small_pictures_and_squeezes_large_ones(side):
    config = convnext_processor(side)
    check(config, transformers.ConvNextImageProcessorPil(size=config["size"]))


def test_what_a_processor_saves_is_what_it_does():
    clip, deit = transformers.CLIPImageProcessorPil(), transformers.DeiTImageProcessorPil(size=48, crop_size=40)
    check(clip.to_dict(), clip)
    check(deit.to_dict(), deit)


def test_sizes_of_older_files():
    old = {"feature_extractor_type": "ViTFeatureExtractor", "size": 40, "resample": 2}
    assert read_preprocessing(old, "m").size == (40, 40)
    old = {"feature_extractor_type": "CLIPFeatureExtractor", "size": 40, "crop_size": 30}
    found = read_preprocessing(old, "m")
    assert (found.size, found.shortest, found.crop) == (None, 40, (30, 30))


@pytest.mark.parametrize(
    ("config", "names"),
    [
        ({"image_processor_type": "LevitImageProcessor"}, "LevitImageProcessor"),
        ({}, "image_processor_type is absent"),
        (vit_processor(resample=1), "resample is lanczos"),
        (vit_processor(resample=4), "resample is box"),
        (vit_processor(resample=5), "resample is hamming"),
        (vit_processor(do_pad=True), "do_pad"),
        (vit_processor(do_flip_channel_order=True), "do_flip_channel_order"),
        (clip_processor(do_center_crop=False), "do_center_crop"),
        (vit_processor(do_resize=False), "of one shape"),
        (vit_processor(size={"longest_edge": 32}), "size has"),
        (vit_processor(size={"height": 0, "width": 3}), "size has 0"),
        (vit_processor(size=[1, 2, 3]), "height and width"),
        (vit_processor(do_center_crop=True, crop_size="big"), "crop_size has 'big'"),
        (convnext_processor(size={"height": 32, "width": 32}), "shortest_edge"),
        (convnext_processor(crop_pct=0), "crop_pct is 0"),
        (vit_processor(image_mean=[0.5]), "three channels"),
        (vit_processor(image_std=[0.5, 0, 0.5]), "image_std holds 0"),
        (vit_processor(rescale_factor="x"), "rescale_factor is 'x'"),
        (vit_processor(size={"height": 10**6, "width": 10**6}), "size has 1000000; .* at most 2,048"),
        (clip_processor(crop_size=2_049), "crop_size has 2049; .* at most 2,048"),
        (convnext_processor(crop_pct=1e-300), "size / crop_pct has .* at most 2,048"),
        (vit_processor(rescale_factor=10**400), "rescale_factor is 10+[.]{3}, not"),
        (vit_processor(image_mean=[0, 0, 10**400]), "image_mean is .*, but pictures have three channels"),
    ],
)
def test_what_is_not_known_is_refused_by_name(config, names):
    with pytest.raises(ConfigurationError, match=names) as error:
        read_preprocessing(config, "s3://lake/model")
    assert "s3://lake/model/preprocessor_config.json" in str(error.value)


def test_no_side_is_resized_to_nothing():
    lines = read_preprocessing(clip_processor(size={"shortest_edge": 40, "longest_edge": 50}), "m")
    assert (lines.resized(1, 1_000), lines.resized(1_000, 1)) == ((1, 50), (50, 1))
