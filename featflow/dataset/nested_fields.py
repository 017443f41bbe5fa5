"""Columns of a file, those in structs included."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pyarrow as pa

__all__ = ["is_image_struct", "leaves"]


def leaves(
    fields: Iterable[pa.Field], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[str, ...], pa.DataType]]:
    """Yield name, path and type of every column of a file, those of structs dotted.

    Examples
    --------
    >>> schema = pa.schema({"user": pa.struct({"age": pa.int8()}), "user.id": pa.int64()})
    >>> [(name, path) for name, path, _ in leaves(schema)]
    [('user.age', ('user', 'age')), ('user.id', ('user.id',))]
    """
    for field in fields:
        full_path = (*path, field.name)
        if pa.types.is_struct(field.type) and field.type.num_fields and not is_image_struct(field.type):
            yield from leaves(field.type, full_path)
        else:
            yield ".".join(full_path), full_path, field.type


def is_image_struct(kind: pa.DataType) -> bool:
    """Return whether a type is the Hugging Face image convention, a struct that is one value and not two columns."""
    names = {kind.field(index).name for index in range(kind.num_fields)} if pa.types.is_struct(kind) else set()
    return names == {"bytes", "path"}
