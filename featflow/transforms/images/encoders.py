"""What turns pictures into vectors: the list of encoders, and what names one. A third is one new file and a spec here.

A spec says which encoder and all that decides its vectors; loading it gives an encoder, once a process. No encoder
contacts a hub, and none unpickles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np
from PIL.Image import Image

from featflow.dataset.image_options import DESCRIPTORS
from featflow.transforms.images.pictures import DECODER

__all__ = ["VERSION", "DescriptorsSpec", "Encoder", "EncoderSpec", "load"]


VERSION = 3
"""Of the formulas of `featflow.transforms.images.descriptors`."""


class Encoder(Protocol):
    """Pictures to vectors."""

    width: int
    """Length of a vector."""
    batch: int
    """Pictures at once."""
    threaded: bool
    """Whether `encode` itself uses all threads, and is called by one; else by every thread that decodes."""

    def prepare(self, image: Image, thumbnail: np.ndarray) -> Any:
        """Return what is kept of a picture until its batch is encoded; threads that decode call this.

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
            What `prepare` returned; None where an image has no picture, whose vector says nothing.
        sizes
            Width and height in the file, shape (pictures, 2).
        """
        ...


class EncoderSpec(Protocol):
    """Which encoder, and all that decides its vectors. Frozen; what decides none is kept out of its repr."""

    uses_gpus: bool
    """Whether it runs on a GPU where torch sees one."""

    @property
    def id(self) -> str:
        """Its name."""
        ...

    @property
    def width(self) -> int:
        """Length of a vector."""
        ...

    @property
    def working_bytes(self) -> int:
        """Bytes that it takes beside the pictures."""
        ...

    def make(self) -> Encoder:
        """Return the encoder, loaded."""
        ...

    def __hash__(self) -> int: ...


@dataclass(frozen=True)
class DescriptorsSpec:
    """Named features, without weights (`featflow.transforms.images.descriptors`)."""

    version: int = VERSION
    """Of the formulas."""
    decoder: str = DECODER
    """Decides pixels."""

    @property
    def id(self) -> str:
        """Its name."""
        return f"descriptors-{self.version};{self.decoder}"

    uses_gpus = False
    """Their sums are of small integers: decoding takes longer."""
    working_bytes = 64 * 2**20
    """Bytes of a batch on every thread."""

    @property
    def width(self) -> int:
        """Number of features."""
        return len(DESCRIPTORS)

    def make(self) -> Encoder:
        """Return the encoder."""
        from featflow.transforms.images.descriptors import Descriptors  # noqa: PLC0415  torch, for those who have images

        return Descriptors()


@lru_cache(maxsize=2)
def load(spec: EncoderSpec) -> Encoder:
    """Return the encoder of a spec, loaded once a process."""
    return spec.make()
