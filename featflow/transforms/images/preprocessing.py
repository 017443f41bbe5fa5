"""The preprocessing that a model's preprocessor_config.json asks for; `pixels` carries it out.

In this order: resize, cut out the middle, rescale, subtract the mean and divide by the standard deviation.

`TYPES` lists the supported types of image processor, with the values of keys that a file lacks. Other types give the
same keys another meaning, so they are refused. ConvNext's type has a rule of its own: below a side of 384 pixels the
shorter side becomes ``int(side / crop_pct)`` and the middle is cut out; from 384 on, pictures are squeezed to a square.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from featflow.errors import ConfigurationError, printable

__all__ = ["TYPES", "Preprocessing", "Sides", "read_preprocessing"]

Sides = tuple[int, int]
"""Height and width in pixels."""
RESAMPLING = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Filters by Pillow's numbers: nearest is 0."""
SUPPORTED = {"nearest", "bilinear", "bicubic"}
"""Filters that every device has."""
STEPS = {"do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb", "do_reduce_labels"}
"""Steps that are carried out, or that change no pixel of an RGB picture."""
COMMON = {
    "do_resize": True,
    "do_center_crop": False,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": 0.5,
    "image_std": 0.5,
}
"""Values of keys that a file and its type lack."""
CLIP = {
    "size": {"shortest_edge": 224},
    "resample": 3,
    "do_center_crop": True,
    "crop_size": 224,
    "image_mean": (0.48145466, 0.4578275, 0.40821073),
    "image_std": (0.26862954, 0.26130258, 0.27577711),
}
TYPES: dict[str, dict[str, Any]] = {
    "Beit": {"size": {"height": 224, "width": 224}, "resample": 3, "crop_size": 224},
    "Bit": CLIP,
    "CLIP": CLIP,
    "ConvNext": {"size": {"shortest_edge": 384}, "resample": 3, "crop_pct": 224 / 256},
    "DeiT": {"size": {"height": 256, "width": 256}, "resample": 3, "do_center_crop": True, "crop_size": 224},
    "Siglip": {"size": {"height": 224, "width": 224}, "resample": 3},
    "ViT": {"size": {"height": 224, "width": 224}, "resample": 2},
}
"""Supported types, each with the values of keys that its file lacks, as its documentation says."""
MOST_SIDE = 2048
"""Most pixels of a side of a model's input: activations of a first layer of 64 channels then take 268 MB a picture."""
LARGEST = 1e30
"""Largest factor, mean or deviation: their products are far below the largest float32."""
LONGEST_SHOWN = 80
"""Characters of a value in a message."""
SQUEEZED_FROM = 384
"""Side in pixels from which ConvNext's own processor squeezes pictures in place of cutting them."""


@dataclass(frozen=True)
class Preprocessing:
    """Resizing, cropping and scaling of a picture for a model."""

    size: Sides | None
    """Height and width that a picture is resized to; None where its proportions stay."""
    shortest: int | None
    """Pixels of the shorter side that a picture is resized to; None where it is not."""
    longest: int | None
    """Most pixels of the longer side, which overrules the shorter; None for no bound."""
    crop: Sides | None
    """Height and width of the middle that is cut out; None for all."""
    resample: str
    """Filter of resizing: nearest, bilinear or bicubic."""
    scale: float
    """Factor of levels 0 to 255."""
    mean: tuple[float, ...]
    """Subtracted after scaling, shape (3,)."""
    std: tuple[float, ...]
    """Divisor after subtraction, shape (3,)."""

    @property
    def shape(self) -> Sides:
        """Height and width of a model's input."""
        sides = self.crop or self.size
        if sides is None:
            raise ValueError("pictures keep their own shapes")
        return sides

    @property
    def name(self) -> str:
        """Its name in an encoder's id.

        Examples
        --------
        >>> read_preprocessing({"image_processor_type": "CLIPImageProcessor"}, "models/clip").name
        '224x224-bicubic-crop'
        """
        resizing = self.resample if self.size or self.shortest else "as-is"
        return "x".join(map(str, self.shape)) + f"-{resizing}" + "-crop" * bool(self.crop)

    def resized(self, height: int, width: int) -> Sides:
        """Return the height and width that a picture is resized to."""
        if self.size or not self.shortest:
            return self.size or (height, width)
        short, long = sorted((height, width))
        exact: float = self.shortest
        if self.longest and long / short * exact > self.longest:
            exact = self.longest * short / long
        side, other = max(1, round(exact)), max(1, int(exact * long / short))
        return (side, other) if height <= width else (other, side)


