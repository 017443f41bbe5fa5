"""Pictures to vectors by a vision model that was saved with save_pretrained. The only importer of transformers.

Of a model of pictures and text only the vision tower is used. `pooling` says which of its outputs is the vector; auto
is the pooler where the model has one with weights, else the first token, else the mean over patches.

No hub is contacted, no code in the model's directory is run, no pickle is read: the configuration is parsed as JSON,
weights come from safetensors files, and transformers never hears of the directory. A tensor that the files lack would
be random. That is an error, but for those of a pooler that is not used.

A batch is filled up with zeros to a power of two, and a picture that is missing is zeros. So a vector depends in its
last bits on how many pictures are encoded with it, and by no bit on what they are. Pictures whose longer side exceeds
``longest`` are first averaged over squares of whole pixels; it is four times the side that the model sees, at least
1024 pixels, so that only pictures of more than four times the width in height, or the reverse, lose detail by it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from PIL.Image import Image

from featflow.dataset.image_options import ImageOptions
from featflow.errors import ConfigurationError, FeatflowError, InfrastructureError, first_line
from featflow.transforms.images.model_config import check_weights, network_config
from featflow.transforms.images.pictures import DECODER, reduced
from featflow.transforms.images.pixels import prepare
from featflow.transforms.images.pooling import pooled, poolings
from featflow.transforms.images.preprocessing import Preprocessing, read_preprocessing
from featflow.transforms.images.weights import CONFIG, PREPROCESSOR, ModelFiles, locate, open_model

__all__ = ["VisionEncoder", "VisionSpec", "vision_spec"]

MOST_ON_CPU, MOST_ON_CUDA = 32, 512
"""Most pictures in a batch: larger ones need more memory for them and for those that are decoded ahead."""
ACTIVATIONS = 2**30
"""Bytes reserved for the activations of a batch, beside a model's weights: an estimate, 32 times `LARGEST_OUTPUT`."""
LARGEST_OUTPUT = 2**25
"""Bytes of the largest output of a layer on a CPU: glibc maps what is larger anew each time, a fifth slower."""
PROJECTION = "visual_projection.weight"
"""Tensor of CLIP that only a model with a projection has."""
PROBE = 8
"""Pictures of which the memory on a GPU is measured: several, as one picture's share includes fixed buffers."""


