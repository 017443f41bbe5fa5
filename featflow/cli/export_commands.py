"""The commands of ``featflow export``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from featflow.cli.printing import AsJson, out, print_json

__all__ = ["exports"]

RunUri = Annotated[str, typer.Argument(metavar="RUN", help="URI of the run: OUTPUT/runs/ID, or OUTPUT for its latest.")]

exports = typer.Typer(help="Write a run for a feature store, or as lineage.", no_args_is_help=True)


@exports.command("feast")
def feast_command(
    uri: RunUri,
    to: Annotated[str | None, typer.Option(help="Folder or URI of the repository; OUTPUT/feast if left out.")] = None,
    data: Annotated[
        str | None, typer.Option(help="Where rows are copied that Feast cannot read; TO/data if left out.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a repository that 'feast apply' takes: entities, views, selected features, monitoring."""
    from featflow.cli.feast_view import print_exported
    from featflow.export.feast.repository import export_feast

    exported = export_feast(uri, to, data)
    if as_json:
        print_json(exported.public())
    else:
        print_exported(exported, out)


@exports.command("openlineage")
def openlineage_command(
    uri: RunUri,
    to: Annotated[str | None, typer.Option(help="File; openlineage.jsonl beside the run's tables if left out.")] = None,
) -> None:
    """Write the events of a run's start and end, a JSON object a line."""
    from featflow.export.openlineage.lineage import export_openlineage
    from featflow.storage.run import open_run

    sys.stdout.write(export_openlineage(open_run(uri), to) + "\n")
