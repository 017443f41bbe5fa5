"""One vector among a model's outputs, against means and slices made by hand."""

from __future__ import annotations

import pytest
import torch

from featflow.transforms.images.pooling import pooled, poolings

PIXELS = torch.zeros(2, 3, 16, 24)
GENERATOR = torch.Generator().manual_seed(0)


def normal(*shape):
    return torch.randn(shape, generator=GENERATOR)


@pytest.mark.parametrize(("patch_size", "patches"), [(8, 6), ([4, 12], 8)])
@pytest.mark.parametrize("before", [0, 1, 5])
def test_the_mean_is_over_patches_alone(before, patch_size, patches):
    hidden = normal(2, before + patches, 7)
    output = {"last_hidden_state": hidden, "pooler_output": None}
    assert poolings(output, patch_size, PIXELS) == (["cls", "mean"] if before else ["mean"])
    found = pooled(output, "mean", patch_size, PIXELS)
    assert torch.allclose(found, torch.stack([hidden[:, before + i] for i in range(patches)]).mean(0), atol=1e-6)
    assert torch.equal(pooled(output, "cls", patch_size, PIXELS), hidden[:, 0])


@pytest.mark.parametrize("patch_size", [None, 4])
def test_a_model_that_merges_patches_has_no_token_before_them(patch_size):
    """As Swin has it: fewer tokens than patches of its first layer."""
    output = {"last_hidden_state": normal(2, 6, 7)}
    assert poolings(output, patch_size, PIXELS) == ["mean"]
    assert torch.allclose(pooled(output, "mean", patch_size, PIXELS), output["last_hidden_state"].mean(1), atol=1e-6)


def test_feature_maps():
    hidden, pooler = normal(2, 5, 3, 4), normal(2, 5, 1, 1)
    output = {"last_hidden_state": hidden, "pooler_output": pooler}
    assert poolings(output, None, PIXELS) == ["pooler", "mean"]
    assert torch.equal(pooled(output, "pooler", None, PIXELS), pooler[:, :, 0, 0])
    assert torch.allclose(pooled(output, "mean", None, PIXELS), hidden.sum((2, 3)) / 12, atol=1e-6)


def test_the_projection_goes_before_the_pooler():
    output = {"image_embeds": normal(2, 4), "pooler_output": normal(2, 6)}
    assert poolings(output, None, PIXELS) == ["pooler"]
    assert torch.equal(pooled(output, "pooler", None, PIXELS), output["image_embeds"])


def test_half_precision_becomes_float32_before_the_mean():
    hidden = normal(2, 6, 7).bfloat16()
    found = pooled({"last_hidden_state": hidden}, "mean", 8, PIXELS)
    assert found.dtype == torch.float32
    assert torch.allclose(found, hidden.double().mean(1).float(), atol=1e-6)
