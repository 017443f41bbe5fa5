"""What a dataset takes from the footer of a Parquet file."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa

from featflow.dataset.files import DataFile

__all__ = ["DAY", "HIVE_NULL", "NO_TIME", "Footer", "FooterFault", "Range", "microseconds"]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY, DATE_LENGTH = 86_400_000_000, len("2026-01-31")
HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
"""Folder that Hive and Spark write for rows whose partition value is null."""
Range = tuple[int | None, int | None]
"""First and last value in a row group; None where the footer does not say."""
NO_TIME = (1, 0)
"""Range of a row group without a single value: it ends before it begins."""


def microseconds(time: date | datetime) -> int:
    """Return microseconds since 1970 UTC; a time without a zone is taken as UTC.

    Examples
    --------
    >>> microseconds(date(1970, 1, 2)), microseconds(datetime(1970, 1, 1, 0, 0, 1))
    (86400000000, 1000000)
    """
    at = time if isinstance(time, datetime) else datetime.combine(time, datetime.min.time())
    return (at.replace(tzinfo=at.tzinfo or UTC) - EPOCH) // timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Footer:
    """Schema, row groups and ranges of values of a file, from its footer."""

    file: DataFile
    """The file."""
    schema: pa.Schema
    """Its columns."""
    group_rows: tuple[int, ...]
    """Rows of each row group."""
    group_bytes: tuple[int, ...]
    """Decoded bytes of each row group."""
    ranges: dict[str, tuple[Range, ...]] = field(default_factory=dict)
    """First and last value in each row group, of columns of times (microseconds since 1970 UTC) and whole decimals."""
    encrypted: tuple[str, ...] = ()
    """Columns that cannot be read without a key."""
    clashes: tuple[str, ...] = ()
    """Partition keys of which the file's own column of that name holds other values than the folder says."""
    elsewhere: tuple[str, ...] = ()
    """Columns of images, structs of bytes and path, that hold paths alone."""
    partly_elsewhere: tuple[str, ...] = ()
    """Such columns in which some rows have no bytes, and may have a path."""

    def times(self, column: str) -> tuple[Range, ...]:
        """Return the first and last time in each row group, by statistics or a partition by day; None where unknown."""
        unknown = ((None, None),) * len(self.group_rows)
        day = dict(self.file.partitions).get(column)
        if day is None:
            return self.ranges.get(column, unknown)
        try:
            start = microseconds(datetime.fromisoformat(day))
        except ValueError:
            return unknown
        return ((start, start + (DAY - 1 if len(day) <= DATE_LENGTH else 0)),) * len(self.group_rows)


@dataclass(frozen=True, slots=True)
class FooterFault:
    """A footer that cannot be read because the file's bytes are at fault, not storage."""

    file: DataFile
    """The file."""
    detail: str
    """What the reader said."""
    is_foreign: bool = False
    """Whether the file does not begin as Parquet files do."""
