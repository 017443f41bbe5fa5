"""What is to be told of columns that files do not share."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence

from featflow.dataset.footer import Footer
from featflow.dataset.nested_fields import leaves

__all__ = ["absences", "listed", "same_but_for_case"]

NAMED = 5
"""Columns that a note names; the others are counted."""


def absences(footers: Sequence[Footer], names: Collection[str]) -> list[str]:
    """Return notes on columns that some files do not have: their values count as missing there.

    Columns that are absent from the same number of files are told of in one sentence.
    """
    footers = [footer for footer in footers if sum(footer.group_rows)]
    present: Counter[str] = Counter()
    for footer in footers:
        present.update(_names(footer))
    by_count: dict[int, list[str]] = defaultdict(list)
    for name in names:
        if present[name] < len(footers):
            by_count[present[name]].append(name)
    notes = []
    for count, absent in sorted(by_count.items()):
        first = next(footer.file.uri for footer in footers if absent[0] not in _names(footer))
        verb = "is" if len(absent) == 1 else "are"
        notes.append(
            f"{listed(absent)} {verb} not in {len(footers) - count} of {len(footers)} files, the first is {first}; "
            "values are missing there"
        )
    return notes


def _names(footer: Footer) -> set[str]:
    return {name for name, _, _ in leaves(footer.schema)} | {key for key, _ in footer.file.partitions}


def listed(names: Sequence[str]) -> str:
    """Return columns in words, the first of them by name.

    Examples
    --------
    >>> listed(["a"]), listed(["a", "b"])
    ("column 'a'", "columns 'a', 'b'")
    """
    shown = ", ".join(f"'{name}'" for name in names[:NAMED])
    more = f" and {len(names) - NAMED} others" if len(names) > NAMED else ""
    return f"column {shown}" if len(names) == 1 else f"columns {shown}{more}"


def same_but_for_case(names: Iterable[str]) -> list[str]:
    """Return notes on columns whose names differ in upper and lower case alone.

    Examples
    --------
    >>> same_but_for_case(["Price", "x", "price"])
    ["columns 'Price' and 'price' differ in case alone; if they are one, rename it in some files"]
    """
    alike: dict[str, list[str]] = defaultdict(list)
    for name in names:
        alike[name.casefold()].append(name)
    return [
        f"columns {' and '.join(map(repr, group))} differ in case alone; if they are one, rename it in some files"
        for group in alike.values()
        if len(group) > 1
    ]
