"""Columns of a file, those in structs included."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

__all__ = ["is_image_struct", "is_text", "leaves"]

BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_binary_view, pa.types.is_fixed_size_binary)
TEXT = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)


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
    """Return whether a type is the Hugging Face image convention, a struct that is one value and not two columns.

    Examples
    --------
    >>> is_image_struct(pa.struct({"path": pa.string(), "bytes": pa.binary()}))
    True
    >>> is_image_struct(pa.struct({"path": pa.string(), "bytes": pa.int64()}))
    False
    """
    types = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    return set(types) == {"bytes", "path"} and _is_any(types["bytes"], BYTES) and _is_any(types["path"], TEXT)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a type is of texts, or of dictionaries of them."""
    return _is_any(kind, TEXT)


def _is_any(kind: pa.DataType, tests: Iterable[Callable[[pa.DataType], bool]]) -> bool:
    """Return whether a type, or that of a dictionary's values, passes one of the tests; nothing at all passes, too."""
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.types.is_null(values) or any(test(values) for test in tests)
