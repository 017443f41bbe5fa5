"""Pictures to vectors by a vision model that was saved with save_pretrained. The only importer of transformers.

Of a model of pictures and text only the vision tower is used. What of its output is the vector says `pooling`; auto is
the pooler where the model has one and its weights are there, else the first token, else the mean over patches.

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
from featflow.transforms.images.pictures import DECODER, reduced
from featflow.transforms.images.pixels import prepare
from featflow.transforms.images.pooling import pooled, poolings
from featflow.transforms.images.preprocessing import Preprocessing, read_preprocessing
from featflow.transforms.images.weights import CONFIG, PREPROCESSOR, ModelFiles, locate, open_model

__all__ = ["VisionEncoder", "VisionSpec", "vision_spec"]

MOST_ON_CPU, MOST_ON_CUDA = 32, 512
"""Pictures at once."""
ACTIVATIONS = 2**30
"""Bytes that the activations of a batch may take."""
LARGEST_OUTPUT = 2**25
"""Bytes of the largest output of a layer on a CPU: glibc maps what is larger anew each time, a fifth slower."""
PROJECTION = "visual_projection.weight"
"""Tensor of CLIP that only a model with a projection has."""
PROBE = 8
"""Pictures of which the memory of a GPU is measured."""


@dataclass(frozen=True)
class VisionSpec:
    """A vision model and all that decides its vectors; what does not is kept out of its repr, which names states."""

    model: str
    """Its type, such as vit."""
    sha256: str
    """Digest of its files."""
    width: int
    """Length of a vector."""
    pooling: str
    """Which of its outputs is the vector: pooler, cls or mean."""
    preprocessing: Preprocessing
    """What is done to a picture before."""
    longest: int
    """Longer side in pixels beyond which pictures are averaged before that."""
    bfloat16: bool
    """Whether it runs under bfloat16 autocast."""
    decoder: str = DECODER
    """Decides pixels."""
    working_bytes: int = field(default=0, repr=False, compare=False)
    """Bytes of its weights and activations."""
    source: str = field(default="", repr=False, compare=False)
    """Directory or URI."""
    options: dict[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Of its filesystem."""

    uses_gpus = True
    """Where torch sees one."""

    @property
    def id(self) -> str:
        """Its name."""
        # Another torch or transformers sums in another order. That moves last bits, as another number of threads does,
        # and is no reason to encode all images again: it is told here and not in the repr.
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
        return VisionEncoder(self, _load(files, self.source)[0], device)


