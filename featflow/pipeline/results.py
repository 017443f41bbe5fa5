"""A finished run in Python: its tables, and what is made of them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from html import escape
from pathlib import PurePath
from typing import TYPE_CHECKING

from featflow.config import parse
from featflow.storage import run as stored

if TYPE_CHECKING:
    import polars as pl

    from featflow.pipeline.plan import Plan

__all__ = ["Run", "list_runs"]

WIDTH = 110
"""Characters of a line in a notebook."""
SHOWN_WARNINGS = 5


@dataclass(frozen=True, repr=False)
class Run(stored.Run):
    """A finished run: `table` gives its tables, `report` its page, `compare` what changed, `plan` what a next one does.

    Examples
    --------
    >>> run = featflow.run(frame, targets=["y"])  # doctest: +SKIP
    >>> run.table("ranking")["feature"].to_list()  # doctest: +SKIP
    ['x', 'noise']
    """

    def __repr__(self) -> str:
        return f"<featflow run {self.run_id}: {self.manifest['rows']['read']:,} rows, {len(self.tables)} tables>"

    def report(self, path: str | PurePath | None = None) -> str:
        """Write the report, one HTML file, and return where it is: beside the run's tables by default.

        Raises
        ------
        ConfigurationError
            The path is a folder.
        InfrastructureError
            Storage failed.
        """
        from featflow.export.report.writing import write_report  # noqa: PLC0415  bokeh: 0.5 s

        return write_report(self, None if path is None else str(path))

    def plan(self) -> Plan:
        """Return what the same configuration would read, compute and reuse now; errors as `featflow.plan`."""
        from featflow.pipeline.plan import plan  # noqa: PLC0415

        config = parse(self.manifest["config"])
        dataset = config.dataset.model_copy(update={"storage_options": self.store.options})
        return plan(config.model_copy(update={"dataset": dataset}))

    def compare(self, other: stored.Run | str | PurePath) -> pl.DataFrame:
        """Return what changed from another run to this one, in the columns of the table ``drift``; reads no data.

        Parameters
        ----------
        other
            A run, or its URI: ``<output>/runs/<id>``, or ``<output>`` for the latest there.

        Raises
        ------
        DatasetError
            There is no such run, or states that it needs have been removed.
        """
        import polars as pl  # noqa: PLC0415

        from featflow.pipeline.compare import drift_between  # noqa: PLC0415

        before = other if isinstance(other, stored.Run) else stored.open_run(str(other))
        frame = pl.from_arrow(drift_between(before, self)[0])
        assert isinstance(frame, pl.DataFrame)  # noqa: S101  a table is never a series
        return frame

    def _repr_html_(self) -> str:
        """Return the first screen of a notebook: rows, warnings, and what the terminal shows of each analysis."""
        rows, shards = self.manifest["rows"], self.manifest["shards"]
        columns = self.manifest["tables"].get("profile", {}).get("rows")
        lost = f", {rows['quarantined']:,} in quarantine" if rows["quarantined"] else ""
        facts = [
            f"{rows['read']:,} rows{lost}",
            *([f"{columns:,} columns"] if columns else []),
            f"{shards['computed']:,} of {shards['total']:,} shards computed",
            f"{self.manifest['seconds']['total']:.1f} s",
        ]
        warnings = self.manifest["warnings"]
        more = len(warnings) - SHOWN_WARNINGS
        lines = [*warnings[:SHOWN_WARNINGS], *([f"{more} more warnings are in the manifest"] if more > 0 else [])]
        items = "".join(f"<li>{escape(line)}</li>" for line in lines)
        return (
            f"<div><p><b>featflow</b> {escape(self.run_id)}: {escape('; '.join(facts))}<br>"
            f"<code>{escape(self.uri)}</code></p>{f'<ul>{items}</ul>' if items else ''}{self._views()}</div>"
        )

    def _views(self) -> str:
        from rich.console import Console  # noqa: PLC0415

        from featflow.analyses.catalogue import ANALYSES  # noqa: PLC0415

        console = Console(record=True, width=WIDTH, file=io.StringIO(), force_jupyter=False)
        for analysis in ANALYSES:
            view = analysis.shown(self, WIDTH)
            if view is not None:
                console.print(view)
        return console.export_html(inline_styles=True, code_format='<pre style="line-height:1.2">{code}</pre>')


def list_runs(output: str, options: dict[str, object] | None = None) -> list[Run]:
    """Return the finished runs at an output, oldest first."""
    return [Run(run.store, run.run_id, run.manifest) for run in stored.list_runs(output, options)]
