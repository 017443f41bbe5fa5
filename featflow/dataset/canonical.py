"""Values of files as values of canonical types.

int64, uint64, float32 and float64 hold numbers and times (times in microseconds since 1970 UTC);
dictionary<int32, string> holds categories and text. An integer that is a category becomes its decimal string, so
identity survives beyond 2^53.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns.column import Column, Kind
from featflow.errors import SchemaError, first_line

__all__ = ["canonical"]

CATEGORY_TYPE = pa.dictionary(pa.int32(), pa.string())
OTHER_TYPES = {"binary", "image", "vector"}
"""Types of columns that hold neither numbers nor words."""


def canonical(array: pa.Array, column: Column, uri: str = "made of other columns") -> pa.Array:
    """Return values cast to a column's canonical type; images, vectors and binary values stay as they are.

    Raises
    ------
    SchemaError
        A column of numbers or times holds text that is none.
    """
    if column.type in OTHER_TYPES:
        return array
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), CATEGORY_TYPE if column.type == "string" else pa.type_for_alias(column.type))
    if column.type == "string":
        return _as_category(array, column.null_values)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    if not pa.types.is_string(array.type) and not pa.types.is_large_string(array.type):
        return _as_number(array, column)
    try:
        return _as_number(array, column)
    except pa.ArrowInvalid as error:
        raise SchemaError(
            f"{uri}: column '{column.name}' is set to {column.kind} and holds text that is none: {first_line(error)}; "
            "check dataset.kinds, or name such text in dataset.null_values"
        ) from None


def _as_category(array: pa.Array, null_values: tuple[str, ...]) -> pa.Array:
    if pa.types.is_string_view(array.type):
        array = array.cast(pa.large_string())
    encoded = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    if len(encoded.dictionary) > len(encoded):  # a row group's dictionary comes with every batch of it
        encoded = _without_unused_values(encoded)
    if encoded.dictionary.null_count:  # from here on, the indices alone mark missing values
        encoded = encoded.dictionary_decode().dictionary_encode()
    values = encoded.dictionary
    indices = encoded.indices.cast(pa.int32())
    missing = pa.array(null_values, pa.string())
    if pa.types.is_floating(values.type):
        missing = pa.array(["nan"])
        values = pc.add(values.cast(pa.float64()), 0.0)  # -0.0 is 0.0
    values = _canonical_texts(values)
    values.validate(full=True)  # bytes that are no UTF-8 are a fault of the file
    if len(missing):
        is_missing = pc.is_in(values, value_set=missing).take(indices)
        indices = pc.if_else(pc.fill_null(is_missing, fill_value=False), None, indices)
    return pa.DictionaryArray.from_arrays(indices, values)


def _without_unused_values(encoded: pa.DictionaryArray) -> pa.DictionaryArray:
    """Return a dictionary array without the values that no row has."""
    indices = encoded.indices
    rows = indices.drop_null().to_numpy()
    used = np.zeros(len(encoded.dictionary), bool)
    used[rows] = True
    new_indices = pa.array(np.cumsum(used, dtype=np.int32) - 1)
    return pa.DictionaryArray.from_arrays(
        new_indices.take(indices), encoded.dictionary.take(pa.array(np.flatnonzero(used)))
    )


def _canonical_texts(values: pa.Array) -> pa.Array:
    """Return values as strings that do not depend on the unit or scale in which a file stores them."""
    if pa.types.is_duration(values.type):
        return values.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.string())
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us", values.type.tz), safe=False).cast(pa.int64()).cast(pa.timestamp("us"))
    elif pa.types.is_time(values.type):
        values = values.cast(pa.time64("us"), safe=False)
    texts = values.cast(pa.string())
    if pa.types.is_decimal(values.type):
        trimmed = pc.utf8_rtrim(pc.utf8_rtrim(texts, "0"), ".")
        texts = pc.if_else(pc.match_substring(texts, "."), trimmed, texts)
    return texts


def _as_number(array: pa.Array, column: Column) -> pa.Array:
    if column.null_values:
        array = pc.if_else(pc.is_in(array, value_set=pa.array(column.null_values, array.type)), None, array)
    microseconds = pa.timestamp("us")
    if pa.types.is_timestamp(array.type):
        array = array.cast(pa.timestamp("us", array.type.tz), safe=False)
    elif pa.types.is_date(array.type) or (column.kind is Kind.TIME and not pa.types.is_integer(array.type)):
        array = array.cast(pa.time64("us") if pa.types.is_time(array.type) else microseconds, safe=False)
    elif pa.types.is_duration(array.type):
        array = array.cast(pa.duration("us"), safe=False)
    elif pa.types.is_time(array.type):
        array = array.cast(pa.time64("us"), safe=False)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    return array.cast(pa.type_for_alias(column.type), safe=False)
