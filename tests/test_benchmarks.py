"""Benchmarks cannot rot: each runs here, small, with its own assertions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"
FLIGHTS = BENCHMARKS.parents[1] / "shared" / "data" / "hflights.parquet"


def run_benchmark(name, arguments, folder):
    command = [sys.executable, str(BENCHMARKS / name), *arguments, "--json", str(folder / "figures.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((folder / "figures.json").read_text())


@pytest.mark.slow
def test_memory_does_not_grow_with_rows(tmp_path):
    """Histograms and level counts are full from about 100,000 rows on; from there on nothing may grow."""
    arguments = ["--rows", "120000", "--group-rows", "8192", "--shard-bytes", "2MiB", "--engine", "serial"]
    figures = run_benchmark("memory.py", arguments, tmp_path)
    assert figures["ratio"] <= 1.15
    assert [run["rows"] for run in figures["runs"]] == [120_000, 1_200_000]


@pytest.mark.slow
def test_a_column_of_many_values_costs_what_its_hashed_counts_do(tmp_path):
    """Twice 100,000 rows of 100,000 values: beyond the exact limit from the first row group on."""
    arguments = ["--rows", "200000", "--distinct", "100000", "--group-rows", "65536", "--shard-bytes", "8MiB"]
    arguments += ["--draws", "200", "--engine", "serial", "--limit-mib", "256"]
    figures = run_benchmark("cardinality.py", arguments, tmp_path)
    assert figures["column"]["heavy"] == 20
    assert [run["rows"] for run in figures["runs"]] == [200_000, 200_000]


@pytest.mark.slow
def test_measures_of_pairs_say_what_scikit_learn_does(tmp_path):
    figures = run_benchmark("measures.py", ["--small"], tmp_path)
    assert {one["measure"] for one in figures["measures"]} >= {"mutual_information", "cramers_v", "interaction"}
    assert all(one["seconds"] > 0 for one in figures["measures"])


@pytest.mark.slow
def test_p_values_q_values_and_intervals_are_calibrated(tmp_path):
    """Fewer draws and wider limits than `make bench` has; line 5 needs data that a checkout may lack."""
    checks = run_benchmark("calibration.py", ["--small"], tmp_path)
    assert all(check["passed"] for check in checks)
    assert {check["line"] for check in checks} >= {"1", "2", "3", "3b", "3c", "4", "6", "clusters"}


@pytest.mark.slow
def test_p_values_count_units(tmp_path):
    """A few kinds of noise and effects; `make bench` has all."""
    checks = run_benchmark("units.py", ["--small"], tmp_path)
    assert all(check["passed"] for check in checks)
    assert {check["line"] for check in checks} == {"levels", "power", "trial", "fdr"}


def test_selection_keeps_every_signal_once_and_no_noise(tmp_path):
    """Four draws; `make bench` has 200, and models on real data beside peers."""
    checks = run_benchmark("selection.py", ["--small"], tmp_path)
    assert [check["value"] for check in checks] == [1.0, 1.0, 1.0]


def test_both_kernels_give_the_same_integers(tmp_path):
    """A few shapes of few rows; which one is faster says nothing here."""
    figures = run_benchmark("kernels.py", ["--small"], tmp_path)
    assert {case["picked"] for case in figures["cases"]} <= {"histogram", "product"}
    assert len(figures["cases"]) == 12


def test_the_device_counts_what_numpy_counts(tmp_path):
    figures = run_benchmark("device.py", ["--small"], tmp_path)
    assert figures["peaks"]["int8"] > 0
    assert {timed["columns"] for timed in figures["timed"]} == {20, 40}


def test_second_moments_equal_those_of_pandas_and_numpy(tmp_path):
    """Few rows; the times are asserted by `make bench` alone."""
    figures = run_benchmark("moments.py", ["--small"], tmp_path)
    assert len(figures) == 5
    assert all(figure["difference"] < 1e-3 for figure in figures)


@pytest.mark.parametrize("line", ["descriptors", "model", pytest.param("memory", marks=pytest.mark.slow)])
def test_every_image_is_there_and_a_model_says_what_it_says_alone(tmp_path, line):
    """A few images, smaller ones for the model; ratios are asserted by `make bench` alone."""
    figures = run_benchmark("images.py", ["--small", "--only", line], tmp_path)
    assert {check["line"] for check in figures["checks"]} == {line}
    assert all(check["passed"] for check in figures["checks"])
    assert len(figures[line]) >= 2


@pytest.mark.slow
@pytest.mark.parametrize("line", ["pairs", "fast", "job"])
def test_answers_agree_with_those_of_peers(tmp_path, line):
    figures = run_benchmark("peers.py", ["--small", "--only", line], tmp_path)
    assert figures["checks"]
    assert all(check["passed"] for check in figures["checks"])
    if line == "job":
        assert figures["job"]["jobs"]["serial"]["stages"]["total"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("line", ["wide", "widest", "rows", "columns"])
def test_answers_hold_at_every_size(tmp_path, line):
    figures = run_benchmark("scale.py", ["--small", "--engine", "serial", "--only", line], tmp_path)
    assert {check["line"] for check in figures["checks"]} == {line}
    assert all(check["passed"] for check in figures["checks"])


@pytest.mark.slow
def test_a_search_on_samples_finds_what_was_planted(tmp_path):
    figures = run_benchmark("search.py", ["--small", "--engine", "serial"], tmp_path)
    assert {check["line"] for check in figures["checks"]} == {"recall", "overlap"}
    assert all(check["passed"] for check in figures["checks"])
    assert all(run["search"]["pair_rows"] < 0.5 for run in figures["recall"])


@pytest.mark.slow
@pytest.mark.parametrize("line", ["driver", "workers", "server", "pairs", "halted", "every"])
def test_runs_survive_what_is_killed_and_each_other(tmp_path, line):
    """Faulty requests are those of `tests/faults/test_storage_faults.py`."""
    engine = "ray" if line == "workers" else "serial"
    figures = run_benchmark("faults.py", ["--small", "--engine", engine, "--only", line], tmp_path)
    assert {check["line"] for check in figures["checks"]} == {line}
    assert all(check["passed"] for check in figures["checks"])


@pytest.mark.slow
@pytest.mark.skipif(not FLIGHTS.exists(), reason="needs hflights.parquet")
def test_a_night_costs_its_shard_and_gives_what_all_days_give(tmp_path):
    """A few days on one server; `tests/test_nights.py` has both, and what a night costs is asserted by `make bench`."""
    figures = run_benchmark("nights.py", ["--small", "--engine", "serial", "--only", "moto"], tmp_path)
    assert all(check["passed"] for check in figures["checks"])
    assert figures["moto"][0]["computed"] == 1
