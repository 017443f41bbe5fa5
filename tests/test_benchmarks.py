"""Benchmarks cannot rot: each runs here, small, with its own assertions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.mark.slow
def test_memory_does_not_grow_with_rows(tmp_path):
    """Histograms and level counts are full from about 100,000 rows on; from there on nothing may grow."""
    arguments = ["--rows", "120000", "--group-rows", "8192", "--shard-bytes", "2MiB", "--engine", "serial"]
    command = [sys.executable, str(BENCHMARKS / "memory.py"), *arguments, "--json", str(tmp_path / "figures.json")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert figures["ratio"] <= 1.15
    assert [run["rows"] for run in figures["runs"]] == [120_000, 1_200_000]
