"""Feast's types and names for a dataset's columns, and how featflow reads columns as those types.

Feast reads Parquet through pandas and an explicit schema: whole numbers, floats, booleans, `string` and times in UTC
go through unchanged; `large_string`, decimals, days, dictionaries and naive times do not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import replace

import pyarrow as pa

from featflow.analyses.embedding.parts import WHOLE_NUMBERS, as_key, key_type
from featflow.columns.column import Column, Kind

__all__ = [
    "DTYPES",
    "TAKEN",
    "TIME",
    "as_key_values",
    "as_values",
    "feature_type",
    "key_dtype",
    "read_as",
    "safe_names",
]

TIME = pa.timestamp("us", "UTC")
DTYPES = {
    pa.int64(): "Int64",
    pa.float32(): "Float32",
    pa.float64(): "Float64",
    pa.bool_(): "Bool",
    pa.string(): "String",
    TIME: "UnixTimestamp",
}
"""Feast's name of every type that is written for it."""
REAL_NUMBERS = ("halffloat", "float", "double", "decimal")
SAFE = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
"""Names that need no change."""
TAKEN = {"event_timestamp"}
"""Names that Feast itself uses: of the time of the rows that features are looked up for."""


def safe_names(columns: Iterable[str], taken: Collection[str] = TAKEN) -> dict[str, str]:
    """Return each column's name in Feast: its own where that consists of letters, digits and ``_.-``.

    Feast splits references at colons and writes names into the statements of its stores.

    Examples
    --------
    >>> safe_names(["image.hue", "a b", "a_b", "1st", "event_timestamp"])
    {'image.hue': 'image.hue', 'a b': 'a_b_2', 'a_b': 'a_b', '1st': '_1st', 'event_timestamp': 'event_timestamp_'}
    """
    columns = list(columns)
    names = {name: name for name in columns if SAFE.fullmatch(name) and name not in taken}
    used = set(names)
    for name in columns:
        if name in names:
            continue
        base = f"{name}_" if name in taken else re.sub(r"[^A-Za-z0-9_.-]+", "_", name)
        base = base if SAFE.fullmatch(base) else f"_{base}"
        number, candidate = 1, base
        while candidate in used or candidate in taken:
            number += 1
            candidate = f"{base}_{number}"
        names[name] = candidate
        used.add(candidate)
    return {name: names[name] for name in columns}


def feature_type(column: Column) -> pa.DataType:
    """Return the type of a feature in Feast: that of the files where Feast has it.

    Examples
    --------
    >>> feature_type(Column("zip", "string", Kind.CATEGORY, source_type="int32"))
    DataType(int64)
    """
    kinds = column.source_type.split("|")
    if column.kind is Kind.TIME and not column.source_type.startswith(("time32", "time64")):
        return TIME
    if column.type != "string":
        return {"uint64": pa.float64()}.get(column.type) or pa.type_for_alias(column.type)
    if kinds == ["bool"]:
        return pa.bool_()
    if all(kind in WHOLE_NUMBERS for kind in kinds) and "uint64" not in kinds:
        return pa.int64()
    return pa.float64() if all(kind.startswith(REAL_NUMBERS) for kind in kinds) else pa.string()


def read_as(column: Column, kind: pa.DataType) -> Column:
    """Return the column with a type and kind as which the reader gives values that cast to a type of Feast."""
    if kind == TIME:
        return replace(column, type="int64", kind=Kind.TIME)
    if kind == pa.string():
        return replace(column, type="string", kind=Kind.CATEGORY)
    if column.type == "uint64" and kind == pa.float64():
        return column
    canonical = "int64" if kind in {pa.int64(), pa.bool_()} else "float32" if kind == pa.float32() else "float64"
    return replace(column, type=canonical, kind=Kind.NUMBER)


def as_values(values: pa.ChunkedArray, kind: pa.DataType) -> pa.ChunkedArray:
    """Return the values of a column of `read_as`, cast to a type of Feast."""
    # Feast has no unsigned type: whole numbers above 2^53 lose digits as float64.
    return values.cast(kind, safe=kind != pa.float64())


def key_dtype(column: Column) -> pa.DataType:
    """Return the type of a join key in Feast: whole numbers or text."""
    kind = key_type(column)
    return pa.int64() if pa.types.is_integer(kind) and kind != pa.uint64() else pa.string()


def as_key_values(values: pa.ChunkedArray, column: Column) -> pa.ChunkedArray:
    """Return a key's values, read as `key_column`, in Feast's type: equal to those of the embedding table."""
    return as_key(values, key_type(column)).cast(key_dtype(column))
