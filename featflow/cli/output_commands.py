"""Commands that read the runs of an output, or remove files that none of them needs."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from featflow.cli.printing import AsJson, labelled, out, print_json
from featflow.errors import ConfigurationError

__all__ = ["commands"]

STANDARD_OUTPUT = "-"
RUN_URI = "URI of the run to compare with: OUTPUT/runs/ID, or OUTPUT for its latest."

commands = typer.Typer()


@commands.command("schema")
def schema_command(
    table: Annotated[str | None, typer.Argument(help="Table name, or 'config'; all table names if left out.")] = None,
) -> None:
    """Print the published schema of a table or of the configuration."""
    from rich.table import Table

    from featflow.analyses.catalogue import TABLES, table_spec
    from featflow.config import Config

    if table is None:
        listing = Table("table", "columns")
        for name, spec in TABLES.items():
            listing.add_row(name, ", ".join(spec.schema.names))
        out.print(listing)
    else:
        out.print_json(data=Config.model_json_schema() if table == "config" else table_spec(table).describe())


@commands.command("runs")
def runs_command(output: Annotated[str, typer.Argument(help="Output URI.")], as_json: AsJson = False) -> None:
    """List the finished runs at an output, oldest first."""
    from featflow.cli.run_view import shown_runs, summary
    from featflow.storage.run import survey
    from featflow.storage.store import Store

    runs, damaged = survey(Store(output))
    if as_json:
        broken = ({"status": "damaged", "run": run_id, "error": str(error)} for run_id, error in damaged.items())
        print_json([*broken, *(summary(run) for run in runs)])
        return
    out.print(shown_runs(runs, damaged) if runs or damaged else f"no finished run at {output}")
    for run_id, error in damaged.items():
        out.print(labelled(f"{run_id}:", "red", str(error)), soft_wrap=True)


@commands.command("status")
def status_command(
    output: Annotated[str, typer.Argument(help="Output URI.")],
    last: Annotated[int, typer.Option(min=1, metavar="N", help="How many runs to show.")] = 5,
    max_age: Annotated[
        str | None, typer.Option(metavar="AGE", help="Exit with 1 if no run was published since, such as 36h or 2d.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say what the last runs at an output did, and whether one is under way; reads manifests only."""
    from featflow.cli import status_view
    from featflow.pipeline import status

    oldest = None if max_age is None else status.age(max_age)
    output_status = status.status(output, last)
    if as_json:
        print_json(output_status.public())
    else:
        status_view.print_status(output_status, out)
    if oldest is not None and not output_status.is_younger(oldest):
        raise typer.Exit(1)


@commands.command("compare")
def compare_command(
    reference: Annotated[str, typer.Argument(metavar="RUN", help=RUN_URI)],
    current: Annotated[str, typer.Argument(metavar="RUN", help="The run to compare with it.")],
    as_json: AsJson = False,
) -> None:
    """Say what changed from one run to another, from what they have stored; reads no data."""
    from featflow.analyses.drift.terminal import shown_drift
    from featflow.pipeline.compare import differences

    drift = differences(reference, current)
    if as_json:
        print_json(drift)
    else:
        out.print(shown_drift(drift))


@commands.command("report")
def report_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="URI of a run: OUTPUT/runs/ID, or OUTPUT for its latest.")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="FILE_OR_URI", help="Where to write it, - for standard output; beside the run by default."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a run as one HTML file that works offline: tables, rankings, heat maps, graphs, images, drift."""
    from featflow.export.report.writing import report, write_report
    from featflow.storage.run import open_run

    if to == STANDARD_OUTPUT:
        if as_json:
            raise ConfigurationError("--to - writes the page where --json prints; leave one of them out")
        sys.stdout.buffer.write(report(open_run(run)).encode())
        return
    written = write_report(open_run(run), to)
    if as_json:
        print_json({"status": "done", "report": written})
    else:
        sys.stdout.write(written + "\n")  # for scripts: as it is


@commands.command("gc")
def gc_command(
    output: Annotated[str, typer.Argument(help="Output URI.")],
    keep: Annotated[int, typer.Option(min=1, metavar="N", help="Keep the newest N runs and all that they rest on.")],
    delete: Annotated[bool, typer.Option("--delete", help="Remove it; without this, it is only listed.")] = False,
    forget: Annotated[
        bool,
        typer.Option("--forget-quarantine", help="Also notes of row groups that cannot be read: all are read again."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List, or remove, the runs and states at an output that none of the newest runs rests on."""
    from featflow.cli.garbage_view import shown_garbage
    from featflow.pipeline import garbage

    look = garbage.remove if delete else garbage.find
    unneeded = look(output, keep, forget=forget)
    if as_json:
        print_json(unneeded.public())
    else:
        out.print(shown_garbage(unneeded))
