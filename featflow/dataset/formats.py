"""Formats of data files, by the suffixes of their names."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal

__all__ = [
    "COMPRESSIONS",
    "FRAME",
    "IMAGE",
    "KEY",
    "NAMES",
    "PICTURES",
    "Format",
    "format_of",
    "nothing_there",
    "other_formats",
    "pictures",
]

Format = Literal["auto", "parquet", "csv", "json", "arrow"]
"""Values of ``dataset.format``."""
SUFFIXES: dict[Format, tuple[str, ...]] = {
    "parquet": (".parquet", ".parq", ".pq"),
    "csv": (".csv", ".tsv", ".tab"),
    "json": (".jsonl", ".ndjson"),
    "arrow": (".arrow", ".arrows", ".feather", ".ipc"),
}
NAMES = {"parquet": "Parquet", "csv": "CSV", "json": "JSON lines", "arrow": "Arrow"}
"""Formats, as messages name them."""
COMPRESSIONS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}
"""What may follow the suffix of a text, and Arrow's name of it."""
PICTURE_SUFFIXES = (".avif", ".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")
PICTURES = "pictures:"
"""Prefix of a source that is a folder of pictures."""
IMAGE, KEY = "picture", "path"
"""Columns of such a dataset: of the pictures, and of what names them in tables."""
FRAME = "frame:"
"""Prefix of a source that is a frame of Python, by its digest; `featflow.run` writes it."""


def format_of(path: str) -> Format | None:
    """Return the format that a file's suffix names; None where it names none.

    Examples
    --------
    >>> format_of("air.CSV.gz"), format_of("a.feather"), format_of("notes.txt")
    ('csv', 'arrow', None)
    """
    name = path.lower()
    for suffix in COMPRESSIONS:
        name = name.removesuffix(suffix)
    return next((each for each, suffixes in SUFFIXES.items() if name.endswith(suffixes)), None)


def other_formats(paths: Collection[str], asked: Format) -> dict[str, Format]:
    """Return which files of a source are to be read in a format other than Parquet; none where it is Parquet.

    ``auto`` takes other formats where no file has a suffix of Parquet. A named format takes the files with its
    suffixes, or all files where none has one.

    Examples
    --------
    >>> other_formats(["a.csv", "b.jsonl", "notes.txt"], "auto")
    {'a.csv': 'csv', 'b.jsonl': 'json'}
    >>> other_formats(["a.csv", "b.parquet"], "auto"), other_formats(["a.data"], "csv")
    ({}, {'a.data': 'csv'})
    """
    named = {path: form for path in paths if (form := format_of(path))}
    if asked == "parquet" or (asked == "auto" and "parquet" in named.values()):
        return {}
    if asked == "auto":
        return named
    return {path: asked for path in paths if named.get(path) == asked} or dict.fromkeys(paths, asked)


def pictures(paths: Collection[str]) -> dict[str, str]:
    """Return the pictures among files, by their suffixes.

    Examples
    --------
    >>> pictures(["cats/1.JPG", "notes.txt"])
    {'cats/1.JPG': 'pictures'}
    """
    return {path: "pictures" for path in paths if path.lower().endswith(PICTURE_SUFFIXES)}


def nothing_there(source: str, asked: Format) -> str:
    """Return what a source does not hold, with the suffixes that were looked for."""
    if source.startswith(PICTURES):
        return f"no pictures there ({', '.join('*' + suffix for suffix in PICTURE_SUFFIXES)})"
    suffixes = {each: ", ".join("*" + suffix for suffix in known) for each, known in SUFFIXES.items()}
    if asked != "auto":
        return f"no {NAMES[asked]} files there ({suffixes[asked]})"
    others = ", ".join(known for each, known in suffixes.items() if each != "parquet")
    return f"no Parquet files there ({suffixes['parquet']}), nor any of {others}"
