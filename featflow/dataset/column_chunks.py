"""Statistics of column chunks, from a decoded footer.

They are taken as they are stored: pyarrow gives them as Python's times, which end at the years 1 and 9999, and ends the
process where the metadata of a column is damaged or encrypted. Field numbers are those of parquet.thrift
(https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from featflow.dataset.footer import DAY, HIVE_NULL, NO_TIME, Range
from featflow.dataset.thrift import Struct

__all__ = ["Chunk", "chunks_of", "clashes", "holds_values", "is_encrypted", "range_of"]

ROW_GROUPS, COLUMNS, METADATA, CRYPTO = 4, 1, 3, 8
PATH, VALUES, STATISTICS = 3, 5, 12
OLD_MAX, OLD_MIN, NULLS, MAX, MIN = 1, 2, 3, 5, 6
INTEGERS = {"INT32", "INT64"}
FLOATS: dict[str, Any] = {"FLOAT": "<f4", "DOUBLE": "<f8"}
NO_TEXT = {"Time", "Interval", "UUID", "BSON"}
"""Logical types whose values no folder is named by in one known way."""
NUMPY_UNIT: dict[str, Any] = {"milliseconds": "ms", "microseconds": "us", "nanoseconds": "ns"}
TRUNCATED = 16
"""Bytes from which writers may cut texts in statistics: parquet-mr's page indices at 64, others at 16."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """What is known of a column in one row group."""

    physical: str
    """Physical type, such as INT64."""
    logical: dict[str, Any]
    """Logical type, as Parquet's JSON names it."""
    values: int
    """Values, nulls included."""
    nulls: int | None
    """Nulls, None where unknown."""
    low: bytes | None
    """Least value as it is stored, None where unknown."""
    high: bytes | None
    """Greatest value."""


def chunks_of(footer: Struct, index: int, column: Any) -> list[Chunk]:
    """Return the chunks of a column in all row groups, encrypted ones without figures.

    Parameters
    ----------
    index, column
        Place of the column among the schema's leaves, and the leaf as pyarrow gives it.

    Raises
    ------
    pa.ArrowInvalid
        A row group has another column at that place.
    """
    chunks = []
    logical = json.loads(column.logical_type.to_json())
    for number, group in enumerate(footer.get(ROW_GROUPS, [])):
        try:
            chunk = group[COLUMNS][index]
            metadata = {} if CRYPTO in chunk else chunk[METADATA]
            name = column.path if CRYPTO in chunk else b".".join(metadata[PATH]).decode(errors="replace")
            chunks.append(_chunk(column.physical_type, logical, metadata))
        except (KeyError, IndexError, TypeError, AttributeError):
            name = None
        if name != column.path:
            raise pa.ArrowInvalid(
                f"its footer contradicts itself: column '{column.path}' is another in row group {number}"
            )
    return chunks


def _chunk(physical: str, logical: dict[str, Any], metadata: Struct) -> Chunk:
    statistics = metadata.get(STATISTICS, {})
    low, high = statistics.get(MIN), statistics.get(MAX)
    if physical in INTEGERS and low is None:  # old statistics compare bytes as signed numbers: right for these alone
        low, high = statistics.get(OLD_MIN), statistics.get(OLD_MAX)
    known = isinstance(low, bytes) and isinstance(high, bytes)
    bounds = (low, high) if known else (None, None)
    return Chunk(physical, logical, metadata.get(VALUES, 0), statistics.get(NULLS), *bounds)


def is_encrypted(footer: Struct, index: int) -> bool:
    """Return whether a column cannot be read without a key in any row group."""
    return any(CRYPTO in columns[index] for columns in _columns(footer) if index < len(columns))


def holds_values(footer: Struct, groups: Sequence[int]) -> bool:
    """Return whether a column of any of these row groups has values, nulls included."""
    of_all = _columns(footer)
    return any(column.get(METADATA, {}).get(VALUES) for group in groups for column in of_all[group])


def _columns(footer: Struct) -> list[list[Struct]]:
    return [group.get(COLUMNS, []) for group in footer.get(ROW_GROUPS, [])]


def range_of(chunk: Chunk) -> Range:
    """Return the first and last value of times, in microseconds since 1970 UTC, or of whole decimals, of any size.

    Examples
    --------
    >>> day = (1).to_bytes(4, "little")
    >>> range_of(Chunk("INT32", {"Type": "Date"}, 5, 0, day, day))
    (86400000000, 86400000000)
    """
    if chunk.nulls is not None and chunk.values and chunk.nulls == chunk.values:
        return NO_TIME
    if chunk.low is None or chunk.high is None or chunk.physical == "INT96":
        return None, None
    return _scaled(chunk, _whole(chunk, chunk.low)), _scaled(chunk, _whole(chunk, chunk.high))


def _whole(chunk: Chunk, raw: bytes) -> int:
    return int.from_bytes(raw, "little" if chunk.physical in INTEGERS else "big", signed=True)


def _scaled(chunk: Chunk, number: int) -> int:
    if chunk.logical["Type"] == "Date":
        return number * DAY
    unit = chunk.logical.get("timeUnit") if chunk.logical["Type"] == "Timestamp" else "microseconds"
    return number * 1000 if unit == "milliseconds" else number // 1000 if unit == "nanoseconds" else number


def clashes(chunk: Chunk, folder: str) -> bool:
    """Return whether statistics say that a column holds another value than the name of its partition folder.

    Examples
    --------
    >>> seven = (7).to_bytes(4, "little")
    >>> [clashes(Chunk("INT32", {"Type": "None"}, 5, 0, seven, seven), folder) for folder in ("07", "8")]
    [False, True]
    """
    if folder == HIVE_NULL or chunk.low is None or chunk.high is None:
        return folder == HIVE_NULL and chunk.low is not None
    if chunk.logical["Type"] in NO_TEXT:
        return False
    bounds = (chunk.low, chunk.high)
    if chunk.physical == "BYTE_ARRAY" and max(map(len, bounds)) >= TRUNCATED:
        return False
    return not all(_is_same(folder, _text(chunk, raw)) for raw in bounds)


def _text(chunk: Chunk, raw: bytes) -> str:
    kind = chunk.logical["Type"]
    if chunk.physical in FLOATS:
        (value,) = np.frombuffer(raw, FLOATS[chunk.physical]) if raw else (np.nan,)
        return str(value)
    if kind in {"Date", "Timestamp"}:
        unit = NUMPY_UNIT.get(chunk.logical.get("timeUnit", ""), "D")
        return str(np.datetime64(_whole(chunk, raw), unit)).replace("T", " ")
    if kind == "Decimal":
        return str(_whole(chunk, raw) / 10 ** int(chunk.logical["scale"]))
    if chunk.physical in INTEGERS:
        is_unsigned = kind == "Int" and not chunk.logical["isSigned"]
        return str(int.from_bytes(raw, "little") if is_unsigned else _whole(chunk, raw))
    return str(raw == b"\x01") if chunk.physical == "BOOLEAN" else raw.decode(errors="replace")


def _is_same(folder: str, text: str) -> bool:
    """Whether a folder names a value; a day, or a second, names the times in it."""
    time = folder.replace("T", " ")
    if folder.lower() == text.lower() or text == time or text.startswith((f"{time} ", f"{time}.")):
        return True
    try:
        return float(folder) == float(text)
    except ValueError:
        return False
