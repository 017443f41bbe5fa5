"""Vision models of random weights, saved with save_pretrained, and a preprocessor_config.json beside them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import transformers

from featflow.dataset.image_options import ImageOptions
from featflow.transforms.images.vision import VisionSpec, vision_spec

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()

SIDE = 32
TOWER = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": SIDE,
    "patch_size": 8,
}
TEXT = TOWER | {"vocab_size": 50, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 2}


def vit_processor(side: int = SIDE, **keys: Any) -> dict[str, Any]:
    return {"image_processor_type": "ViTImageProcessor", "size": {"height": side, "width": side}, **keys}


def clip_processor(side: int = SIDE, **keys: Any) -> dict[str, Any]:
    sides = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    return {"image_processor_type": "CLIPImageProcessor", **sides, **keys}


def convnext_processor(side: int = SIDE, **keys: Any) -> dict[str, Any]:
    return {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": side}, **keys}


def save(model: Any, folder: Path, processor: dict[str, Any], **how: Any) -> str:
    """Save a model and its preprocessing; return the folder's name. ``how`` goes to save_pretrained."""
    model.save_pretrained(folder, **how)
    (folder / "preprocessor_config.json").write_text(json.dumps(processor))
    return str(folder)


def spec_of(source: str, storage: dict[str, Any] | None = None, **options: Any) -> VisionSpec:
    """Return the spec of a saved model; ``options`` are those of an image column."""
    return vision_spec(source, ImageOptions(column="photo", encoder=f"transformers:{source}", **options), storage or {})


def seeded(make: Any, config: Any, **options: Any) -> Any:
    """Return a model of random weights, the same ones each time, in batch norms, too."""
    torch.manual_seed(0)
    model = make(config, **options).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    return model


def vit(**options: Any) -> Any:
    return seeded(transformers.ViTModel, transformers.ViTConfig(**TOWER), **options)


def resnet() -> Any:
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic")
    return seeded(transformers.ResNetModel, config)


def resnet18() -> Any:
    """11 million weights; its vectors are 512 long."""
    config = transformers.ResNetConfig(
        embedding_size=64, hidden_sizes=[64, 128, 256, 512], depths=[2, 2, 2, 2], layer_type="basic"
    )
    return seeded(transformers.ResNetModel, config)


def convnext() -> Any:
    config = transformers.ConvNextConfig(hidden_sizes=[8, 16], depths=[1, 1], num_stages=2)
    return seeded(transformers.ConvNextModel, config)


def dinov2() -> Any:
    config = {key: value for key, value in TOWER.items() if key != "intermediate_size"}
    return seeded(transformers.Dinov2Model, transformers.Dinov2Config(**config))


def clip_vision(*, projected: bool = True) -> Any:
    kind = transformers.CLIPVisionModelWithProjection if projected else transformers.CLIPVisionModel
    return seeded(kind, transformers.CLIPVisionConfig(**TOWER, projection_dim=24))


def clip() -> Any:
    config = transformers.CLIPConfig(text_config=TEXT, vision_config=TOWER, projection_dim=24)
    return seeded(transformers.CLIPModel, config)


def bert() -> Any:
    keys = ("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size")
    config = transformers.BertConfig(vocab_size=50, **{key: TOWER[key] for key in keys})
    return seeded(transformers.BertModel, config)