@dataclass(frozen=True)
class VisionSpec:
    """A vision model and all that decides its vectors; its repr names states and leaves out what decides none."""

    model: str
    """Its type, such as vit."""
    sha256: str
    """Digest of its files."""
    width: int
    """Length of a vector."""
    pooling: str
    """Which of its outputs is the vector: pooler, cls or mean."""
    preprocessing: Preprocessing
    """Changes to a picture before the model sees it."""
    longest: int
    """Longer side in pixels beyond which pictures are averaged before their preprocessing."""
    bfloat16: bool
    """Whether it runs under bfloat16 autocast."""
    decoder: str = DECODER
    """Decoder and its version, which decide pixels."""
    working_bytes: int = field(default=0, repr=False, compare=False)
    """Bytes of its weights and activations."""
    source: str = field(default="", repr=False, compare=False)
    """Directory or URI."""
    options: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Options of its filesystem."""

    uses_gpus = True
    """Where torch sees one."""

    @property
    def id(self) -> str:
        """Its name."""
        # Another torch moves last bits, as other threads do: no reason to encode again, so the repr leaves it out.
        versions = ";".join(f"{name}-{version(name).partition('+')[0]}" for name in ("torch", "transformers"))
        return (
            f"transformers-{self.model};sha256={self.sha256[:12]};pooling={self.pooling};{self.preprocessing.name};"
            f"{'bfloat16;' * self.bfloat16}longest={self.longest};{self.decoder};{versions}"
        )

    def make(self) -> VisionEncoder:
        """Return the encoder, on a GPU where torch sees one; InfrastructureError if the files have changed."""
        files = open_model(self.source, self.options, self.sha256)
        if files.sha256 != self.sha256:
            raise InfrastructureError(f"{self.source}: the model's files changed during the run; run again")
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return VisionEncoder(self, _load_network(files, self.source)[0], device)


def vision_spec(source: str, image_options: ImageOptions, storage_options: dict[str, Any]) -> VisionSpec:
    """Return the spec of a model after loading it and trying it on one picture, on the CPU.

    Parameters
    ----------
    source
        Directory or URI, without what goes before it in a configuration.
    storage_options
        Of its filesystem.

    Raises
    ------
    ConfigurationError
        The directory lacks a file, its digest is not the one that was asked for, the model is not one of three-channel
        pictures, wants a preprocessing that is not known, or has no such pooling.
    InfrastructureError
        Storage did not answer, or this node has no place for a copy.
    """
    place, _ = locate(source)
    files = open_model(source, storage_options, image_options.sha256)
    if image_options.sha256 not in {None, files.sha256}:
        raise ConfigurationError(
            f"{place}: the sha256 of its files is {files.sha256}, and not {image_options.sha256}, as the configuration "
            "says; get the files that were meant, or correct it"
        )
    preprocessing = read_preprocessing(files.read_json(PREPROCESSOR, place), place)
    network, has_pooler = _load_network(files, place)
    pooling, width = _probe(network, image_options.pooling, has_pooler, preprocessing.shape, place)
    model, longest = network.config.model_type, max(4 * max(preprocessing.shape), 1024)
    identity = model, files.sha256, width, pooling, preprocessing, longest, image_options.bfloat16
    nbytes = sum(path.stat().st_size for path in files.weights) + ACTIVATIONS
    return VisionSpec(*identity, working_bytes=nbytes, source=place, options=storage_options)


class VisionEncoder:
    """The encoder of a `VisionSpec`.

    Its batch is a power of two. On a CPU it is at most 32, and such that the largest output of a layer takes at most
    32 MiB. On a GPU it is at most 512, and such that a batch takes half of the memory that is free when it is loaded.
    Where memory is short nonetheless it is halved, for good; the last bits of vectors may then differ.
    """

    def __init__(self, spec: VisionSpec, network: Any, device: torch.device) -> None:
        self.width, self.threaded = spec.width, True
        self._spec, self._device = spec, device
        self._network = network.to(device, memory_format=torch.channels_last)
        self.batch = self._batch_on_cuda() if device.type == "cuda" else self._batch_on_cpu()

    def prepare(self, image: Image, thumbnail: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """Return the pixels of a picture, averaged where it is too large, shape (height, width, 3), uint8."""
        return reduced(image, self._spec.longest)

    def encode(self, prepared: Sequence[np.ndarray | None], sizes: np.ndarray) -> np.ndarray:  # noqa: ARG002
        """Return a vector of each picture, shape (pictures, width), float32; zeros where there is none."""
        vectors = np.zeros((len(prepared), self.width), np.float32)
        start = 0
        while start < len(prepared):
            pictures = prepared[start : start + self.batch]
            encoded = self._vectors(pictures)
            if encoded is None:
                self.batch //= 2
                torch.cuda.empty_cache()
                continue
            vectors[start : start + len(pictures)] = encoded
            start += len(pictures)
        return vectors

    def _vectors(self, pictures: Sequence[np.ndarray | None]) -> np.ndarray | None:
        """Return the vectors of a batch, or None if the GPU has no memory for it."""
        present = [index for index, picture in enumerate(pictures) if picture is not None]
        vectors = np.zeros((len(pictures), self.width), np.float32)
        if present:
            slots = 1 << (len(pictures) - 1).bit_length()
            try:
                encoded = self._forward(prepare(pictures, self._spec.preprocessing, slots, self._device))
            except torch.OutOfMemoryError as error:
                if self.batch == 1:
                    raise InfrastructureError(f"{self._spec.source}: the GPU has no memory for one picture") from error
                return None
            vectors[present] = encoded.cpu().numpy()[present]
        return vectors

    def _forward(self, pixels: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode(), torch.autocast(pixels.device.type, torch.bfloat16, enabled=self._spec.bfloat16):
            output = self._network(pixel_values=pixels)
        return pooled(output, self._spec.pooling, getattr(self._network.config, "patch_size", None), pixels)

    def _zeros(self, pictures: int) -> torch.Tensor:
        return torch.zeros((pictures, 3, *self._spec.preprocessing.shape), device=self._device)

    def _batch_on_cpu(self) -> int:
        largest = 1

        def measure(_: Any, __: Any, output: Any) -> None:
            nonlocal largest
            if isinstance(output, torch.Tensor):
                largest = max(largest, output.nbytes)

        hooks = [module.register_forward_hook(measure) for module in self._network.modules()]
        self._forward(self._zeros(1))
        for hook in hooks:
            hook.remove()
        return _power_of_two(LARGEST_OUTPUT / largest, MOST_ON_CPU)

    def _batch_on_cuda(self) -> int:
        idle_bytes = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        self._forward(self._zeros(PROBE))
        picture_bytes = (torch.cuda.max_memory_allocated(self._device) - idle_bytes) / PROBE
        return _power_of_two(torch.cuda.mem_get_info(self._device)[0] / 2 / picture_bytes, MOST_ON_CUDA)


def _power_of_two(most: float, limit: int) -> int:
    """Return the largest power of two that is neither above ``most`` nor above a limit, and at least 1."""
    return 1 << (max(int(min(most, limit)), 1).bit_length() - 1)


def _transformers() -> Any:
    """Return transformers, without output and without use of the network."""
    for key in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_HUB_DISABLE_TELEMETRY"):
        os.environ.setdefault(key, "1")
    try:
        import safetensors.torch  # noqa: F401, PLC0415
        import transformers  # noqa: PLC0415
    except ImportError as error:
        raise ConfigurationError(
            f'transformers models need packages that are not there ({error}); pip install "featflow[vision]"'
        ) from None
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    return transformers


@contextmanager
def _as_configuration_error(what: str) -> Iterator[None]:
    """Turn any error of a library of many models into a ConfigurationError on the model's directory."""
    try:
        yield
    except (FeatflowError, MemoryError):
        raise
    except Exception as error:
        raise ConfigurationError(f"{what}: {first_line(error)}") from error


