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
    "Delta": "write dataset.source: 'delta:{table}', or featflow run 'delta:{table}'",
    "Iceberg": "write dataset.source: 'iceberg:CATALOG.NAMESPACE.TABLE', or featflow run iceberg:...",
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


def tables_above(root: str, is_there: Callable[[str], bool], *, with_root: bool) -> Iterator[tuple[str, str]]:
    """Yield folder and format of the table of which a folder is a partition, or the folder of data.

    Parameters
    ----------
    is_there
        Whether a path is there, or any path that a pattern matches.
    with_root
        Whether the folder itself may be the table, as that of a single file may.

    Examples
    --------
    >>> list(tables_above("lake/t/day=1", lambda path: path == "lake/t/_delta_log", with_root=False))
    [('lake/t', 'Delta')]
    >>> list(tables_above("lake/t/data", lambda path: path == "lake/t/metadata/*.metadata.json", with_root=False))
    [('lake/t', 'Iceberg')]
    """
    marks = {mark.rstrip("/"): name for mark, name in MARKS.items()}
    if with_root:
        yield from ((root, name) for mark, name in marks.items() if is_there(root + mark))
    while "=" in root.rpartition("/")[2] or root.rpartition("/")[2] == "data":
        below = {"/metadata/*.metadata.json": "Iceberg"} if root.rpartition("/")[2] == "data" else {}
        root = root.rpartition("/")[0]
        yield from ((root, name) for mark, name in (marks | below).items() if is_there(root + mark))
        if below:
            return
