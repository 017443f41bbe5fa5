"""The base of all entries of ``dataset.derive``, which derive columns from other columns.

Each kind of entry has a file in `featflow.transforms` and a line in the catalogue there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from featflow.columns.column import Column, Transform
from featflow.dataset.image_options import ImageOptions
from featflow.option_types import Options

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Derivation", "Fitting", "TransformOptions"]


class Fitting(Protocol):
    """What building a transform may use of a run: states of the data, and arrays that earlier runs have frozen."""

    def states(self, specs: Sequence[Any]) -> list[Any]:
        """Return the states of specs, merged over all shards."""
        ...

    def frozen(self, name: str, of: str) -> Mapping[str, np.ndarray] | None:
        """Return arrays frozen under a name for the same purpose; None where they are to be fitted, or fitted again.

        Parameters
        ----------
        of
            All that the arrays depend on beside the data, such as an encoder.
        """
        ...

    def earlier(self, name: str) -> Mapping[str, np.ndarray] | None:
        """Return arrays frozen under a name by the run before, whatever they were fitted for."""
        ...

    def freeze(self, name: str, of: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Store fitted arrays for the runs that follow."""
        ...


class TransformOptions(Options, ABC):
    """One entry of ``dataset.derive``; its kind is the key under which it names its inputs."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns that it reads."""

    @abstractmethod
    def columns(self, inputs: tuple[Column, ...]) -> tuple[Column, ...]:
        """Return names and kinds of the derived columns, from options alone, so that other options may name them.

        Raises
        ------
        SchemaError
            They cannot be derived from these inputs.
        """

    @abstractmethod
    def build(self, inputs: tuple[Column, ...], fitting: Fitting) -> Transform:
        """Return the transform that computes the columns; freeze what it fits to data."""


@dataclass(frozen=True)
class Derivation:
    """Columns to be derived from others, before their transform is built."""

    options: TransformOptions | ImageOptions
    """The entry of the configuration."""
    inputs: tuple[Column, ...]
    """Columns that they are derived from."""
    outputs: tuple[Column, ...]
    """The derived columns, with roles and kinds as configured."""
