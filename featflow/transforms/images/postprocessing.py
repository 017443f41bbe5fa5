"""Changes to a model's vectors before they are stored: leading dimensions, length, rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Postprocessing"]


@dataclass(frozen=True, slots=True)
class Postprocessing:
    """Changes to vectors, in the order of the fields.

    Examples
    --------
    >>> postprocessing = Postprocessing(prefix=2, normalize=True)
    >>> postprocessing.apply(np.array([[3.0, 4.0, 9.0]], np.float32)).tolist(), postprocessing.name
    ([[0.6000000238418579, 0.800000011920929]], ';prefix=2;normalized')
    """

    prefix: int | None = None
    """Leading dimensions that are kept, as models trained for it allow (Kusupati et al. 2022, NeurIPS)."""
    normalize: bool = False
    """Whether vectors are scaled to length 1; one of length 0 stays as it is."""
    dtype: str = "float32"
    """Rounded to float16 and kept as float32, of which files then compress to about half; or not rounded."""

    @property
    def name(self) -> str:
        """Its part of an encoder's id; empty where vectors stay as they are."""
        parts = (f"prefix={self.prefix}" if self.prefix else "", "normalized" * self.normalize)
        return "".join(f";{part}" for part in (*parts, "" if self.dtype == "float32" else self.dtype) if part)

    def width(self, dimensions: int) -> int:
        """Return how many of a vector's dimensions are kept."""
        return min(self.prefix or dimensions, dimensions)

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors as they are stored, shape (rows, kept dimensions), float32."""
        result = vectors[:, : self.prefix]
        if self.normalize:
            with np.errstate(invalid="ignore", over="ignore"):
                # In float64, as squares of large float32 overflow.
                lengths = np.sqrt((result.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
                result = result / np.where(lengths > 0, lengths, 1.0)
        if self.dtype == "float16":
            with np.errstate(over="ignore"):
                result = result.astype(np.float16)
        return np.ascontiguousarray(result, np.float32)
