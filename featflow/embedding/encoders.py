"""What turns pictures into vectors: the list of encoders, and what names one. A third is one new file and a spec here.

A spec says which encoder and all that decides its vectors; loading it gives an encoder, once a process. No encoder
contacts a hub, and none unpickles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np

from featflow.embedding import descriptors
from featflow.embedding.pictures import DECODER

__all__ = ["DescriptorsSpec", "Encoder", "load"]


class Encoder(Protocol):
    """Pictures to vectors."""

    width: int
    """Length of a vector."""
    longest: int
    """Longer side to which decoding threads may reduce a picture, by averaging whole pixels; 0 for none."""
    batch: int
    """Pictures at once."""

    def encode(self, pictures: Sequence[np.ndarray | None], sizes: np.ndarray) -> np.ndarray:
        """Return a vector of each picture, shape (pictures, width), float32; the same bits whatever stands beside it.

        Parameters
        ----------
        pictures
            Each of shape (height, width, 3), uint8; None where an image has none, whose vector says nothing.
        sizes
            Width and height in the file, shape (pictures, 2).
        """
        ...


@dataclass(frozen=True)
class DescriptorsSpec:
    """Named features, without weights (`featflow.embedding.descriptors`)."""

    decoder: str = DECODER
    """Decides pixels."""

    @property
    def id(self) -> str:
        """Its name."""
        return f"descriptors-{descriptors.VERSION};longest={descriptors.LONGEST};{self.decoder}"

    @property
    def width(self) -> int:
        """Number of features."""
        return len(descriptors.NAMES)

    def make(self) -> Encoder:
        """Return the encoder."""
        return descriptors.Descriptors()


@lru_cache(maxsize=2)
def load(spec: DescriptorsSpec) -> Encoder:
    """Return the encoder of a spec, loaded once a process."""
    return spec.make()
