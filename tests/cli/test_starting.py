"""What a command loads: as little as it needs, as seen in ``sys.modules`` of a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from datasets import mixed_table, write_parts

OF_FEW = {"bokeh", "datasketches", "openlineage", "pandas", "polars", "ray", "torch", "transformers"}
"""What a run of a plain table does without."""
HEAVY = OF_FEW | {"numpy", "pyarrow", "scipy"}
CODE = """
import contextlib, io, json, sys
said = io.StringIO()
with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    try:
        {do}
    except SystemExit as end:
        code = end.code
print(json.dumps([code, said.getvalue(), sorted(sys.modules)]))
"""


def loaded(do, code=0):
    """Do something in another process; return the modules that it loaded."""
    done = subprocess.run([sys.executable, "-c", CODE.format(do=do)], capture_output=True, text=True, check=True)
    ended, said, modules = json.loads(done.stdout)
    assert (ended or 0) == code, said
    return set(modules)


def by_command(*arguments, code=0):
    return loaded(f"from featflow.cli import main; main({list(arguments)})", code)


@pytest.fixture(scope="module")
def configured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("starting")
    source = write_parts(mixed_table(1_500), folder / "data", 2)
    dataset = {"source": source, "targets": ["target"], "entity": ["user"], "event_time": "when"}
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({"dataset": dataset, "output": str(folder / "out")}))
    return str(path)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["-h"], 0),
        (["--version"], 0),
        (["--show-completion", "bash"], 0),
        (["run", "--help"], 0),
        (["export", "feast", "--help"], 0),
        (["run"], 2),
        (["run", "a.yaml", "--no-such-option"], 2),
        (["no-such-command"], 2),
        (["run", "no-such-file.yaml"], 2),
    ],
)
def test_help_and_argument_errors_load_the_command_line_alone(arguments, code, monkeypatch):
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")  # whatever shell runs the tests
    assert not by_command(*arguments, code=code) & HEAVY


def test_a_wrong_key_is_told_before_anything_is_loaded_that_reads(configured):
    assert not by_command("run", configured, "--set", "datset.source=x", code=2) & HEAVY
    assert not by_command("plan", configured, "--set", "engine.kind=dask", code=2) & HEAVY


def test_the_package_loads_what_is_used():
    use = "import featflow; featflow.FeatflowError; assert 'Run' in featflow.__all__; sys.exit(0)"
    assert not loaded(use) & HEAVY
    used = loaded("import featflow; assert featflow.Run.open and featflow.list_runs; sys.exit(0)")
    assert "pyarrow" in used
    assert not used & OF_FEW


def test_a_run_of_a_plain_table_loads_what_it_computes_with(configured):
    """Rows that belong together, missing values, ties and strings take no torch."""
    modules = by_command("run", configured, "--json")
    assert not modules & OF_FEW
    assert {"featflow.pipeline.pipeline", "scipy"} <= modules


def test_a_run_that_changes_nothing_loads_no_pipeline(configured):
    """Without drift no analysis either: nothing is compared."""
    quiet = ("run", configured, "--json", "--set", "analyses.drift=false")
    by_command(*quiet)
    assert not by_command(*quiet) & (OF_FEW | {"scipy", "featflow.analyses.catalogue", "featflow.pipeline.pipeline"})
    by_command("run", configured, "--json")
    again = by_command("run", configured, "--json")
    assert not again & (OF_FEW - {"polars"} | {"featflow.pipeline.pipeline"})


def test_a_server_of_lineage_is_told_by_its_own_client(configured):
    """Nobody listens there: a warning, and the client was loaded."""
    modules = by_command("run", configured, "--json", "--set", "lineage.url=http://127.0.0.1:9", "--rebin")
    assert "openlineage" in modules
    assert not modules & (OF_FEW - {"openlineage", "polars"})
