"""Values of files as values of canonical types.

int64, uint64, float32 and float64 hold numbers and times (times in microseconds since 1970 UTC);
dictionary<int32, string> holds categories and text. An integer that is a category becomes its decimal string, so
identity survives beyond 2^53.
"""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from featflow.columns.column import Column, Kind
from featflow.errors import SchemaError, first_line

__all__ = ["canonical"]

CATEGORY_TYPE = pa.dictionary(pa.int32(), pa.string())
DAY = 86_400_000_000
INT64_BOUNDS = pa.scalar(-(2**63)), pa.scalar(2**63 - 1)
PER_UNIT = {"s": 10**6, "ms": 1000}
"""Microseconds in a unit of Arrow's times."""
EXACT_FLOAT = 2.0**53
"""Integers below it are float64 exactly."""
EXACT_DIGITS = 15
"""Whole numbers of so many digits are float64 exactly, and so are the powers of ten that their decimals divide by."""
NARROW_DECIMALS = [getattr(pa.types, name) for name in ("is_decimal32", "is_decimal64") if hasattr(pa.types, name)]
"""Types that Arrow has few functions for; pyarrow before 18 has none of them."""
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
    array = _plain(array)
    if column.type == "string":
        return _as_category(array, column.null_values)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not pa.types.is_string(array.type) and not pa.types.is_large_string(array.type):
        return _as_number(array, column)
    try:
        return _as_number(array, column)
    except pa.ArrowInvalid as error:
        raise SchemaError(
            f"{uri}: column '{column.name}' is set to {column.kind} and holds text that is none: {first_line(error)}; "
            "check dataset.kinds, or name such text in dataset.null_values"
        ) from None


def _plain(array: pa.Array) -> pa.Array:
    """Return values of extension types, views and narrow decimals as those of the type that they stand for."""
    if isinstance(array.type, pa.BaseExtensionType):
        array = _uuid_texts(array) if array.type.extension_name == "arrow.uuid" else array.storage
    if pa.types.is_string_view(array.type):
        return array.cast(pa.large_string())
    if any(test(array.type) for test in NARROW_DECIMALS):
        array = array.cast(pa.decimal128(array.type.precision, array.type.scale))
    if pa.types.is_decimal(array.type):
        array.validate(full=True)  # digits beyond its precision are a fault of the file; 2 ns a value
    return array


def _as_category(array: pa.Array, null_values: tuple[str, ...]) -> pa.Array:
    if pa.types.is_binary_view(array.type):
        array = array.cast(pa.large_binary())
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
        is_whole = pc.and_(pc.equal(pc.trunc(values), values), pc.less(pc.abs(values), EXACT_FLOAT))
        whole = pc.if_else(is_whole, values, 0.0).cast(pa.int64()).cast(pa.string())
        values = pc.if_else(is_whole, whole, values.cast(pa.string()))  # as integers are written, at any size
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
    """Return values, none of them missing, as strings that do not depend on the unit or scale of their storage."""
    kind = values.type
    if pa.types.is_duration(kind):
        return _in_microseconds(values).cast(pa.string())
    if pa.types.is_timestamp(kind):
        return _time_texts(values)
    if pa.types.is_time(kind):
        return values.cast(pa.time64("us"), safe=False).cast(pa.string())
    if pa.types.is_decimal(kind):
        return pa.array([_plain_text(format(value, "f")) for value in values.to_pylist()], pa.string())
    if any(test(kind) for test in (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary)):
        return pa.array([_text_of_bytes(value) for value in values.to_pylist()], pa.string())
    return values.cast(pa.string())


def _time_texts(values: pa.Array) -> pa.Array:
    """Return times in microseconds as text, with three more digits where a time has nanoseconds."""
    whole = _in_microseconds(values)
    texts = whole.cast(pa.timestamp("us")).cast(pa.string())
    if values.type.unit != "ns":
        return texts
    rest = pc.subtract(values.cast(pa.int64()), pc.multiply(whole, 1000))
    if not pc.any(pc.not_equal(rest, 0)).as_py():
        return texts
    digits = [f"{nanoseconds:03d}" if nanoseconds else "" for nanoseconds in rest.to_pylist()]
    return pc.binary_join_element_wise(texts, pa.array(digits), "")


