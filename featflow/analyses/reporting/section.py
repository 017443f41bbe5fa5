"""Section of a report, in which an analysis shows its tables of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from featflow.analyses.reporting.limits import PageLimits
from featflow.analyses.reporting.listing import Listing, described, listing
from featflow.storage.run import Run
from featflow.storage.tables import NAMES, TESTS, TableSpec

__all__ = ["Section", "section_of_tables"]

KINDS = {pa.string(): "text", pa.bool_(): "flag", pa.int64(): "integer", pa.float64(): "number", NAMES: "words"}
"""How a page shows a table's columns; those of other types are left out."""


@dataclass(frozen=True)
class Section:
    """A part of the page, with its own link in the contents.

    Its template is rendered with `values`; the macros of ``reporting/macros.html`` put in its listings and plots. Three
    macros that the template may define stand elsewhere: ``counts`` among the figures that head the page, ``data`` in
    the part Data, ``reading`` in the list of how to read the page. A template without further text has no part of its
    own.
    """

    name: str
    """Its id in the page."""
    title: str
    listings: tuple[Listing, ...] = ()
    plots: Mapping[str, Callable[[], Any]] = field(default_factory=dict)
    """Functions that make the Bokeh models, by id in the page."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Values that its template uses."""
    template: str = "reporting/section.html"
    """Path below ``featflow/analyses/``; the default shows the listings one after another."""
    fewer: Callable[[PageLimits], Section] | None = None
    """Function that makes the section of a smaller page, where this is less work than making it anew."""


def section_of_tables(name: str, tables: Sequence[TableSpec], run: Run, limits: PageLimits) -> Section | None:
    """Return a section with a listing of each table that has rows, for analyses without a section of their own."""
    written = [table for table in tables if run.manifest["tables"].get(table.name, {}).get("rows")]
    listings = tuple(_table_listing(table, run, limits) for table in written)
    return Section(name, name.replace("_", " ").capitalize(), listings) if listings else None


def _table_listing(table: TableSpec, run: Run, limits: PageLimits) -> Listing:
    tests = {each.name for each in TESTS}
    columns = {each.name: KINDS[each.type] for each in table.schema if each.type in KINDS}
    titles = [
        (name, name.replace("_", " "), "probability" if name in tests else kind) for name, kind in columns.items()
    ]
    frame = run.table(table.name, list(columns))
    return listing(table.name, f"A row is {table.row}.", frame, described(table, titles), limits.pairs)
