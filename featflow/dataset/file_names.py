"""What the name of a file says of its content."""

from __future__ import annotations

__all__ = ["PARQUET_SUFFIXES", "is_parquet_by_name", "is_perhaps_parquet"]

PARQUET_SUFFIXES = (".parquet", ".parq", ".pq")


def is_parquet_by_name(name: str) -> bool:
    """Return whether a file's name ends as those of Parquet files do.

    Examples
    --------
    >>> is_parquet_by_name("part-1.PARQUET"), is_parquet_by_name("part-1.parquet.gz"), is_parquet_by_name("a.csv")
    (True, False, False)
    """
    return name.lower().endswith(PARQUET_SUFFIXES)


def is_perhaps_parquet(name: str) -> bool:
    """Return whether only a look into a file says what it is.

    Hive and Athena write names without a suffix; others add the suffix of a codec to that of Parquet.

    Examples
    --------
    >>> is_perhaps_parquet("000000_0"), is_perhaps_parquet("part-1.parquet.gz"), is_perhaps_parquet("a.csv")
    (True, True, False)
    """
    return "." not in name or any(f"{suffix}." in name.lower() for suffix in PARQUET_SUFFIXES)
