"""Folders of table formats, known by what only their writers leave there.

A table's files hold rows that were removed or overwritten; which rows count stands in the table's metadata.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator

__all__ = ["HOW_TO_READ", "tables_above", "tables_below"]

MARKS = {"/_delta_log/": "Delta", "/.hoodie/": "Hudi"}
ICEBERG_METADATA = re.compile(r"/metadata/[^/]+\.metadata\.json$")
HOW_TO_READ = {
    "Delta": "write dataset.source: 'delta:{table}'",
    "Iceberg": "write dataset.source: 'iceberg:CATALOG.NAMESPACE.TABLE'",
    "Hudi": "Hudi tables are not read, export the table as Parquet",
}


def tables_below(root: str, paths: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield folder and format of the tables at or below a folder, perhaps more than once.

    Examples
    --------
    >>> list(tables_below("lake", ["lake/t/_delta_log/0.json", "lake/t/a.parquet"]))
    [('lake/t', 'Delta')]
    """
    for path in paths:
        inner = path.removeprefix(root)
        for mark, name in MARKS.items():
            if mark in inner:
                yield root + inner.partition(mark)[0], name
        metadata = ICEBERG_METADATA.search(inner)
        if metadata:
            yield path[: len(path) - len(metadata[0])], "Iceberg"


def tables_above(root: str, is_there: Callable[[str], bool]) -> Iterator[tuple[str, str]]:
    """Yield folder and format of the table of which a folder is a partition.

    Examples
    --------
    >>> list(tables_above("lake/t/day=1", lambda path: path == "lake/t/_delta_log"))
    [('lake/t', 'Delta')]
    """
    while "=" in root.rpartition("/")[2]:
        root = root.rpartition("/")[0]
        for mark, name in MARKS.items():
            if is_there(root + mark.rstrip("/")):
                yield root, name
