"""The columns of single files, and their common types over all files of a dataset."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa

from featflow.dataset.footer import HIVE_NULL, Footer, Range
from featflow.dataset.nested_fields import is_image_struct, leaves
from featflow.errors import SchemaError

__all__ = ["FileColumn", "unify"]

ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}$")
INT64 = range(-(2**63), 2**63)
INT64_DIGITS = 18
"""Any number of so many digits fits int64."""


class FileColumn(NamedTuple):
    """A column over all files."""

    family: str
    """Family of its types, whose members may be mixed over files."""
    type: str
    """Canonical type of its numbers."""
    source_type: str
    """Arrow types in the files, for people."""
    uri: str
    """First file that has it."""
    path: tuple[str, ...]
    """Names from the top of the schema down to its field."""


def unify(footers: Sequence[Footer], excluded: Callable[[tuple[str, ...]], bool]) -> dict[str, FileColumn]:
    """Return every column of all files by name; files without rows count only for columns that no other file has.

    Raises
    ------
    SchemaError
        Files disagree on a type, a name is twice in a file, or a partition folder and its files disagree.
    """
    columns: dict[str, FileColumn] = {}
    for footer in filter(_has_rows, footers):
        for name, column in _file_columns(footer, excluded).items():
            columns[name] = _widen(name, columns.get(name), column)
    for footer in footers:
        if not _has_rows(footer):
            columns |= {name: each for name, each in _file_columns(footer, excluded).items() if name not in columns}
    structs = {".".join(column.path[:depth]) for column in columns.values() for depth in range(1, len(column.path))}
    columns = {name: each for name, each in columns.items() if each.family != "null" or name not in structs}
    return columns | _partition_columns(footers, columns, excluded)


def _has_rows(footer: Footer) -> bool:
    return sum(footer.group_rows) > 0


def _file_columns(footer: Footer, excluded: Callable[[tuple[str, ...]], bool]) -> dict[str, FileColumn]:
    columns: dict[str, FileColumn] = {}
    uri = footer.file.uri
    for name, path, kind in leaves(footer.schema):
        if excluded(path):
            columns[name] = FileColumn("excluded", "", str(kind), uri, path)
            continue
        if name in columns:
            raise SchemaError(f"{uri}: column name '{name}' is duplicated; rename one of them")
        family, canonical = _family_and_type(kind, footer.ranges.get(name))
        source_type = str(kind)
        if name in footer.encrypted:
            family, source_type = "encrypted", "encrypted"
        columns[name] = FileColumn(family, canonical, source_type, uri, path)
    return columns


def _partition_columns(
    footers: Sequence[Footer], columns: dict[str, FileColumn], excluded: Callable[[tuple[str, ...]], bool]
) -> dict[str, FileColumn]:
    """Return the columns that folders name and files do not hold."""
    values_of: dict[str, set[str]] = {}
    for footer in footers:
        for key, value in footer.file.partitions:
            values_of.setdefault(key, set()).add(value)
    found = {}
    for key, values in values_of.items():
        if key in columns:
            if columns[key].family != "excluded":
                _check_partition(key, footers)
            continue
        values.discard(HIVE_NULL)
        if excluded((key,)):
            family, kind = "excluded", ""
        elif values and all(re.fullmatch(rf"-?\d{{1,{INT64_DIGITS}}}", value) for value in values):
            family, kind = "number", "int64"
        else:
            dates = bool(values) and all(ISO_DATE.match(value) for value in values)
            family, kind = "time" if dates else "string", "string"
        found[key] = FileColumn(family, "int64", kind, "", (key,))
    return found


def _check_partition(key: str, footers: Sequence[Footer]) -> None:
    clash = next((footer for footer in footers if key in footer.clashes), None)
    if clash:
        folder = dict(clash.file.partitions)[key]
        raise SchemaError(
            f"{clash.file.uri}: column '{key}' holds other values than its folder, {key}={folder}, says; rename one, "
            "or leave out both with dataset.exclude"
        )


def _family_and_type(kind: pa.DataType, ranges: tuple[Range, ...] | None) -> tuple[str, str]:
    """Return the family of a type and the canonical type of its numbers.

    Parameters
    ----------
    ranges
        First and last value in each row group, where the footer says them.
    """
    if pa.types.is_dictionary(kind):
        return _family_and_type(kind.value_type, None)
    if isinstance(kind, pa.BaseExtensionType):
        is_uuid = kind.extension_name == "arrow.uuid"
        return ("string", "int64") if is_uuid else _family_and_type(kind.storage_type, None)
    if pa.types.is_integer(kind) or _is_int64_decimal(kind, ranges):
        return "number", "uint64" if kind == pa.uint64() else "int64"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number", "float32" if kind in {pa.float16(), pa.float32()} else "float64"
    return next((name for name, tests in FAMILIES.items() if any(test(kind) for test in tests)), "other"), "int64"


def _is_int64_decimal(kind: pa.DataType, ranges: tuple[Range, ...] | None) -> bool:
    """Whether decimals are whole numbers that fit int64: keys, which float64 would merge beyond 2^53."""
    if not pa.types.is_decimal(kind) or kind.scale != 0:
        return False
    bounds = [bound for each in ranges or () for bound in each]
    return kind.precision <= INT64_DIGITS or (bool(bounds) and all(each in INT64 for each in bounds))


FAMILIES: dict[str, tuple[Callable[[pa.DataType], bool], ...]] = {
    "duration": (pa.types.is_duration,),
    "clock": (pa.types.is_time,),
    "time": (pa.types.is_temporal,),
    "string": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    "boolean": (pa.types.is_boolean,),
    "null": (pa.types.is_null,),
    "binary": (
        pa.types.is_binary,
        pa.types.is_large_binary,
        pa.types.is_binary_view,
        pa.types.is_fixed_size_binary,
    ),
    "image": (is_image_struct,),
}


def _widen(name: str, left: FileColumn | None, right: FileColumn) -> FileColumn:
    """Return a type that holds a column's values of earlier files and of one more; raise SchemaError if none does."""
    if left is None or left.family == "null":
        return right
    if right.family == "null" or left.source_type == right.source_type:
        return left if left.type == right.type else left._replace(type="float64")
    if left.family != right.family:
        raise SchemaError(
            f"column '{name}' is {left.source_type} in {left.uri} and {right.source_type} in {right.uri}; "
            "make them agree, or leave the column out with dataset.exclude"
        )
    types = left.source_type.split("|")
    merged = left.source_type if right.source_type in types else f"{left.source_type}|{right.source_type}"
    return left._replace(type=left.type if left.type == right.type else "float64", source_type=merged)
