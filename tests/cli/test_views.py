"""Every view of the command line over a dataset whose names, levels and paths are markup, control characters and more.

Each name can be read; nothing moves the cursor, colours a line or turns text around; no bracket is lost.
"""

from __future__ import annotations

import io
import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featflow.analyses.catalogue import ANALYSES
from featflow.analyses.drift.terminal import shown_drift
from featflow.analyses.reporting.labels import shown as shown_name
from featflow.cli import demo, feast_view, garbage_view, plan_view, run_view, status_view, submission_view
from featflow.cli.main import main
from featflow.cli.printing import PlainConsole, labelled
from featflow.cli.terminal_progress import TerminalProgress
from featflow.config import parse
from featflow.errors import printable
from featflow.execution.engines.base import Job
from featflow.export.report.writing import report
from featflow.pipeline import garbage, status
from featflow.pipeline.compare import differences
from featflow.pipeline.job import run
from featflow.pipeline.plan import plan
from featflow.pipeline.submission import Outcome

NAMES = [
    "[red]",
    "[/]",
    "[bold]b[/bold]",
    ":smile:",
    "\x1b[31mred",
    "a\nb",
    "r\rs\x08t\x07",
    "\u202eevil\u200f",
    "[link=https://example.invalid]x[/link]",
    "x" * 300,
    "\\[",
    "<script>alert(1)</script>",
]
TARGET = "[red]y[/]:smile:\u202e"
FOLDER = "o[red][/]:smile:"
WIDTHS = [80, 120, 160, 2_000]
"""Characters of a line; at the last nothing is folded, so that names can be searched for."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("views") / FOLDER


@pytest.fixture(scope="module")
def config(place):
    """A dataset of two nights: the second one has moved."""
    (place / "data").mkdir(parents=True)
    values = {
        "source": str(place / "data"),
        "targets": [TARGET],
        "exclude": ["no"],
        "kinds": {":smile:": "category"},
    }
    return parse({"dataset": values, "output": str(place / "out"), "engine": {"kind": "serial"}})


def write(folder, name, seed):
    random = np.random.default_rng(seed)
    y = random.integers(0, 2, 600)
    columns = [pa.array(random.normal(size=600) + y * (place % 4) + seed) for place in range(len(NAMES))]
    columns[3] = pa.array(np.where(y == 1, "[/red]", ":bomb:\x1b[2J"))
    target = pa.array(np.where(y == 1, "[yes]", "[/no]"))
    table = pa.Table.from_arrays([*columns, columns[0], target], names=[*NAMES, "no", TARGET])
    pq.write_table(table, folder / name)


@pytest.fixture(scope="module")
def runs(config, place):
    write(place / "data", "a.parquet", 0)
    (place / "data" / "notes[red]\x1b[31m.txt").touch()
    first = run(config)
    write(place / "data", "[b]:smile:.parquet", 2)
    return first, run(config)


def printed(view, width):
    """Return what a console prints of a view, which must be harmless."""
    file = io.StringIO()
    console = PlainConsole(file=file, width=width)
    if callable(view):
        view(console)
    else:
        console.print(view)
    text = file.getvalue()
    assert [c for c in text if not c.isprintable() and c != "\n"] == []
    assert "\N{SMILING FACE WITH OPEN MOUTH}" not in text
    assert "\N{SMILING FACE WITH OPEN MOUTH AND SMILING EYES}" not in text
    return text


def missing(names, text, width):
    """Return the names that are not in a text, whole or cut as a table cuts them; none where lines fold them."""
    if width < WIDTHS[-1]:
        return []
    return [name for name in names if printable(name) not in text and shown_name(name) not in text]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_run(runs, width):
    shown = printed(lambda out: run_view.print_run(runs[1], out), width)
    ranking = runs[1].table("ranking")
    assert missing([*ranking["feature"].head(8), TARGET], shown, width) == []
    assert all(uri in shown for uri in runs[1].tables.values())  # lines for copying are not folded
    assert FOLDER in shown


@pytest.mark.parametrize("width", WIDTHS)
def test_views_of_all_runs_and_plans(config, runs, place, width):
    printed(run_view.shown_runs(list(runs)), width)
    shown = printed(plan_view.shown_plan(config, plan(config)), width)
    assert missing([TARGET, f"{FOLDER}/data", "notes[red]\x1b[31m.txt"], shown, width) == []
    found = status.status(str(place / "out"), 5)
    failed = replace(found.runs[0], error=NAMES[4] + NAMES[0], status=NAMES[0], warnings=(NAMES[1],))
    under_way = status.UnderWay(run="[red]", host="[/]", process=4, since=None, lease_seconds=9.0)
    found = replace(found, runs=(failed,), under_way=under_way)
    shown = printed(lambda out: status_view.print_status(found, out), width)
    assert missing([f"{FOLDER}/out"], shown, width) == []
    assert ": \\x1b[31mred[red]" in shown
    assert "warning: [/]" in shown
    assert "[red], process 4 on [/]" in shown


@pytest.mark.parametrize("width", WIDTHS)
def test_changes_from_run_to_run(runs, width):
    drift = differences(runs[0].uri, runs[1].uri)
    alerts = [row["feature"] or "" for row in drift["rows"] if row["alert"]]
    assert len(set(alerts) & set(NAMES)) > 5
    drift["warnings"] = [*drift["warnings"], NAMES[4]]
    shown = printed(shown_drift(drift), width)
    assert "warning: \\x1b[31mred" in shown
    assert len(missing(set(alerts), shown, width)) < len(set(alerts)) / 2 + 1


@pytest.mark.parametrize("width", WIDTHS)
def test_garbage_exports_findings_and_jobs(runs, place, width):
    files = {f"runs/{name.replace('/', '')}/x": 9 for name in NAMES}
    found = replace(garbage.find(str(place / "out"), 1), files=files, notes=(NAMES[0],))
    shown = printed(garbage_view.shown_garbage(found), width)
    assert "note: [red]" in shown
    assert missing([name.replace("/", "") for name in NAMES], shown, width) == []

    findings = [demo.Finding(name, name[::-1], ok=True) for name in NAMES]
    shown = printed(demo.shown_findings(findings), width)
    assert missing([*NAMES, *(name[::-1] for name in NAMES)], shown, width) == []

    views = [SimpleNamespace(name=name, features=[1]) for name in NAMES]
    services = [SimpleNamespace(name="s", features=[1], target=name) for name in NAMES]
    repository = SimpleNamespace(
        project="[/]", views=views, paths=NAMES, services=services, notes=NAMES, start="[/]", end="[/]"
    )
    exported = SimpleNamespace(uri=f"{place}/feast", repository=repository)
    shown = printed(lambda out: feast_view.print_exported(exported, out), width)
    assert f"cd {place}/feast && feast apply" in shown
    assert missing(NAMES, shown, width) == []

    result = run_view.summary(runs[1]) | {"warnings": NAMES}
    outcome = Outcome(Job("[red]job", "SUCCEEDED", None), False, result)
    shown = printed(lambda out: submission_view.print_outcome(outcome, out, out), width)
    assert all(f"warning: {printable(name)}\n" in shown for name in NAMES)


def test_progress_and_errors(capsys):
    file = io.StringIO()
    console = PlainConsole(file=file, width=80)
    progress = TerminalProgress(console)
    for name in NAMES:
        progress.start(f"error bars: {name}", 1)
        progress.advance(5)
        progress.finish()
    assert "[red]" in file.getvalue()
    assert ":smile:" in file.getvalue()
    assert "\x1b" not in file.getvalue()
    assert "error: [/] [red]" in printed(labelled("error:", "bold red", "[/] [red]"), 80)
    with pytest.raises(SystemExit):
        main(["run", "/nowhere/[red]\x1b[31m[/].yaml"])
    assert "/nowhere/[red]\\x1b[31m[/].yaml: cannot read" in capsys.readouterr().err


def test_an_unchanged_run_shows_the_same(config, runs, capsys, tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text(json.dumps(runs[1].manifest["config"]))
    for _ in range(2):
        with pytest.raises(SystemExit):
            main(["run", str(path)])
    assert f"nothing changed since run {runs[1].run_id}" in capsys.readouterr().out.splitlines()[1]


def test_every_analysis_shows_the_run_in_the_terminal(runs):
    views = [view for analysis in ANALYSES if (view := analysis.shown(runs[1], 80)) is not None]
    assert views
    assert all(printed(view, 80).strip() for view in views)


def test_the_report_escapes_the_same_names(runs):
    html = report(runs[1])
    assert "<script>alert(1)</script>" not in html
    raw = {character for character in html if not character.isprintable()} - {"\n"}
    scripts = "".join(re.findall(r"<script>.*?</script>", html, re.DOTALL))  # the page's own, which may hold such
    assert not {character for character in raw if character not in scripts}
    assert not raw & {"\x1b", "\x07", "\x08"}
