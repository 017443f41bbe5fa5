"""The last runs of an output on the terminal."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from featflow.cli.printing import labelled
from featflow.errors import printable
from featflow.pipeline.status import RunStatus, Status

__all__ = ["print_status"]

COLUMNS = (
    "run",
    "status",
    "ended",
    "took",
    "rows",
    "computed",
    "reused",
    "quarantined",
    "retries",
    "drift",
    "warnings",
)
WIDE, NARROW = 140, COLUMNS[:5]
"""Characters a line from which all columns fit, and the columns of narrower terminals."""
STYLES = {"done": "green", "unfinished": "yellow"}
LATEST = " ←"


def print_status(status: Status, out: Console) -> None:
    """Print the runs at an output, newest first, and the one under way."""
    now = datetime.fromisoformat(status.now)
    table = Table(title=status.output, title_justify="left", caption_justify="left")
    columns = COLUMNS if out.width >= WIDE else NARROW
    for name in columns:
        table.add_column(
            name, justify="left" if name in {"run", "status"} else "right", no_wrap=name in {"run", "took"}
        )
    for run in status.runs:
        table.add_row(*_cells(run, now)[: len(columns)])
    if status.runs:
        table.caption = f"{LATEST.strip()} LATEST" if any(run.latest for run in status.runs) else None
        out.print(table)
    else:
        out.print(f"no run has ended at {status.output}", soft_wrap=True)
    if status.damaged:
        out.print(labelled("error:", "red", status.damaged), soft_wrap=True)
    for run in status.runs:
        if run.error:
            out.print(labelled(f"{run.run}:", "red", run.error), soft_wrap=True)
    for warning in status.runs[0].warnings if status.runs else ():
        out.print(labelled("warning:", "yellow", warning), soft_wrap=True)
    running = status.under_way
    if running is None:
        out.print("No run is under way.")
    else:
        since = (
            f" for {_duration_text((now - datetime.fromisoformat(running.since)).total_seconds())}"
            if running.since
            else ""
        )
        out.print(
            f"Under way{since}: {running.run or 'a run'}, process {running.process} on "
            f"{running.host}; its lease ends in {running.lease_seconds:.0f} s unless it is renewed",
            soft_wrap=True,
        )


def _cells(run: RunStatus, now: datetime) -> list[str | Text]:
    style = STYLES.get(run.status, "red")
    rows, shards = run.rows or {}, run.shards or {}
    numbers = (rows.get("read"), shards.get("computed"), shards.get("reused"), rows.get("quarantined"))
    retries = None if run.retries is None else sum(run.retries.values())
    return [
        run.run + (LATEST if run.latest else ""),
        Text(printable(run.status), style),
        f"{_duration_text((now - run.ended).total_seconds())} ago",
        "" if run.seconds is None else _duration_text(run.seconds),
        *("" if number is None else f"{number:,}" for number in (*numbers, retries, run.drift_alerts)),
        str(len(run.warnings)),
    ]


def _duration_text(seconds: float) -> str:
    """Return a length of time in the unit that suits it.

    Examples
    --------
    >>> _duration_text(4.21), _duration_text(200), _duration_text(7_200), _duration_text(200_000)
    ('4.2 s', '3 min', '2.0 h', '2.3 d')
    """
    if seconds < 100:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
