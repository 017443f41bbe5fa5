"""Vectors of the encoder, against the same model loaded by transformers itself."""

from __future__ import annotations

import json
import pickle
import socket
import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from transforms.images import models
from transforms.images.models import SIDE, clip_processor, convnext_processor, save, spec_of, vit_processor

from featflow.errors import ConfigurationError, InfrastructureError
from featflow.transforms.images import vision
from featflow.transforms.images.pixels import prepare

RNG = np.random.default_rng(0)
PICTURES = [RNG.integers(0, 256, (*shape, 3), np.uint8) for shape in [(32, 32), (48, 37), (20, 64), (32, 32), (9, 9)]]
MODELS = {
    "vit": (models.vit, vit_processor()),
    "resnet": (models.resnet, convnext_processor()),
    "convnext": (models.convnext, convnext_processor()),
    "dinov2": (models.dinov2, clip_processor(image_processor_type="BitImageProcessor")),
    "clip_vision": (models.clip_vision, clip_processor()),
}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def encoded(encoder, pictures):
    sizes = np.array([(1, 1) if each is None else each.shape[1::-1] for each in pictures])
    kept = [None if each is None else encoder.prepare(Image.fromarray(each), each) for each in pictures]
    return encoder.encode(kept, sizes)


def bare(kind, source, spec):
    """Return what the model that transformers loads from the directory says of the pictures."""
    model = kind.from_pretrained(source, local_files_only=True).eval().to(DEVICE)
    with torch.inference_mode():
        return model(pixel_values=prepare(PICTURES, spec.preprocessing, len(PICTURES), DEVICE))


