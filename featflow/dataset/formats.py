"""Formats of data files, by the suffixes of their names."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Literal

from featflow.dataset.file_names import PARQUET_SUFFIXES, is_parquet_by_name, is_perhaps_parquet

__all__ = [
    "COMPRESSIONS",
    "FRAME",
    "IMAGE",
    "KEY",
    "NAMES",
    "PICTURES",
    "Format",
    "format_of",
    "formats_of",
    "name_of_data",
    "nothing_there",
    "uncompressed",
]

Format = Literal["auto", "parquet", "csv", "json", "arrow"]
"""Values of ``dataset.format``."""
PICTURE_NAMES = (
    "apng avif avifs bmp gif icns ico j2c j2k jfif jp2 jpc jpe jpeg jpf jpg jpx "
    "pbm pfm pgm png pnm ppm tga tif tiff webp"
)
"""Suffixes of the formats that `featflow.transforms.images.formats` opens, which a test compares."""
SUFFIXES = {
    "parquet": PARQUET_SUFFIXES,
    "csv": (".csv", ".tsv", ".tab"),
    "json": (".jsonl", ".ndjson"),
    "arrow": (".arrow", ".arrows", ".feather", ".ipc"),
    "pictures": tuple(f".{name}" for name in PICTURE_NAMES.split()),
}
NAMES = {
    "parquet": "Parquet",
    "csv": "CSV",
    "json": "JSON lines",
    "arrow": "Arrow",
    "pictures": "picture",
    "frame": "frame's",
}
"""Formats, as messages name them."""
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
"""What may follow the suffix of a text, and Arrow's name of it."""
ENDS = "|".join(re.escape(name) for known in SUFFIXES.values() for name in known)
DATA_SUFFIX = re.compile(rf"({ENDS})({'|'.join(map(re.escape, COMPRESSIONS))})?$", re.IGNORECASE)
PICTURES = "pictures:"
"""Prefix of a source that is a folder of pictures."""
IMAGE, KEY = "picture", "path"
"""Columns of such a dataset: of the pictures, and of what names them in tables."""
FRAME = "frame:"
"""Prefix of a source that is a frame of Python, by its digest; `featflow.run` writes it."""


def format_of(path: str) -> str | None:
    """Return the format of data that a file's suffix names; None where it names none.

    Examples
    --------
    >>> format_of("air.CSV.gz"), format_of("a.feather"), format_of("notes.txt"), format_of("cat.jpg")
    ('csv', 'arrow', None, None)
    """
    name = uncompressed(path)
    return next((each for each, known in SUFFIXES.items() if name.endswith(known) and each != "pictures"), None)


def uncompressed(path: str) -> str:
    """Return a path in lower case, less what says that it is compressed.

    Examples
    --------
    >>> uncompressed("my.tables/Air.TSV.gz")
    'my.tables/air.tsv'
    """
    name = path.lower()
    for suffix in COMPRESSIONS:
        name = name.removesuffix(suffix)
    return name


def name_of_data(name: str) -> str:
    """Return a file's name less what says its format and compression.

    Examples
    --------
    >>> name_of_data("air.2025.CSV.gz"), name_of_data("notes.txt")
    ('air.2025', 'notes.txt')
    """
    return DATA_SUFFIX.sub("", name)


def formats_of(paths: Sequence[str], asked: Format | Literal["pictures"], named: str = "") -> dict[str, str]:
    """Return which files of a source are read, and as what.

    ``auto`` takes files by their suffixes where none is named as Parquet, or as Hive does, by a digit at its beginning
    and no suffix; else all are Parquet. A format that is asked for takes the files with its suffixes, or all where none
    has one.

    Parameters
    ----------
    named
        A file that the source itself names.

    Examples
    --------
    >>> formats_of(["a.csv", "b.jsonl", "notes.txt"], "auto")
    {'a.csv': 'csv', 'b.jsonl': 'json'}
    >>> formats_of(["a.csv", "b.parquet"], "auto"), formats_of(["a.data"], "csv")
    ({'b.parquet': 'parquet'}, {'a.data': 'csv'})
    """
    if asked == "pictures":
        return {path: asked for path in paths if path.lower().endswith(SUFFIXES[asked])}
    formats = {path: form for path in paths if (form := format_of(path))}
    if asked not in {"auto", "parquet"}:
        return {path: asked for path in paths if formats.get(path) == asked} or dict.fromkeys(paths, asked)
    is_parquet = "parquet" in formats.values() or any(map(_is_named_by_hive, paths))
    if asked == "auto" and formats and not is_parquet:
        return formats
    return {path: "parquet" for path in paths if path == named or _may_be_parquet(path.rpartition("/")[2])}


def _is_named_by_hive(path: str) -> bool:
    name = path.rpartition("/")[2]
    return "." not in name and name[:1].isdigit()  # as 000000_0 does; SHA256SUMS is no data


def _may_be_parquet(name: str) -> bool:
    return is_parquet_by_name(name) or is_perhaps_parquet(name)


def nothing_there(source: str, asked: Format, others: Collection[str]) -> str:
    """Return what a source does not hold, and what it may be instead.

    Parameters
    ----------
    others
        Files that are there.
    """
    suffixes = {each: ", ".join("*" + suffix for suffix in known) for each, known in SUFFIXES.items()}
    if source.startswith(PICTURES):
        return f"no pictures there ({suffixes['pictures']})"
    if asked != "auto":
        return f"no {NAMES[asked]} files there ({suffixes[asked]})"
    pictures = sum(path.lower().endswith(SUFFIXES["pictures"]) for path in others)
    hint = f"; a folder of pictures is read as {PICTURES}{source}" if pictures else ""
    texts = ", ".join(suffixes[each] for each in ("csv", "json", "arrow"))
    return f"no Parquet files there ({suffixes['parquet']}), nor any of {texts}{hint}"
