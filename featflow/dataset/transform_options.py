"""What an entry of ``dataset.derive`` is: the options of columns that are made of other columns.

Each kind has its file in `featflow.transforms`, and its line in the catalogue there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from featflow.columns.column import Column
from featflow.columns.transform import Transform
from featflow.dataset.image_options import ImageOptions
from featflow.option_types import Options

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Derivation", "Fitting", "TransformOptions"]


class Fitting(Protocol):
    """What a transform may use of a run while it is built: states of the data, and what earlier runs have frozen."""

    def states(self, specs: Sequence[Any]) -> list[Any]:
        """Return the whole states of specs over all shards."""
        ...

    def frozen(self, name: str, of: str) -> Mapping[str, np.ndarray] | None:
        """Return what was frozen under a name for the same purpose; None where it is to be fitted (anew).

        Parameters
        ----------
        of
            All that decides whether it serves, such as an encoder.
        """
        ...

    def earlier(self, name: str) -> Mapping[str, np.ndarray] | None:
        """Return what was frozen under a name, whether or not it serves."""
        ...

    def freeze(self, name: str, of: str, arrays: Mapping[str, np.ndarray]) -> None:
        """Keep what was fitted for the runs that follow."""
        ...


class TransformOptions(Options, ABC):
    """One entry of ``dataset.derive``; its kind is the key that names what it is made of."""

    kind: ClassVar[str]

    @property
    @abstractmethod
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns that it is made of."""

    @abstractmethod
    def columns(self, inputs: tuple[Column, ...]) -> tuple[Column, ...]:
        """Return what they are called and hold, from options alone, so that other options may name them.

        Raises
        ------
        SchemaError
            They cannot be made of these columns.
        """

    @abstractmethod
    def build(self, inputs: tuple[Column, ...], fitting: Fitting) -> Transform:
        """Return what makes the columns; what it fits to data it freezes."""


@dataclass(frozen=True)
class Derivation:
    """Columns that are to be made of others, before it is known how."""

    options: TransformOptions | ImageOptions
    """What asks for them."""
    inputs: tuple[Column, ...]
    """What they are made of."""
    outputs: tuple[Column, ...]
    """What was asked for, with roles and kinds as configured."""
