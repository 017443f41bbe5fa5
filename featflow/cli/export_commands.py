"""The commands of ``featflow export``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from featflow.cli.printing import AsJson, out, print_json

if TYPE_CHECKING:
    from featflow.export.tables.rows import Appended

__all__ = ["exports"]

RunUri = Annotated[str, typer.Argument(metavar="RUN", help="URI of the run: OUTPUT/runs/ID, or OUTPUT for its latest.")]

Tables = Annotated[list[str] | None, typer.Option("--table", help="Name of a table, can be repeated; all if left out.")]

exports = typer.Typer(help="Write a run for a feature store, as lineage, or into tables.", no_args_is_help=True)


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


@exports.command("delta")
def delta_command(
    uri: RunUri,
    to: Annotated[str | None, typer.Option(help="Folder or URI of the tables; OUTPUT/delta if left out.")] = None,
    tables: Tables = None,
    as_json: AsJson = False,
) -> None:
    """Append a run's tables to Delta tables, with the run's id; a run that is there already is not appended again."""
    from featflow.export.tables.delta import export_delta

    _print_appended(export_delta(uri, to, tables), as_json=as_json)


@exports.command("iceberg")
def iceberg_command(
    uri: RunUri,
    to: Annotated[str, typer.Option(metavar="CATALOG.NAMESPACE", help="Where the tables are, or are made.")],
    tables: Tables = None,
    catalog: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY=VALUE",
            help="Property of the catalog, such as type or uri, before pyiceberg's own configuration; can be repeated. "
            "${env:NAME} and ${file:PATH} in it stand for secrets.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Append a run's tables to Iceberg tables, with the run's id; a run that is there already is not appended again."""
    from featflow.errors import ConfigurationError
    from featflow.export.tables.iceberg import export_iceberg

    pairs = [each.partition("=") for each in catalog or ()]
    if any(not key or not mark for key, mark, _ in pairs):
        raise ConfigurationError("--catalog: write KEY=VALUE, such as --catalog uri=https://catalog.example")
    properties = {key: value for key, _, value in pairs}
    _print_appended(export_iceberg(uri, to, tables, properties), as_json=as_json)


def _print_appended(appended: Appended, *, as_json: bool) -> None:
    if as_json:
        print_json(appended.public())
        return
    for name, rows in appended.rows.items():
        out.print(f"{name}: {rows:,} rows appended", soft_wrap=True, highlight=False)
    out.print(f"in {appended.to}, as run {appended.run}", soft_wrap=True, highlight=False, markup=False)
