"""A table of the page: sorted, filtered and paged by the reader, so it holds thousands of rows in little room."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from featflow.analyses.reporting.labels import plural, rounded, shown
from featflow.storage.tables import TableSpec

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Field", "Listing", "described", "listing"]


@dataclass(frozen=True)
class Field:
    """A column of a listing."""

    name: str
    """Column of the frame."""
    title: str
    """Heading of the column."""
    kind: str = "number"
    """number, integer, share, probability, text, words (a list), flag or picture (of a distribution). Where the column
    kind of the same row is time, a value is a time and a span is in days; else they are numbers."""
    said: str = ""
    """What it means."""


@dataclass(frozen=True)
class Listing:
    """A table of the page that readers sort, filter and page through."""

    name: str
    """Its id in the page."""
    caption: str
    """What a row is, and how many are shown."""
    fields: tuple[Field, ...]
    rows: tuple[tuple[Any, ...], ...]
    """Cells; a text stands as its index in `texts`, so that a name of many rows is in the page once."""
    texts: tuple[str, ...]
    """Every text once."""

    @property
    def payload(self) -> dict[str, Any]:
        """Return what the page's script reads."""
        return {"fields": [vars(field) for field in self.fields], "rows": self.rows, "texts": self.texts}


def described(table: TableSpec, columns: Sequence[tuple[str, str, str]]) -> list[Field]:
    """Return fields that carry the table's own descriptions of its columns.

    Parameters
    ----------
    columns
        Name, title and kind of each.
    """
    meaning = {field["name"]: field["description"] for field in table.describe()["fields"]}
    return [Field(name, title, kind, meaning[name]) for name, title, kind in columns]


def listing(name: str, row: str, frame: pl.DataFrame, fields: Sequence[Field], most: int) -> Listing:
    """Return the first rows of a frame as a listing.

    Parameters
    ----------
    row
        Sentence that says what a row is.
    fields
        Columns to show; those that the frame lacks, as outputs of earlier versions do, are left out.
    most
        Rows that the listing holds at most.

    Examples
    --------
    >>> import polars as pl
    >>> frame = pl.DataFrame({"feature": ["a", "b"], "mi": [0.5, None]})
    >>> first = listing("x", "A row a feature.", frame, [Field("feature", "feature", "text"), Field("mi", "mi")], 1)
    >>> first.rows, first.texts, first.caption
    (((0, 0.5),), ('a',), 'A row a feature. The first 1 of 2 rows.')
    """
    texts: dict[str, int] = {}
    fields = [field for field in fields if field.name in frame.columns]
    head = frame.head(most)
    columns = [_cells(head, field, texts) for field in fields]
    rows = tuple(zip(*columns, strict=True))
    some = f"The first {len(rows):,} of {plural(frame.height, 'row')}." if len(rows) < frame.height else ""
    return Listing(name, f"{row} {some or plural(frame.height, 'row') + '.'}", tuple(fields), rows, tuple(texts))


def _cells(frame: pl.DataFrame, field: Field, texts: dict[str, int]) -> list[Any]:
    def place(text: Any) -> int | None:
        return None if text is None else texts.setdefault(shown(str(text)), len(texts))

    values = frame[field.name].to_list()
    if field.kind == "text":
        return [place(value) for value in values]
    if field.kind == "words":
        return [[place(word) for word in value or []] for value in values]
    if field.kind == "value":  # microseconds since 1970, all of them
        return [rounded(value, 16) for value in values]
    return [rounded(value) if isinstance(value, float) else value for value in values]
