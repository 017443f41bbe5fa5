"""The columns of single files, and their common types over all files of a dataset."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence

import pyarrow as pa

from featflow.dataset.files import DataFile
from featflow.errors import SchemaError

__all__ = ["HIVE_NULL", "FileColumn", "FileSchema", "leaves", "unify"]

ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}$")
BINARY = (
    pa.types.is_binary,
    pa.types.is_large_binary,
    pa.types.is_binary_view,
    pa.types.is_fixed_size_binary,
)
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""Folder that Hive and Spark write for rows whose partition value is null."""

FileSchema = tuple[DataFile, pa.Schema]
FileColumn = tuple[str, str, str, str]
"""Family, canonical type, source type and first file of a column."""


def _family_and_type(kind: pa.DataType) -> tuple[str, str]:
    """Return the family of a type, whose members may be mixed over files, and the canonical type of its numbers."""
    if pa.types.is_dictionary(kind):
        return _family_and_type(kind.value_type)
    if pa.types.is_integer(kind):
        return "number", "uint64" if kind == pa.uint64() else "int64"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number", "float32" if kind in {pa.float16(), pa.float32()} else "float64"
    tests = (
        ("duration", pa.types.is_duration),
        ("clock", pa.types.is_time),
        ("time", pa.types.is_temporal),
        ("string", lambda t: pa.types.is_string(t) or pa.types.is_large_string(t) or pa.types.is_string_view(t)),
        ("boolean", pa.types.is_boolean),
        ("null", pa.types.is_null),
        ("image", lambda t: any(test(t) for test in BINARY) or _is_image(t)),
    )
    return next((name for name, test in tests if test(kind)), "other"), "int64"


def leaves(
    fields: Iterable[pa.Field], path: tuple[str, ...] = ()
) -> Iterator[tuple[str, tuple[str, ...], pa.DataType]]:
    """Yield name, path and type of every column of a file, those of structs dotted."""
    for field in fields:
        full_path = (*path, field.name)
        if pa.types.is_struct(field.type) and field.type.num_fields and not _is_image(field.type):
            yield from leaves(field.type, full_path)
        else:
            yield ".".join(full_path), full_path, field.type


def _is_image(kind: pa.DataType) -> bool:
    """Whether a type is the Hugging Face image convention, a struct that is one value and not two columns."""
    names = {kind.field(index).name for index in range(kind.num_fields)} if pa.types.is_struct(kind) else set()
    return names == {"bytes", "path"}


def unify(schemas: Sequence[FileSchema], excluded: Callable[[str], bool]) -> dict[str, FileColumn]:
    """Return family, canonical type, source type and first file of every column over all files."""
    columns: dict[str, FileColumn] = {}
    for file, schema in schemas:
        names_in_file: set[str] = set()
        for name, _, kind in leaves(schema):
            if excluded(name):
                columns.setdefault(name, ("excluded", "", str(kind), file.uri))
                continue
            if name in names_in_file:
                raise SchemaError(f"{file.uri}: column name '{name}' is duplicated; rename one of them")
            names_in_file.add(name)
            family, canonical = _family_and_type(kind)
            columns[name] = _widen(name, columns.get(name), (family, canonical, str(kind), file.uri))
    partitions: dict[str, set[str]] = {}
    for file, _ in schemas:
        for key, value in file.partitions:
            partitions.setdefault(key, set()).add(value)
    for key, values in partitions.items():
        if key in columns:
            raise SchemaError(
                f"column '{key}' is both in {columns[key][3]} and a partition folder; exclude is no help, rename one"
            )
        values.discard(HIVE_NULL)
        # Any number of 18 digits fits int64.
        if values and all(re.fullmatch(r"-?\d{1,18}", value) for value in values):
            columns[key] = ("number", "int64", "int64", "")
        else:
            dates = bool(values) and all(ISO_DATE.match(value) for value in values)
            columns[key] = ("time" if dates else "string", "int64", "string", "")
    return columns


def _widen(name: str, left: FileColumn | None, right: FileColumn) -> FileColumn:
    """Return a type that holds a column's values of earlier files and of one more; raise SchemaError if none does."""
    if left is None or left[0] == "null":
        return right
    if right[0] == "null" or left[2] == right[2]:
        return left
    if left[0] != right[0]:
        raise SchemaError(
            f"column '{name}' is {left[2]} in {left[3]} and {right[2]} in {right[3]}; "
            "make them agree, or leave the column out with dataset.exclude"
        )
    types = {left[1], right[1]}
    canonical = left[1] if len(types) == 1 else "float64"
    merged = left[2] if right[2] in left[2].split("|") else f"{left[2]}|{right[2]}"
    return (left[0], canonical, merged, left[3])
