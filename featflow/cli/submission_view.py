"""A job on the terminal: its log while it runs, and its outcome."""

from __future__ import annotations

import json

import typer
from rich.console import Console
from rich.text import Text

from featflow.cli.printing import labelled
from featflow.cli.run_view import shown_counts
from featflow.pipeline.submission import Jobs, Outcome, explained, follow

__all__ = ["print_followed", "print_outcome", "print_placed", "shown_line"]


def shown_line(line: str) -> str | None:
    """Return a line of a run's log as readable text; None for the first line of a stage, which has no figures.

    Examples
    --------
    >>> shown_line('{"stage": "merging", "done": 1, "total": 2, "rows": 0, "seconds_left": 3.2}')
    'merging                         1/2          3 s left'
    """
    try:
        fields = json.loads(line)
        stage, done, total = fields["stage"], fields["done"], fields["total"]
    except (ValueError, TypeError, KeyError):
        return line
    if done == 0:
        return None
    speed = f"{fields['rows_per_second']:,} rows/s" if fields.get("rows") else ""
    left = f"{fields['seconds_left']:.0f} s left" if done < total else ""
    retried = f"{fields['retries']} retries" if fields.get("retries") else ""
    count = f"{done:,}/{total:,}"
    return "  ".join((f"{stage:<30}", f"{count:<11}", *(part for part in (speed, left, retried) if part))).rstrip()


def print_placed(outcome: Outcome, err: Console) -> None:
    """Print whether a job was submitted, runs or has ended."""
    progress = "which has ended" if outcome.job.over else "which is under way"
    standing = f"there is a job for this night, {progress}" if outcome.attached else "submitted"
    err.print(labelled(f"{outcome.job.name}:", "bold", standing), soft_wrap=True)


def print_followed(jobs: Jobs, outcome: Outcome, err: Console) -> None:
    """Print a job's log until it ends; unchanged into a file or a pipe."""

    def show(line: str) -> None:
        if not err.is_terminal:
            err.file.write(line + "\n")
        elif (shown := shown_line(line)) is not None:
            err.print(Text.from_ansi(shown), soft_wrap=True)

    follow(jobs, outcome, show, lambda: _ask_to_stop(err, outcome.job.name))


def _ask_to_stop(err: Console, job: str) -> bool:
    """Ask whether to stop a job that is followed.

    Raises
    ------
    typer.Abort
        The job goes on and is not followed any more: by Ctrl-C, or because no terminal can be asked.
    """
    goes_on = f"{job} goes on in the cluster; the same command follows it again, 'ray job stop {job}' ends it"
    if not err.is_terminal:
        err.print(goes_on, soft_wrap=True)
        raise typer.Abort
    err.line()
    err.print("y stops the job, n follows it on, Ctrl-C leaves it running.")
    try:
        return typer.confirm(f"Stop {job}?", default=False, err=True)
    except (typer.Abort, KeyboardInterrupt):
        err.line()
        err.print(goes_on, soft_wrap=True)
        raise typer.Abort from None


def print_outcome(outcome: Outcome, out: Console, err: Console) -> None:
    """Print the outcome of a submission."""
    result = outcome.result
    if "rows" in result:
        out.print(shown_counts(result["run"], result), soft_wrap=True)
        for warning in result["warnings"]:
            out.print(labelled("warning:", "yellow", warning), soft_wrap=True)
        width = max(map(len, result["tables"]), default=0)
        for name, uri in result["tables"].items():
            out.print(f"  {name:<{width}}  {uri}", soft_wrap=True)
    if outcome.exit_code:
        message = explained(outcome) or f"{outcome.job.name} ended with {outcome.exit_code}"  # the log shows why
        err.print(labelled("error:", "bold red", message), soft_wrap=True)