def _load_network(files: ModelFiles, place: str) -> tuple[Any, bool]:
    """Return a model on the CPU, in float32, and whether its files hold all weights, those of a pooler included."""
    transformers = _transformers()
    from safetensors.torch import load_file  # noqa: PLC0415

    raw = files.read_json(CONFIG, place)
    with _as_configuration_error(f"{place}: transformers {transformers.__version__} cannot load it"):
        tensors = {name: tensor for path in files.weights for name, tensor in load_file(path).items()}
        raw = network_config(raw, len(tensors), f"{place}/{CONFIG}")
        config = transformers.AutoConfig.for_model(raw.pop("model_type", None), **raw)
        config = getattr(config, "vision_config", config)
        model_class = transformers.MODEL_MAPPING.get(type(config), None)
        if isinstance(config, transformers.CLIPVisionConfig) and PROJECTION in tensors:
            model_class, config.projection_dim = transformers.CLIPVisionModelWithProjection, len(tensors[PROJECTION])
        if getattr(model_class, "main_input_name", None) != "pixel_values":
            raise ConfigurationError(f"{place}/{CONFIG}: {config.model_type} is no model of pictures; give one that is")
        if getattr(config, "num_channels", 3) != 3:
            raise ConfigurationError(
                f"{place}/{CONFIG}: num_channels is {config.num_channels}, but pictures have 3: red, green, blue"
            )
        check_weights(model_class, config, tensors, f"{place}/{CONFIG}")
        # Without a name of a directory nothing is looked for, neither on disk nor on a hub.
        arguments = {"dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True}
        network, report = model_class.from_pretrained(None, config=config, state_dict=tensors, **arguments)
    missing = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
    needed = sorted(name for name in missing if "pooler" not in name.split("."))
    if needed:
        raise ConfigurationError(
            f"{place}: its files lack the weights of {', '.join(needed[:3])}{' and more' * (len(needed) > 3)}, or have "
            f"them of other shapes than {CONFIG} says; save the whole model with save_pretrained"
        )
    return network.eval(), not missing


def _probe(network: Any, requested: str, has_pooler: bool, shape: tuple[int, int], place: str) -> tuple[str, int]:
    """Return the pooling that is used and the length of a vector, after encoding one picture twice.

    Vectors that differ come from layers that are random when they should not be, such as dropout.
    """
    pixels = torch.linspace(-1, 1, 3 * shape[0] * shape[1]).reshape(1, 3, *shape)
    patch_size = getattr(network.config, "patch_size", None)
    refused = f"{place}: the model takes no pictures of {shape[0]} x {shape[1]}, as {PREPROCESSOR} says"
    with _as_configuration_error(refused), torch.inference_mode():
        first_output, second_output = network(pixel_values=pixels), network(pixel_values=pixels)
    possible = [name for name in poolings(first_output, patch_size, pixels) if has_pooler or name != "pooler"]
    if not possible or requested not in {"auto", *possible}:
        raise ConfigurationError(f"{place}: it has no pooling {requested}; it has {', '.join(possible) or 'none'}")
    pooling = possible[0] if requested == "auto" else requested
    first, second = (pooled(output, pooling, patch_size, pixels) for output in (first_output, second_output))
    if not torch.allclose(first, second, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise ConfigurationError(f"{place}: the model gives a picture another vector each time; it is no encoder")
    return pooling, first.shape[1]
