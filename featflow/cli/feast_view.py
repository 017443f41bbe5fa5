"""An export on the terminal: views, their features, and the two commands that come next."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from featflow.cli.printing import labelled
from featflow.export.feast.repository import Exported

__all__ = ["print_exported"]


def print_exported(exported: Exported, out: Console) -> None:
    """Print an export onto a console."""
    repository = exported.repository
    table = Table(title=f"Project {repository.project} in {exported.uri}", title_justify="left")
    for name in ("view or service", "features", "rows are in, or target"):
        table.add_column(name, justify="right" if name == "features" else "left", overflow="fold")
    for view, path in zip(repository.views, repository.paths, strict=True):
        table.add_row(view.name, f"{len(view.features):,}", path)
    for service in repository.services:
        table.add_row(service.name, f"{len(service.features):,}", repr(service.target))
    out.print(table)
    for note in repository.notes:
        out.print(labelled("note:", "yellow", note), soft_wrap=True)
    out.print("Apply it, and load the run's event time; after a back-fill, too:", soft_wrap=True)
    out.print(f"  cd {exported.uri} && feast apply", soft_wrap=True)
    out.print(f"  feast materialize {repository.start} {repository.end}", soft_wrap=True)