def _plain_text(digits: str) -> str:
    """Return a number's digits without the zeros that its scale adds.

    Examples
    --------
    >>> _plain_text("1.50"), _plain_text("0.00"), _plain_text("100")
    ('1.5', '0', '100')
    """
    plain = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return "0" if plain == "-0" else plain


def _text_of_bytes(value: bytes) -> str:
    """Return bytes as text where they are UTF-8, else in hexadecimal digits.

    Examples
    --------
    >>> _text_of_bytes(b"Porto"), _text_of_bytes(bytes([255, 1]))
    ('Porto', 'ff01')
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.hex()


def _uuid_texts(array: pa.Array) -> pa.Array:
    """Return UUIDs as dictionary-encoded text of 36 characters."""
    encoded = array.storage.dictionary_encode()
    texts = pa.array([None if each is None else str(UUID(bytes=each)) for each in encoded.dictionary.to_pylist()])
    return pa.DictionaryArray.from_arrays(encoded.indices, texts.cast(pa.string()))


def _in_microseconds(array: pa.Array) -> pa.Array:
    """Return times, dates or durations as microseconds, int64.

    What lies beyond int64 (the years -290,308 to 294,247) becomes its first or last value: as an integer it would
    wrap around to another time. Nanoseconds are rounded down.
    """
    kind = array.type
    if pa.types.is_date32(kind):
        return _saturated(array.cast(pa.int32()).cast(pa.int64()), DAY)
    unit = "ms" if pa.types.is_date64(kind) else kind.unit
    numbers = array.cast(pa.int64())
    if unit == "ns":
        whole = pc.divide(numbers, 1000)
        return pc.if_else(pc.less(numbers, pc.multiply(whole, 1000)), pc.subtract(whole, 1), whole)
    return numbers if unit == "us" else _saturated(numbers, PER_UNIT[unit])


def _saturated(numbers: pa.Array, factor: int) -> pa.Array:
    """Return int64 numbers times a factor, the nearest int64 where that is none."""
    low, high = -(2**63 // factor), (2**63 - 1) // factor
    bounds = pc.min_max(numbers)
    if not bounds["min"].is_valid or (bounds["min"].as_py() >= low and bounds["max"].as_py() <= high):
        return pc.multiply(numbers, factor)
    too_low, too_high = pc.less(numbers, low), pc.greater(numbers, high)
    product = pc.multiply(pc.if_else(pc.or_(too_low, too_high), 0, numbers), factor)
    return pc.if_else(too_low, INT64_BOUNDS[0], pc.if_else(too_high, INT64_BOUNDS[1], product))


def _as_number(array: pa.Array, column: Column) -> pa.Array:
    if column.null_values:
        array = pc.if_else(pc.is_in(array, value_set=pa.array(column.null_values, array.type)), None, array)
    kind = array.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind) or pa.types.is_duration(kind):
        array = _in_microseconds(array)
    elif pa.types.is_time(kind):
        array = array.cast(pa.time64("us"), safe=False)
    elif column.kind is Kind.TIME and not pa.types.is_integer(kind):
        array = array.cast(pa.timestamp("us"), safe=False)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.int8())
    if pa.types.is_decimal128(kind) and kind.scale > 0 and kind.precision <= EXACT_DIGITS:
        array = _as_floats(array)
    return array.cast(pa.type_for_alias(column.type), safe=False)


def _as_floats(array: pa.Array) -> pa.Array:
    """Return decimals of at most `EXACT_DIGITS` digits as the nearest float64; Arrow's cast is off by a last bit."""
    whole = pa.Array.from_buffers(
        pa.decimal128(array.type.precision, 0), len(array), array.buffers(), offset=array.offset
    )
    return pc.divide(whole.cast(pa.int64()).cast(pa.float64()), 10.0**array.type.scale)
