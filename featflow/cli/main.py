"""The command line: parse, build, call.

A command imports what it needs once it is called: help and argument errors wait for none of it.
"""

from __future__ import annotations

import json
import signal
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from featflow.cli.export_commands import exports
from featflow.errors import FeatflowError

if TYPE_CHECKING:
    from featflow.config import Config
    from featflow.execution.progress import Reporter

__all__ = ["app", "main"]

EPILOG = (
    "Exit codes: 0 done; 2 the configuration or the data's schema is wrong; 3 bad data above the error budget; "
    "4 infrastructure failed, retry is safe; 5 another run holds the lock."
)
DEFAULT_DEMO_ROWS = 200_000

app = typer.Typer(
    help="Correlation, mutual-information ranking and interactions of large Parquet datasets, on Ray.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
app.add_typer(exports, name="export")
PIPED_WIDTH = 160
"""Columns of a table that goes into a file or a pipe."""
out = Console(highlight=False, width=None if sys.stdout.isatty() else PIPED_WIDTH)
err = Console(stderr=True, highlight=False)

ConfigPath = Annotated[
    str, typer.Argument(metavar="CONFIG", help="YAML configuration; 'featflow schema config' lists its keys.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override a key of the configuration; may be repeated."),
]
RUN_URI = "URI of the run to compare with: OUTPUT/runs/ID, or OUTPUT for its latest."
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object on standard output, nothing else.")]


@app.command("run")
def run_command(
    config: ConfigPath,
    overrides: Overrides = None,
    rebin: Annotated[bool, typer.Option("--rebin", help="Make new bins and levels: all is counted again.")] = False,
    only: Annotated[
        str | None, typer.Option(metavar="NAME[,NAME]", help="Run these analyses and no others; all run as configured.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Run the job: read the dataset, write the tables, publish the run."""
    parsed = _loaded(config, [*(overrides or []), *(["codebook.frozen=false"] if rebin else [])])
    if only:
        names = [name.strip() for name in only.split(",")]
        parsed = parsed.model_copy(update={"analyses": parsed.analyses.only(names)})
    from featflow.cli.run_view import print_run, summary
    from featflow.pipeline import job

    with redirect_stdout(sys.stderr):  # where Ray tells of workers that died, whatever it is told about logs
        finished = job.run(parsed, _reporter())
    if as_json:
        _print_json(summary(finished))
    else:
        print_run(finished, out)


@app.command("submit")
def submit_command(
    config: ConfigPath,
    address: Annotated[str, typer.Option(metavar="URL", help="The cluster's dashboard, http://HEAD:8265.")],
    overrides: Overrides = None,
    night: Annotated[
        str | None, typer.Option(help="What it is run for: as_of or today (UTC) by default. One night is one job.")
    ] = None,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Return once it is submitted.")] = False,
    as_json: AsJson = False,
) -> None:
    """Run the job on a Ray cluster, following its log; ends with the run's own exit code."""
    parsed = _loaded(config, overrides)
    from featflow.cli import submission_view
    from featflow.execution.engines.ray_jobs import RayJobs
    from featflow.pipeline import submission

    submitted = submission.submission(parsed, night)
    jobs = RayJobs(address)
    outcome = submission.Outcome(*submission.place(jobs, submitted))
    submission_view.print_placed(outcome, err)
    if not no_wait:
        submission_view.print_followed(jobs, outcome, err)
    if as_json:
        _print_json(outcome.public())
    else:
        submission_view.print_outcome(outcome, out, err)
    raise typer.Exit(outcome.exit_code)


@app.command("plan")
def plan_command(config: ConfigPath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show what a run would read, compute and reuse; reads footers only."""
    parsed = _loaded(config, overrides)
    from featflow.cli.plan_view import shown_plan
    from featflow.pipeline.plan import plan

    planned = plan(parsed)
    if as_json:
        _print_json(planned.public())
    else:
        out.print(shown_plan(parsed, planned))


@app.command("demo")
def demo_command(
    rows: Annotated[int, typer.Option(min=20_000, help="Rows to generate.")] = DEFAULT_DEMO_ROWS,
    output: Annotated[str, typer.Option(help="Folder for the dataset and the results.")] = "featflow-demo",
) -> None:
    """Make a dataset with planted truths, run the job on it, and say what was found."""
    from featflow.cli import demo as demonstration
    from featflow.cli.run_view import print_run
    from featflow.pipeline import job

    err.print(f"Writing {rows:,} rows with planted truths to {output}/data")
    source = demonstration.write_dataset(output, rows)
    finished = job.run(demonstration.configuration(source, f"{output}/results"), _reporter())
    print_run(finished, out)
    found = demonstration.findings(finished)
    out.print(demonstration.shown_findings(found))
    from featflow.export.report.writing import write_report

    out.print(f"Report: {escape(write_report(finished, f'{output}/report.html'))}", soft_wrap=True)
    if not all(finding.ok for finding in found):
        raise typer.Exit(1)


@app.command("schema")
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


@app.command("runs")
def runs_command(output: Annotated[str, typer.Argument(help="Output URI.")], as_json: AsJson = False) -> None:
    """List the finished runs at an output, oldest first."""
    from featflow.cli.run_view import shown_runs, summary
    from featflow.storage.run import list_runs

    found = list_runs(output)
    if as_json:
        _print_json([summary(run) for run in found])
        return
    out.print(shown_runs(found) if found else f"no finished run at {output}")


@app.command("status")
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
    found = status.status(output, last)
    if as_json:
        _print_json(found.public())
    else:
        status_view.print_status(found, out)
    if oldest is not None and not found.is_younger(oldest):
        raise typer.Exit(1)


@app.command("compare")
def compare_command(
    reference: Annotated[str, typer.Argument(metavar="RUN", help=RUN_URI)],
    current: Annotated[str, typer.Argument(metavar="RUN", help="The run to compare with it.")],
    as_json: AsJson = False,
) -> None:
    """Say what changed from one run to another, from what they have stored; reads no data."""
    from featflow.analyses.drift.terminal import shown_drift
    from featflow.pipeline.compare import differences

    found = differences(reference, current)
    if as_json:
        _print_json(found)
    else:
        out.print(shown_drift(found))


@app.command("report")
def report_command(
    run: Annotated[str, typer.Argument(metavar="RUN", help="URI of a run: OUTPUT/runs/ID, or OUTPUT for its latest.")],
    to: Annotated[
        str | None, typer.Option("--to", metavar="FILE_OR_URI", help="Where to write it; beside the run by default.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a run as one HTML file that works offline: tables, rankings, heat maps, graphs, images, drift."""
    from featflow.export.report.writing import write_report
    from featflow.storage.run import open_run

    written = write_report(open_run(run), to)
    if as_json:
        _print_json({"status": "done", "report": written})
    else:
        out.print(escape(written), soft_wrap=True)


@app.command("gc")
def gc_command(
    output: Annotated[str, typer.Argument(help="Output URI.")],
    keep: Annotated[int, typer.Option(min=1, metavar="N", help="Keep the newest N runs and all that they rest on.")],
    delete: Annotated[bool, typer.Option("--delete", help="Remove it; without this, it is only listed.")] = False,
    as_json: AsJson = False,
) -> None:
    """List, or remove, the runs and states at an output that none of the newest runs rests on."""
    from featflow.cli.garbage_view import shown_garbage
    from featflow.pipeline import garbage

    found = garbage.remove(output, keep) if delete else garbage.find(output, keep)
    if as_json:
        _print_json(found.public())
    else:
        out.print(shown_garbage(found))


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line, by default this process's, and exit with featflow's code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, _end)
    try:
        code = app(args=arguments, prog_name="featflow", standalone_mode=False)  # of typer.Exit, None without
    except FeatflowError as error:
        if "--json" in arguments:
            _print_json({"status": "failed", "exit_code": error.exit_code, "error": str(error)})
        err.print(f"[bold red]error:[/bold red] {escape(str(error))}", soft_wrap=True)
        sys.exit(error.exit_code)
    except typer.Abort:
        sys.exit(130)
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # a usage error of the parser
            error.show()
            sys.exit(error.exit_code)
        raise
    sys.exit(code)


def _end(number: int, _: object) -> NoReturn:
    """End by an exception, as the end of a schedule or of a pod should: the lock is given back."""
    sys.exit(128 + number)


def _loaded(path: str, overrides: list[str] | None) -> Config:
    """Return the configuration; what is wrong with it is said before anything is imported that takes longer."""
    from featflow.config import load

    return load(path, overrides)


def _reporter() -> Reporter:
    if err.is_terminal:
        from featflow.cli.terminal_progress import TerminalProgress

        return TerminalProgress(err)
    from featflow.execution.progress import LogProgress

    return LogProgress()


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


if __name__ == "__main__":
    main()
