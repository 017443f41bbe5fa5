"""Commands that run the job, or say what it would do.

A command imports what it needs once it is called: help and argument errors wait for none of it, and what is wrong with
a configuration is said before anything is imported that takes longer.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from featflow.cli import supervision
from featflow.cli.defects import as_defects
from featflow.cli.printing import AsJson, err, out, print_json

if TYPE_CHECKING:
    from featflow.config import Config
    from featflow.execution.progress import Reporter

__all__ = ["commands"]

ConfigPath = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG",
        help="YAML configuration ('featflow schema config' lists its keys), or data: a file, folder, glob or URI.",
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY.PATH=VALUE", help="Override a key of the configuration; may be repeated."),
]

commands = typer.Typer()


@commands.command("run")
def run_command(
    config: ConfigPath,
    overrides: Overrides = None,
    rebin: Annotated[bool, typer.Option("--rebin", help="Make new bins and levels: all is counted again.")] = False,
    only: Annotated[
        str | None, typer.Option(metavar="NAME[,NAME]", help="Run these analyses and no others; all run as configured.")
    ] = None,
    recheck: Annotated[
        bool, typer.Option("--recheck", help="Read all row groups again that earlier runs could not read, not some.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run the job: read the dataset, write the tables, publish the run."""
    with _configured(config, [*(overrides or []), *(["codebook.frozen=false"] if rebin else [])]) as parsed:
        names = re.split(r"\s*,\s*", only.strip()) if only else None
        chosen = parsed.model_copy(update={"analyses": parsed.analyses.only(names)}) if names else parsed
        if parsed.engine.kind != "serial" and supervision.is_process_ours:
            _supervise(parsed)
        _without_pandas()
        from featflow.cli.run_view import print_run, summary
        from featflow.pipeline import job

        with redirect_stdout(sys.stderr):  # where Ray tells of workers that died, whatever it is told about logs
            finished = job.run(chosen, _reporter(), recheck=recheck)
        if as_json:
            print_json(summary(finished))
        else:
            print_run(finished, out)


@commands.command("submit")
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
    with _configured(config, overrides) as parsed:
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
            print_json(outcome.public())
        else:
            submission_view.print_outcome(outcome, out, err)
    raise typer.Exit(outcome.exit_code)


@commands.command("plan")
def plan_command(config: ConfigPath, overrides: Overrides = None, as_json: AsJson = False) -> None:
    """Show what a run would read, compute and reuse; reads footers only."""
    with _configured(config, overrides) as parsed:
        _without_pandas()
        from featflow.cli.plan_view import shown_plan
        from featflow.pipeline.plan import plan

        planned = plan(parsed)
        if as_json:
            print_json(planned.public())
        else:
            out.print(shown_plan(parsed, planned))


@commands.command("demo")
def demo_command(
    rows: Annotated[int, typer.Option(min=20_000, help="Rows to generate.")] = 200_000,
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

    out.print(f"Report: {write_report(finished, f'{output}/report.html')}", soft_wrap=True)
    if not all(finding.ok for finding in found):
        raise typer.Exit(1)


@contextmanager
def _configured(path: str, overrides: list[str] | None) -> Iterator[Config]:
    """Load the configuration, before anything is imported that takes longer; its credentials are in no traceback."""
    from featflow.config import load

    config = load(path, overrides)
    with as_defects(config.dataset.secrets):
        try:
            yield config
        except KeyboardInterrupt:  # of which typer makes an exit code like a command's own, which has said it all
            raise typer.Abort from None


def _supervise(config: Config) -> None:
    """Go on in a process of its own; where that ends without a word, note why and give its lock back."""
    try:
        supervision.supervise()
    except supervision.LostError as error:
        from featflow.pipeline import job

        job.note_lost(config, error.process, error)
        raise


class _NoPandas:
    """Finds no pandas."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        if name == "pandas":
            raise ModuleNotFoundError(name=name)


def _without_pandas() -> None:
    """Let pyarrow look for pandas in vain, once: to know a series by sight it imports all of it, which takes 0.4 s.

    Before any module of ours that makes a value of Arrow when it is imported. Where a conversion to pandas is asked
    for, pyarrow looks again.
    """
    import pyarrow as pa

    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(_NoPandas)


def _reporter() -> Reporter:
    if err.is_terminal:
        from featflow.cli.terminal_progress import TerminalProgress

        return TerminalProgress(err)
    from featflow.execution.progress import LogProgress

    return LogProgress()