def read_preprocessing(config: dict[str, Any], source: str) -> Preprocessing:
    """Return the preprocessing that the content of a preprocessor_config.json asks for.

    Parameters
    ----------
    source
        Named in messages: the model's directory.

    Raises
    ------
    ConfigurationError
        It asks for a step that is not supported, or for pictures of several shapes.
    """
    where = f"{source}/preprocessor_config.json"
    kind = _processor_type(config, where)
    keys = COMMON | TYPES[kind] | {key: value for key, value in config.items() if value is not None}
    for key, value in keys.items():
        if key.startswith(("do_", "use_")) and key not in STEPS and value:
            raise ConfigurationError(f"{where}: {key} is not supported; set it to false, or prepare images before")
    size, shortest, longest, crop = _geometry(keys, kind, where)
    mean, std = (_channel_values(keys[key], key, where) for key in ("image_mean", "image_std"))
    if not all(std):
        raise ConfigurationError(f"{where}: image_std holds 0")
    if not keys["do_normalize"]:
        mean, std = (0.0,) * 3, (1.0,) * 3
    scale = _positive_number(keys["rescale_factor"], "rescale_factor", where) if keys["do_rescale"] else 1.0
    return Preprocessing(size, shortest, longest, crop, _resampling_name(keys["resample"], where), scale, mean, std)


def _geometry(keys: dict[str, Any], kind: str, where: str) -> tuple[Sides | None, int | None, int | None, Sides | None]:
    """Return the first four fields of a `Preprocessing`."""
    size, shortest, longest, crop = None, None, None, None
    if keys["do_resize"]:
        size, shortest, longest = _resize_target(keys["size"], "shortest_edge" in TYPES[kind]["size"], where)
    if keys["do_center_crop"]:
        crop = _sides(keys.get("crop_size"), "crop_size", where)
    if kind == "ConvNext" and keys["do_resize"]:
        if shortest is None or longest is not None or crop not in {None, (shortest, shortest)}:
            raise ConfigurationError(
                f"{where}: a ConvNext processor takes a shortest_edge, and crops by crop_pct alone"
            )
        square = (shortest, shortest)
        if shortest >= SQUEEZED_FROM:
            return square, None, None, None
        shorter = shortest / _positive_number(keys["crop_pct"], "crop_pct", where)
        return None, _checked_pixels(int(min(shorter, sys.maxsize)), "size / crop_pct", where), None, square
    if not size and not crop:
        raise ConfigurationError(
            f"{where}: pictures would keep their proportions, but a model wants them of one shape; give size a height "
            "and a width, or set do_center_crop"
        )
    return size, shortest, longest, crop


def _processor_type(config: dict[str, Any], where: str) -> str:
    name = str(config.get("image_processor_type") or config.get("feature_extractor_type") or "")
    kind = name.removesuffix("Fast").removesuffix("Pil").removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    if kind not in TYPES:
        known = ", ".join(f"{each}ImageProcessor" for each in TYPES)
        raise ConfigurationError(
            f"{where}: image_processor_type is {printable(name[:LONGEST_SHOWN]) or 'absent'}; what is known are {known}"
        )
    return kind


def _resampling_name(value: Any, where: str) -> str:
    name = RESAMPLING[value] if isinstance(value, int) and 0 <= value < len(RESAMPLING) else str(value)
    if name not in SUPPORTED:
        shown = printable(name[:LONGEST_SHOWN])
        raise ConfigurationError(f"{where}: resample is {shown}; supported are nearest (0), bilinear (2), bicubic (3)")
    return name


def _resize_target(value: Any, by_shortest: bool, where: str) -> tuple[Sides | None, int | None, int | None]:
    """Return exact sides, the shorter side, and the bound of the longer one."""
    if isinstance(value, int) and by_shortest:
        value = {"shortest_edge": value}
    if isinstance(value, dict) and set(value) in ({"shortest_edge"}, {"shortest_edge", "longest_edge"}):
        edges = {key: _checked_pixels(side, "size", where) for key, side in value.items()}
        return None, edges["shortest_edge"], edges.get("longest_edge")
    return _sides(value, "size", where), None, None


def _sides(value: Any, key: str, where: str) -> Sides:
    """Return a height and a width: of one number, of two, or of a dictionary of them."""
    if isinstance(value, dict) and set(value) == {"height", "width"}:
        value = [value["height"], value["width"]]
    sides = value if isinstance(value, list | tuple) else [value, value]
    if len(sides) != 2:
        raise ConfigurationError(f"{where}: {key} is {_shown(value)}; write its height and width")
    return _checked_pixels(sides[0], key, where), _checked_pixels(sides[1], key, where)


def _checked_pixels(value: Any, key: str, where: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_SIDE:
        raise ConfigurationError(
            f"{where}: {key} has {_shown(value)}; write height and width, or shortest_edge, in pixels, at most "
            f"{MOST_SIDE:,}"
        )
    return value


def _positive_number(value: Any, key: str, where: str) -> float:
    if not isinstance(value, int | float) or not 0 < value <= LARGEST:
        raise ConfigurationError(f"{where}: {key} is {_shown(value)}, not a number above 0")
    return float(value)


def _channel_values(value: Any, key: str, where: str) -> tuple[float, ...]:
    values = value if isinstance(value, list | tuple) else [value] * 3
    if len(values) != 3 or not all(isinstance(each, int | float) and abs(each) <= LARGEST for each in values):
        raise ConfigurationError(
            f"{where}: {key} is {_shown(value)}, but pictures have three channels: red, green, blue"
        )
    return tuple(map(float, values))


def _shown(value: Any) -> str:
    """Return a value for a message: what is wrong may be long."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."
