"""The kinds of `dataset.derive`: a new one is its file, and its line here."""

from __future__ import annotations

from featflow.dataset.transform_options import TransformOptions
from featflow.transforms.parts import PartsOptions

__all__ = ["TRANSFORMS"]

TRANSFORMS: tuple[type[TransformOptions], ...] = (PartsOptions,)
"""Options of each kind; an entry is of the kind whose name is one of its keys."""
