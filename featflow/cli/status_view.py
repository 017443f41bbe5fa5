"""What the last runs did, for people."""

from __future__ import annotations

from datetime import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

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
"""Columns of a terminal from which all is shown, and what is shown below."""
STYLES = {"done": "green", "unfinished": "yellow"}
LATEST = " ←"


def print_status(found: Status, out: Console) -> None:
    """Print the runs at an output, newest first, and the one under way."""
    now = datetime.fromisoformat(found.now)
    table = Table(title=escape(found.output), title_justify="left", caption_justify="left")
    chosen = COLUMNS if out.width >= WIDE else NARROW
    for name in chosen:
        table.add_column(
            name, justify="left" if name in {"run", "status"} else "right", no_wrap=name in {"run", "took"}
        )
    for run in found.runs:
        table.add_row(*_cells(run, now)[: len(chosen)])
    if found.runs:
        table.caption = f"{LATEST.strip()} LATEST" if any(run.latest for run in found.runs) else None
        out.print(table)
    else:
        out.print(f"no run has ended at {escape(found.output)}", soft_wrap=True)
    for run in found.runs:
        if run.error:
            out.print(f"[red]{run.run}[/red]: {escape(run.error)}", soft_wrap=True)
    for warning in found.runs[0].warnings if found.runs else ():
        out.print(f"[yellow]warning:[/yellow] {escape(warning)}", soft_wrap=True)
    held = found.under_way
    if held is None:
        out.print("No run is under way.")
    else:
        since = f" for {_span((now - datetime.fromisoformat(held.since)).total_seconds())}" if held.since else ""
        out.print(
            f"[bold]Under way[/bold]{since}: {escape(held.run or 'a run')}, process {held.process} on "
            f"{escape(held.host)}; its lease ends in {held.lease_seconds:.0f} s unless it is renewed",
            soft_wrap=True,
        )


def _cells(run: RunStatus, now: datetime) -> list[str]:
    style = STYLES.get(run.status, "red")
    rows, shards = run.rows or {}, run.shards or {}
    numbers = (rows.get("read"), shards.get("computed"), shards.get("reused"), rows.get("quarantined"))
    retries = None if run.retries is None else sum(run.retries.values())
    return [
        run.run + (LATEST if run.latest else ""),
        f"[{style}]{escape(run.status)}[/{style}]",
        f"{_span((now - run.ended).total_seconds())} ago",
        "" if run.seconds is None else _span(run.seconds),
        *("" if number is None else f"{number:,}" for number in (*numbers, retries, run.drift_alerts)),
        str(len(run.warnings)),
    ]


def _span(seconds: float) -> str:
    """Return a length of time in the unit that suits it.

    Examples
    --------
    >>> _span(4.21), _span(200), _span(7_200), _span(200_000)
    ('4.2 s', '3 min', '2.0 h', '2.3 d')
    """
    if seconds < 100:
        return f"{max(seconds, 0):.1f} s"
    if seconds < 6_000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3_600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} d"
