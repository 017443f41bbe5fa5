"""Encoders of pictures to vectors, and their specs. A new encoder is one file, and its spec here.

A spec names an encoder and all that decides its vectors; `load` makes the encoder of a spec, once in each process. No
encoder contacts a hub, and none unpickles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from PIL.Image import Image

from featflow.transforms.images import descriptors
from featflow.transforms.images.pictures import DECODER
from featflow.transforms.images.vision import VisionSpec

__all__ = ["DescriptorsSpec", "Encoder", "EncoderSpec", "load"]


class Encoder(Protocol):
    """Pictures to vectors."""

    width: int
    """Length of a vector."""
    batch: int
    """Most pictures in a call of `encode`."""
    threaded: bool
    """Whether `encode` itself uses all threads, and is called by one; else by every thread that decodes."""

    def prepare(self, image: Image, thumbnail: np.ndarray) -> Any:
        """Return the encoder's input of a picture, kept until its batch is encoded; threads that decode call this.

        Parameters
        ----------
        image
            Three 8-bit channels, upright.
        thumbnail
            The same with no side above `featflow.transforms.images.pictures.THUMBNAIL`, uint8.
        """
        ...

    def encode(self, prepared: Sequence[Any], sizes: np.ndarray) -> np.ndarray:
        """Return a vector of each picture, shape (pictures, width), float32; the same bits whatever stands beside it.

        Parameters
        ----------
        prepared
            Results of `prepare`; None where an image has no picture, whose vector means nothing.
        sizes
            Width and height in the file, shape (pictures, 2).
        """
        ...


@dataclass(frozen=True)
class DescriptorsSpec:
    """Named features, without weights (`featflow.transforms.images.descriptors`)."""

    version: int = descriptors.VERSION
    """Version of the formulas."""
    decoder: str = DECODER
    """Decoder and its version, which decide pixels."""

    @property
    def id(self) -> str:
        """Its name."""
        return f"descriptors-{self.version};{self.decoder}"

    uses_gpus = False
    """Their sums are of small integers: decoding takes longer."""
    working_bytes = 64 * 2**20
    """Bytes of a batch on every thread: 256 pictures have 17 MiB of windows and thumbnails, and 12.5 MiB of planes."""

    @property
    def width(self) -> int:
        """Number of features."""
        return descriptors.Descriptors.width

    def make(self) -> Encoder:
        """Return the encoder."""
        return descriptors.Descriptors()


EncoderSpec = DescriptorsSpec | VisionSpec


# An image column may have descriptors and a model; a third encoder would keep weights that no longer serve.
@lru_cache(maxsize=2)
def load(spec: EncoderSpec) -> Encoder:
    """Return the encoder of a spec, loaded once a process."""
    return spec.make()
