"""The command line as a user runs it: a real process, its output, its exit code."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import yaml
from datasets import write_parts

import featflow
from featflow.analyses.catalogue import TABLES
from featflow.errors import FeatflowError
from featflow.pipeline.job import run as run_job


def featflow_command(*arguments, **more):
    command = [sys.executable, "-m", "featflow", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, **more)


@pytest.fixture
def config(tmp_path, mixed):
    values = {
        "dataset": {"source": write_parts(mixed, tmp_path / "data", 3), "targets": ["target"]},
        "output": str(tmp_path / "out"),
        "engine": {"kind": "serial"},
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_run_plan_and_runs_as_json(config, tmp_path):
    planned = json.loads(featflow_command("plan", config, "--json").stdout)
    assert (planned["rows"], planned["shards"], planned["profile_shards"]) == (6_000, 3, 3)
    assert planned["relation_shards"] is None
    assert not (tmp_path / "out").exists()

    done = featflow_command("run", config, "--json", "--set", "codebook.bins=32")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["status"] == "done"
    assert set(result) >= {"status", "run", "tables", "rows", "shards", "seconds", "warnings"}
    not_written = {"embedding", "embedding_profile", "ranking_window", "information_value", "group", "selection"}
    assert set(result["tables"]) == set(TABLES) - not_written
    assert result["rows"] == {"footers": 6_000, "read": 6_000, "quarantined": 0}
    assert result["shards"] == {"total": 3, "computed": 3, "reused": 0}
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert {"stage", "done", "total", "rows", "rows_per_second", "seconds_left"} <= set(lines[-1])

    planned = json.loads(featflow_command("plan", config, "--json", "--set", "codebook.bins=32").stdout)
    assert (planned["profile_shards"], planned["relation_shards"]) == (0, 0)
    listed = json.loads(featflow_command("runs", tmp_path / "out", "--json").stdout)
    assert [run["run"] for run in listed] == [result["run"]]
    assert featflow.Run.open(str(tmp_path / "out")).manifest["config"]["codebook"]["bins"] == 32


def test_run_on_a_local_ray_that_it_starts(config):
    done = featflow_command("run", config, "--json", "--set", "engine.kind=ray")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["shards"]["computed"] == 3


def test_run_for_people(config):
    done = featflow_command("run", config)
    assert done.returncode == 0
    assert "What tells about target (nats)" in done.stdout
    assert "6,000 rows, 0 quarantined" in done.stdout
    shown = featflow_command("plan", config)
    assert "0 to compute, 3 reused" in shown.stdout


def test_errors_name_the_key_and_exit_with_their_code(config):
    done = featflow_command("run", config, "--set", "dataset.target=[x]")
    assert done.returncode == 2
    assert "'dataset.target' is not a known key; did you mean 'targets'?" in done.stderr
    assert "Traceback" not in done.stderr
    done = featflow_command("run", config, "--json", "--set", "dataset.source=/nowhere/at-all")
    assert done.returncode == 2
    assert json.loads(done.stdout)["exit_code"] == 2


@pytest.mark.parametrize("arguments", [["run"], ["nonsense"], ["run", "x", "--no-such-option"]])
def test_wrong_usage_exits_2(arguments):
    done = featflow_command(*arguments)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["run", "plan", "demo", "schema", "runs"])
def test_every_command_has_help(command):
    done = featflow_command(command, "--help")
    assert done.returncode == 0
    assert "Usage" in done.stdout


def test_schema_prints_what_is_published():
    described = json.loads(featflow_command("schema", "ranking").stdout)
    assert [field["name"] for field in described["fields"]] == TABLES["ranking"].schema.names
    assert "dataset" in json.loads(featflow_command("schema", "config").stdout)["properties"]
    assert featflow_command("schema", "rankin").returncode == 2
    assert all(name in featflow_command("schema").stdout for name in TABLES)


def test_demo_finds_what_it_planted(tmp_path):
    done = featflow_command("demo", "--rows", 60_000, "--output", tmp_path / "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
    assert done.stdout.count("✓") >= 12


def test_demo_says_when_it_does_not_find(tmp_path, monkeypatch):
    """The demo's verdicts are computed: on other data they fail."""
    import polars as pl

    from featflow.cli import demo

    source = demo.write_dataset(str(tmp_path), 20_000)
    shuffled = pl.read_parquet(f"{source}/*.parquet").with_columns(pl.col("converted").shuffle(seed=1))
    for path in (tmp_path / "data").iterdir():
        path.unlink()
    shuffled.write_parquet(tmp_path / "data" / "all.parquet")
    config = demo.configuration(source, str(tmp_path / "results"))
    done = run_job(config.model_copy(update={"engine": config.engine.model_copy(update={"kind": "serial"})}))
    assert sum(not finding.ok for finding in demo.findings(done)) >= 6


def test_demo_says_when_nothing_is_known(tmp_path):
    """Rows of one customer have neither p-values nor intervals; the demo says so instead of ending."""
    import polars as pl

    from featflow.cli import demo

    source = demo.write_dataset(str(tmp_path), 3_000)
    config = demo.configuration(source, str(tmp_path / "results"))
    done = run_job(config.model_copy(update={"engine": config.engine.model_copy(update={"kind": "serial"})}))
    unknown = {
        "ranking": ("p_value", "q_value", "ci_low", "ci_high", "noise_rank"),
        "interaction": ("p_value", "q_value", "ci_low", "ci_high"),
    }

    class Unknown:
        manifest = done.manifest

        @staticmethod
        def table(name):
            table = done.table(name)
            return table.with_columns(
                pl.lit(None, table.schema[column]).alias(column) for column in unknown.get(name, ())
            )

    found = demo.findings(Unknown())
    assert "None" not in " ".join(each.found for each in found if "alerts" not in each.found)


def test_python_takes_a_path_or_a_mapping(config):
    done = featflow.run(str(config))
    assert done.table("profile").height == 12
    with pytest.raises(FeatflowError, match="has no table 'rankings'"):
        done.table("rankings")
    with pytest.raises(FeatflowError, match="no finished run"):
        featflow.Run.open(str(config.parent / "elsewhere"))
