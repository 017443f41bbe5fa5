"""The keys that a configuration may have, found from the options themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel

from featflow.dataset.transform_options import TransformOptions
from featflow.transforms.catalogue import TRANSFORMS

__all__ = ["Path", "sections"]

Path = tuple[str, ...]
"""Keys from the top to a key; an entry of a list has none of its own, one of `dataset.derive` the name of its kind."""


def sections(options: type[BaseModel], path: Path = ()) -> Iterator[tuple[Path, type[BaseModel]]]:
    """Yield where keys stand, and the options that they are: the top, then each section before those inside it.

    Examples
    --------
    >>> from featflow.dataset.options import DatasetOptions
    >>> [".".join(path) for path, _ in sections(DatasetOptions)]
    ['', 'csv', 'images', 'derive.parts']
    """
    yield path, options
    for name, field in options.model_fields.items():
        for inner in _options_in(field.annotation):
            if inner is TransformOptions:
                for kind in TRANSFORMS:
                    yield from sections(kind, (*path, name, kind.kind))
            else:
                yield from sections(inner, (*path, name))


def _options_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the options that a type is, or is made of: a list of them, or them or none."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _options_in(part)
