"""Models that make no vectors are refused before anything is read, and it is told why."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import transformers
from safetensors.torch import load_file, save_file
from transforms.images import models
from transforms.images.models import clip_processor, save, spec_of, vit_processor

from featflow.errors import ConfigurationError


@pytest.fixture
def vit(tmp_path):
    return save(models.vit(), tmp_path / "vit", vit_processor())


def changed(source, name, **keys):
    path = Path(source, name)
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_another_number_of_channels_is_refused(tmp_path):
    four = models.seeded(transformers.ViTModel, transformers.ViTConfig(**models.TOWER, num_channels=4))
    with pytest.raises(ConfigurationError, match=r"config\.json: num_channels is 4"):
        spec_of(save(four, tmp_path / "vit", vit_processor()))
    tower = models.TOWER | {"num_channels": 1}
    clip = transformers.CLIPConfig(text_config=models.TEXT, vision_config=tower, projection_dim=24)
    with pytest.raises(ConfigurationError, match=r"config\.json: num_channels is 1"):
        spec_of(save(models.seeded(transformers.CLIPModel, clip), tmp_path / "clip", clip_processor()))


def test_a_model_of_text_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="bert is no model of pictures"):
        spec_of(save(models.bert(), tmp_path, vit_processor()))


def test_a_model_that_masks_at_random_is_refused(tmp_path):
    masked = models.seeded(transformers.ViTMAEModel, transformers.ViTMAEConfig(**models.TOWER))
    with pytest.raises(ConfigurationError, match="another vector each time"):
        spec_of(save(masked, tmp_path, vit_processor()))


def test_weights_that_are_not_there_would_be_random(vit):
    path = Path(vit, "model.safetensors")
    tensors = load_file(path)
    lacking = {name: tensor for name, tensor in tensors.items() if "layers.1" not in name and "layer.1" not in name}
    assert len(lacking) < len(tensors)
    save_file(lacking, path)
    with pytest.raises(ConfigurationError, match=r"lack the weights of .*1.* and more"):
        spec_of(vit)


def test_weights_that_do_not_fit_or_cannot_be_read(vit):
    path = Path(vit, "model.safetensors")
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(ConfigurationError, match=f"{vit}: .*cannot load it"):
        spec_of(vit)
    path.write_bytes(content)
    changed(vit, "config.json", hidden_size=64)
    with pytest.raises(ConfigurationError, match=f"{vit}: .*of other shapes than config.json says"):
        spec_of(vit)


@pytest.mark.parametrize("kind", ["no-such-model", None])
def test_a_type_of_model_that_is_not_known(kind, vit):
    changed(vit, "config.json", model_type=kind)
    with pytest.raises(ConfigurationError, match=f"{vit}: .*cannot load it"):
        spec_of(vit)


def test_a_model_that_takes_other_sides(vit):
    changed(vit, "preprocessor_config.json", size={"height": 40, "width": 40})
    with pytest.raises(ConfigurationError, match=r"no pictures of 40 x 40.*preprocessor_config\.json"):
        spec_of(vit)


def test_without_transformers_it_is_told_what_to_install(vit, monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigurationError, match=r'pip install "featflow\[vision\]"'):
        spec_of(vit)