@pytest.fixture(autouse=True)
def one_thread():
    """Models this small gain nothing by threads, which wait for each other where others work, too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def vit(tmp_path):
    return save(models.vit(), tmp_path / "vit", vit_processor())


@pytest.mark.parametrize("name", MODELS)
def test_vectors_are_those_of_the_bare_model(name, tmp_path):
    make, processor = MODELS[name]
    source = save(make(), tmp_path, processor)
    kind = transformers.CLIPVisionModelWithProjection if "clip" in name else transformers.AutoModel
    spec = spec_of(source)
    output = bare(kind, source, spec)
    expected = output.image_embeds if "clip" in name else output.pooler_output.flatten(1)
    found = encoded(spec.make(), PICTURES)
    assert spec.pooling == "pooler"
    assert found.shape == (len(PICTURES), spec.width)
    assert found.dtype == np.float32
    assert np.ptp(found, axis=0).max() > 0.01, "pictures differ"
    assert np.abs(found - expected.cpu().numpy()).max() < 1e-4


@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("name", ["vit", "dinov2", "clip_vision"])
def test_poolings_of_tokens(name, pooling, tmp_path):
    make, processor = MODELS[name]
    source = save(make(), tmp_path, processor)
    spec = spec_of(source, pooling=pooling)
    hidden = bare(transformers.AutoModel, source, spec).last_hidden_state
    expected = hidden[:, 0] if pooling == "cls" else hidden[:, 1:].mean(1)
    assert (spec.pooling, spec.width) == (pooling, 32)
    assert np.abs(encoded(spec.make(), PICTURES) - expected.cpu().numpy()).max() < 1e-4


def test_poolings_of_feature_maps(tmp_path):
    source = save(models.convnext(), tmp_path, convnext_processor())
    spec = spec_of(source, pooling="mean")
    expected = bare(transformers.AutoModel, source, spec).last_hidden_state.mean((2, 3))
    assert np.abs(encoded(spec.make(), PICTURES) - expected.cpu().numpy()).max() < 1e-4
    with pytest.raises(ConfigurationError, match="no pooling cls; it has pooler, mean"):
        spec_of(source, pooling="cls")


def test_a_pooler_whose_weights_are_not_there_is_not_used(tmp_path):
    source = save(models.vit(add_pooling_layer=False), tmp_path, vit_processor())
    spec = spec_of(source)
    assert spec.pooling == "cls"
    expected = bare(transformers.AutoModel, source, spec).last_hidden_state[:, 0]
    assert np.abs(encoded(spec.make(), PICTURES) - expected.cpu().numpy()).max() < 1e-4
    with pytest.raises(ConfigurationError, match="no pooling pooler; it has cls, mean"):
        spec_of(source, pooling="pooler")


def test_a_model_with_a_head_is_its_body(tmp_path):
    whole = models.seeded(transformers.ViTForImageClassification, transformers.ViTConfig(**models.TOWER))
    spec = spec_of(save(whole, tmp_path, vit_processor()))
    with torch.inference_mode():
        hidden = whole.vit(pixel_values=prepare(PICTURES, spec.preprocessing, 5, torch.device("cpu"))).last_hidden_state
    assert spec.pooling == "cls"
    assert np.abs(encoded(spec.make(), PICTURES) - hidden[:, 0].numpy()).max() < 1e-4


def test_of_pictures_and_text_the_tower_of_pictures_is_used(tmp_path):
    whole = models.clip()
    source = save(whole, tmp_path, clip_processor())
    spec, mean = spec_of(source), spec_of(source, pooling="mean")
    with torch.inference_mode():
        pixels = prepare(PICTURES, spec.preprocessing, len(PICTURES), torch.device("cpu"))
        tower = whole.vision_model(pixel_values=pixels)
        expected = whole.visual_projection(tower.pooler_output)
    assert (spec.model, spec.pooling, spec.width) == ("clip_vision_model", "pooler", 24)
    assert np.abs(encoded(spec.make(), PICTURES) - expected.numpy()).max() < 1e-4
    assert np.abs(encoded(mean.make(), PICTURES) - tower.last_hidden_state[:, 1:].mean(1).numpy()).max() < 1e-4


def test_clip_without_a_projection(tmp_path):
    source = save(models.clip_vision(projected=False), tmp_path, clip_processor())
    spec = spec_of(source)
    expected = bare(transformers.CLIPVisionModel, source, spec).pooler_output
    assert (spec.pooling, spec.width) == ("pooler", 32)
    assert np.abs(encoded(spec.make(), PICTURES) - expected.cpu().numpy()).max() < 1e-4


@pytest.mark.parametrize("name", ["vit", "resnet", "convnext"])
@pytest.mark.parametrize("bfloat16", [False, True])
def test_a_vector_depends_by_no_bit_on_its_neighbours(name, bfloat16, tmp_path):
    make, processor = MODELS[name]
    encoder = spec_of(save(make(), tmp_path, processor), bfloat16=bfloat16).make()
    whole = encoded(encoder, PICTURES)
    for damaged in ({0}, {1, 4}, {0, 1, 3, 4}):
        some = [None if index in damaged else picture for index, picture in enumerate(PICTURES)]
        others = [PICTURES[2] if index in damaged else picture for index, picture in enumerate(PICTURES)]
        there = [index for index in range(len(PICTURES)) if index not in damaged]
        assert np.array_equal(encoded(encoder, some)[there], whole[there])
        assert np.array_equal(encoded(encoder, others)[there], whole[there])
        assert not encoded(encoder, some)[sorted(damaged)].any()
    assert np.array_equal(encoded(encoder, [*PICTURES, None, None]), np.vstack([whole, 0 * whole[:2]]))
    assert not encoded(encoder, [None, None]).any()
    assert encoded(encoder, []).shape == (0, encoder.width)


def test_more_than_a_batch(vit):
    encoder = spec_of(vit).make()
    several = encoded(encoder, PICTURES * 9)
    assert encoder.batch == 32
    assert np.abs(several - np.tile(encoded(encoder, PICTURES), (9, 1))).max() < 1e-5


def test_the_batch_shrinks_where_activations_are_large(vit, monkeypatch):
    expected = encoded(spec_of(vit).make(), PICTURES)
    tokens = (SIDE // 8) ** 2 + 1
    monkeypatch.setattr(vision, "LARGEST_OUTPUT", 5 * tokens * models.TOWER["intermediate_size"] * 4)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    encoder = spec_of(vit).make()
    assert encoder.batch == 4
    assert np.abs(encoded(encoder, PICTURES) - expected).max() < 1e-4


@pytest.mark.parametrize("fits", [1, 2, 3])
def test_a_device_short_of_memory_gets_smaller_batches(fits, vit):
    encoder = spec_of(vit).make()
    expected = encoded(encoder, PICTURES)

    def short(module, args, kwargs):
        if len(kwargs["pixel_values"]) > fits:
            raise torch.OutOfMemoryError

    encoder._network.register_forward_pre_hook(short, with_kwargs=True)
    assert np.abs(encoded(encoder, PICTURES) - expected).max() < 1e-5
    assert encoder.batch == {1: 1, 2: 2, 3: 2}[fits]


def test_a_device_without_memory_is_no_fault_of_a_picture(vit):
    encoder = spec_of(vit).make()

    def none(module, args):
        raise torch.OutOfMemoryError

    encoder._network.register_forward_pre_hook(none)
    with pytest.raises(InfrastructureError, match="memory for one picture"):
        encoded(encoder, PICTURES)


def test_bfloat16_is_autocast_of_the_same_weights(vit):
    spec = spec_of(vit, bfloat16=True)
    with torch.autocast(DEVICE.type, torch.bfloat16):
        expected = bare(transformers.AutoModel, vit, spec).pooler_output
    found, exact = encoded(spec.make(), PICTURES), encoded(spec_of(vit).make(), PICTURES)
    assert found.dtype == np.float32
    assert np.abs(found - expected.float().cpu().numpy()).max() < 1e-2
    assert 0 < np.abs(found - exact).max() < 2e-2


def test_weights_in_half_precision_are_run_in_float32(tmp_path):
    half = save(models.vit().bfloat16(), tmp_path / "half", vit_processor())
    whole = save(models.vit().bfloat16().float(), tmp_path / "whole", vit_processor())
    assert np.array_equal(*(encoded(spec_of(each).make(), PICTURES) for each in (half, whole)))


def test_a_large_picture_is_averaged_before(vit):
    spec = spec_of(vit)
    encoder = spec.make()
    large = Image.new("RGB", (3024, 3024), (10, 200, 30))
    kept = encoder.prepare(large, np.asarray(large))
    assert max(kept.shape) <= spec.longest == 1024
    small = np.full((5, 5, 3), (10, 200, 30), np.uint8)
    assert np.array_equal(*encoder.encode([kept, small], np.array([(3024, 3024), (5, 5)])))


def test_sharded_weights(tmp_path, vit):
    sharded = save(models.vit(), tmp_path / "sharded", vit_processor(), max_shard_size="20KB")
    assert len(list(Path(sharded).glob("*.safetensors"))) > 2
    found, expected = spec_of(sharded), spec_of(vit)
    assert found.sha256 != expected.sha256
    assert np.array_equal(*(encoded(spec.make(), PICTURES) for spec in (found, expected)))


def test_a_spec_is_named_by_what_decides_vectors(vit, tmp_path):
    spec, mean = spec_of(vit), spec_of(vit, pooling="mean")
    elsewhere = spec_of(save(models.vit(), tmp_path / "copy", vit_processor()), {"secret": "swordfish"})
    assert (elsewhere, repr(elsewhere), hash(elsewhere)) == (spec, repr(spec), hash(spec))
    assert "swordfish" not in repr(elsewhere) + elsewhere.id
    assert len({spec, mean, spec_of(vit, bfloat16=True)}) == 3
    assert len({repr(each) for each in (spec, mean, spec_of(vit, bfloat16=True))}) == 3
    other = save(models.vit(), tmp_path / "other", vit_processor(image_mean=[0.4, 0.4, 0.4]))
    assert repr(spec_of(other)) != repr(spec)
    again = pickle.loads(pickle.dumps(elsewhere))
    assert (again, again.source, again.options) == (elsewhere, elsewhere.source, {"secret": "swordfish"})
    assert spec.id.startswith(f"transformers-vit;sha256={spec.sha256[:12]};pooling=pooler;32x32-bilinear;longest=1024;")
    assert f"transformers-{transformers.__version__}" in spec.id


def test_the_digest_that_was_asked_for(vit):
    digest = spec_of(vit).sha256
    assert spec_of(vit, sha256=digest).sha256 == digest
    with pytest.raises(ConfigurationError, match=f"{vit}: .*{digest}.*{'0' * 64}"):
        spec_of(vit, sha256="0" * 64)


def test_files_that_change_during_a_run(vit):
    spec = spec_of(vit)
    config = Path(vit, "config.json")
    config.write_text(config.read_text() + "\n")
    with pytest.raises(InfrastructureError, match="changed during the run"):
        spec.make()


def test_from_a_remote_directory_without_a_hub(vit, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def refuse(*args):
        raise AssertionError(f"connects to {args}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    filesystem, root = fsspec.filesystem("memory"), f"/{uuid.uuid4().hex}"
    raw = json.loads(Path(vit, "config.json").read_text())
    raw |= {"_attn_implementation": "kernels-community/flash-attn", "auto_map": {"AutoModel": "somebody/model--a.B"}}
    Path(vit, "config.json").write_text(json.dumps(raw))
    filesystem.put(vit, root, recursive=True)
    spec = spec_of(f"memory:/{root}")
    assert spec == spec_of(vit)
    assert np.array_equal(encoded(spec.make(), PICTURES), encoded(spec_of(vit).make(), PICTURES))
    filesystem.rm(root, recursive=True)
    assert encoded(spec.make(), PICTURES).any(), "the node keeps a copy"
