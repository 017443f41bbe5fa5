"""What is done to a model's vectors before they are kept: leading dimensions, length, rounding."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Postprocessing"]


@dataclass(frozen=True, slots=True)
class Postprocessing:
    """What is done to vectors, in the order of its fields.

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
        """What an encoder's id says of it; nothing where nothing is done."""
        said = (f"prefix={self.prefix}" if self.prefix else "", "normalized" * self.normalize)
        return "".join(f";{each}" for each in (*said, "" if self.dtype == "float32" else self.dtype) if each)

    def width(self, whole: int) -> int:
        """Return the dimensions that are kept."""
        return min(self.prefix or whole, whole)

    def apply(self, vectors: np.ndarray) -> np.ndarray:
        """Return vectors as they are kept, shape (rows, kept dimensions), float32."""
        kept = vectors[:, : self.prefix]
        if self.normalize:
            with np.errstate(invalid="ignore", over="ignore"):
                lengths = np.sqrt((kept.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
                kept = kept / np.where(lengths > 0, lengths, 1.0)
        if self.dtype == "float16":
            with np.errstate(over="ignore"):
                kept = kept.astype(np.float16)
        return np.ascontiguousarray(kept, np.float32)