def vision_spec(source: str, image_options: ImageOptions, storage_options: dict[str, Any]) -> VisionSpec:
    """Return the spec of a model, which is loaded once and tried on one picture, on the CPU.

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
    network, has_pooler = _load(files, place)
    pooling, width = _try(network, image_options.pooling, has_pooler, preprocessing.shape, place)
    model, longest = network.config.model_type, max(4 * max(preprocessing.shape), 1024)
    decides = model, files.sha256, width, pooling, preprocessing, longest, image_options.bfloat16
    nbytes = sum(path.stat().st_size for path in files.weights) + ACTIVATIONS
    return VisionSpec(*decides, working_bytes=nbytes, source=place, options=storage_options)


class VisionEncoder:
    """The encoder of a `VisionSpec`.

    Its batch is a power of two. On a CPU it is at most 32, and such that the largest
    output of a layer takes at most 32 MiB. On a GPU it is
    at most 512, and such that a batch takes half of the memory that is free when it is loaded, as measured on 8
    pictures. Where memory is short nonetheless it is halved, for good; the last bits of vectors may then differ.
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
        found = np.zeros((len(prepared), self.width), np.float32)
        start = 0
        while start < len(prepared):
            some = prepared[start : start + self.batch]
            vectors = self._vectors(some)
            if vectors is None:
                self.batch //= 2
                torch.cuda.empty_cache()
                continue
            found[start : start + len(some)] = vectors
            start += len(some)
        return found

    def _vectors(self, pictures: Sequence[np.ndarray | None]) -> np.ndarray | None:
        """Return the vectors of a batch, or None if the GPU has no memory for it."""
        there = [index for index, picture in enumerate(pictures) if picture is not None]
        found = np.zeros((len(pictures), self.width), np.float32)
        if there:
            slots = 1 << (len(pictures) - 1).bit_length()
            try:
                vectors = self._forward(prepare(pictures, self._spec.preprocessing, slots, self._device))
            except torch.OutOfMemoryError as error:
                if self.batch == 1:
                    raise InfrastructureError(f"{self._spec.source}: the GPU has no memory for one picture") from error
                return None
            found[there] = vectors.cpu().numpy()[there]
        return found

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
        before = torch.cuda.memory_allocated(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        self._forward(self._zeros(PROBE))
        one = (torch.cuda.max_memory_allocated(self._device) - before) / PROBE
        return _power_of_two(torch.cuda.mem_get_info(self._device)[0] / 2 / one, MOST_ON_CUDA)


def _power_of_two(most: float, limit: int) -> int:
    """Return the largest power of two that is neither above ``most`` nor above a limit, and at least 1."""
    return 1 << (max(int(min(most, limit)), 1).bit_length() - 1)


def _transformers() -> Any:
    """Return the module, silent and told to stay off the network."""
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
def _refused(what: str) -> Iterator[None]:
    """Report whatever a library of many models raises as the fault of a model's directory."""
    try:
        yield
    except (FeatflowError, MemoryError):
        raise
    except Exception as error:
        raise ConfigurationError(f"{what}: {first_line(error)}") from error


def _load(files: ModelFiles, place: str) -> tuple[Any, bool]:
    """Return a model on the CPU, in float32, and whether the weights of its pooler, if it has any, were there."""
    transformers = _transformers()
    from safetensors.torch import load_file  # noqa: PLC0415

    raw = _without_kernels(files.read_json(CONFIG, place))
    with _refused(f"{place}: transformers {transformers.__version__} cannot load it"):
        config = transformers.AutoConfig.for_model(raw.pop("model_type", None), **raw)
        config = getattr(config, "vision_config", config)
        tensors = {name: tensor for path in files.weights for name, tensor in load_file(path).items()}
        kind = transformers.MODEL_MAPPING.get(type(config), None)
        if isinstance(config, transformers.CLIPVisionConfig) and PROJECTION in tensors:
            kind, config.projection_dim = transformers.CLIPVisionModelWithProjection, len(tensors[PROJECTION])
        if getattr(kind, "main_input_name", None) != "pixel_values":
            raise ConfigurationError(f"{place}/{CONFIG}: {config.model_type} is no model of pictures; give one that is")
        if getattr(config, "num_channels", 3) != 3:
            raise ConfigurationError(
                f"{place}/{CONFIG}: num_channels is {config.num_channels}, but pictures have 3: red, green, blue"
            )
        # Without a name of a directory nothing is looked for, neither on disk nor on a hub.
        how = {"dtype": torch.float32, "output_loading_info": True, "ignore_mismatched_sizes": True}
        network, report = kind.from_pretrained(None, config=config, state_dict=tensors, **how)
    missing = {*report["missing_keys"], *(name for name, *_ in report["mismatched_keys"])}
    others = sorted(name for name in missing if "pooler" not in name.split("."))
    if others:
        raise ConfigurationError(
            f"{place}: its files lack the weights of {', '.join(others[:3])}{' and more' * (len(others) > 3)}, or have "
            f"them of other shapes than {CONFIG} says; save the whole model with save_pretrained"
        )
    return network.eval(), not missing


def _without_kernels(config: Any) -> Any:
    """Return a configuration without the names of attention kernels, which may be those of a hub."""
    if not isinstance(config, dict):
        return config
    return {key: _without_kernels(value) for key, value in config.items() if not key.endswith("attn_implementation")}


def _try(network: Any, wanted: str, has_pooler: bool, shape: tuple[int, int], place: str) -> tuple[str, int]:
    """Return the pooling that is used and the length of a vector."""
    pixels = torch.linspace(-1, 1, 3 * shape[0] * shape[1]).reshape(1, 3, *shape)
    patch_size = getattr(network.config, "patch_size", None)
    sides = f"{shape[0]} x {shape[1]}"
    with _refused(f"{place}: the model takes no pictures of {sides}, as {PREPROCESSOR} says"), torch.inference_mode():
        output, again = network(pixel_values=pixels), network(pixel_values=pixels)
    possible = [name for name in poolings(output, patch_size, pixels) if has_pooler or name != "pooler"]
    if not possible or wanted not in {"auto", *possible}:
        raise ConfigurationError(f"{place}: the model has no pooling {wanted}; it has {', '.join(possible) or 'none'}")
    pooling = possible[0] if wanted == "auto" else wanted
    first, second = (pooled(each, pooling, patch_size, pixels) for each in (output, again))
    if not torch.allclose(first, second, rtol=1e-3, atol=1e-3, equal_nan=True):
        raise ConfigurationError(f"{place}: the model gives a picture another vector each time; it is no encoder")
    return pooling, first.shape[1]
