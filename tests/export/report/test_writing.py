"""Where a report goes, how large it is, and what it says where images cannot be read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from featflow.analyses.catalogue import ANALYSES
from featflow.analyses.correlation.tables import CORRELATION
from featflow.analyses.profile.tables import PROFILE
from featflow.analyses.ranking.tables import RANKING
from featflow.analyses.reporting.limits import MOST_BYTES, PageLimits
from featflow.errors import ConfigurationError
from featflow.export.report.writing import report, write_report
from featflow.storage.run import Run
from featflow.storage.run_writer import RunWriter
from featflow.storage.store import Store
from featflow.storage.tables import QUARANTINE

COLUMNS, TARGETS = 10_000, 3


def wide_run(root: Path, like: Run) -> Run:
    """A run of 10,000 columns whose names are long, with as much in its tables as a real one."""
    random, store = np.random.default_rng(0), Store(str(root))
    names = [f"{place:05d} <column> " + "x" * 300 for place in range(COLUMNS)]
    writer = RunWriter(store, "20260101T000000Z-000000")
    many = {"rows": [1000] * COLUMNS, "missing": [1] * COLUMNS, "kind": ["number"] * COLUMNS}
    values = random.normal(size=(7, COLUMNS))
    many |= dict.fromkeys(("mean", "std", "min", "max", "entropy"), values[0])
    many |= {"quantiles": np.sort(values, axis=0).T.tolist(), "histogram": [list(range(24))] * COLUMNS}
    many |= {"top_values": [[{"value": name, "count": 7}] for name in names], "alerts": [["skewed"]] * COLUMNS}
    writer.write(PROFILE, [PROFILE.build({"column": names, **many})])
    ranks = np.arange(1, COLUMNS + 1)
    score = np.sort(random.random(COLUMNS))[::-1]
    for_target = {"rank": ranks, "feature": names, "corrected_mi": score, "ci_low": score / 2, "ci_high": score * 2}
    for_target |= {"null_std": score / 9, "expected_mi": score / 8, "q_value": score, "significant": ranks < 5_000}
    for_target |= {
        "noise_rank": np.full(COLUMNS, 5_000),
        "rank_low": ranks,
        "rank_high": ranks,
        "alerts": [["a"]] * COLUMNS,
    }
    ranked = [RANKING.build({"target": [f"target {i}"] * COLUMNS, **for_target}) for i in range(TARGETS)]
    writer.write(RANKING, [pa.concat_tables(ranked)])
    pairs = {side: [names[i] for i in random.integers(0, COLUMNS, 60_000)] for side in ("feature_a", "feature_b")}
    pairs |= {"method": ["pearson"] * 60_000, "value": random.uniform(-1, 1, 60_000), "n": [1000] * 60_000}
    writer.write(CORRELATION, [CORRELATION.build(pairs)])
    writer.write(QUARANTINE, [QUARANTINE.build({"uri": ["u" * 5_000] * 3_000, "reason": ["gone"] * 3_000})])
    manifest = {**like.manifest, "run": writer.run_id, "tables": writer.tables, "warnings": ["w" * 9_000] * 5_000}
    return Run(store, writer.run_id, json.loads(json.dumps(manifest)))


def test_a_page_has_at_most_8_megabytes_at_any_number_of_columns(bare_run, tmp_path, look):
    wide = wide_run(tmp_path / "wide", bare_run)
    path = write_report(wide, str(tmp_path / "wide.html"))
    assert 2_000_000 < Path(path).stat().st_size <= MOST_BYTES
    looked = look(path)
    assert looked.errors == []
    text = looked.page.locator("main").inner_text()
    assert "From rank 5,000 on nothing is" in text
    assert "120 columns of the strongest pairs" in text
    assert f"1 to 50 of {COLUMNS:,}" in text
    assert f"of {COLUMNS * TARGETS:,} rows" in text
    assert "4,800 more warnings" in text
    looked.page.locator("[data-listing=profile-rows] input").fill("02345")
    assert looked.page.locator("[data-listing=profile-rows] tbody tr").count() == 1


def test_it_lies_beside_the_run_or_where_it_is_wanted(bare_run, tmp_path):
    beside = write_report(bare_run)
    assert beside == f"{bare_run.uri}/report.html"
    assert Path(beside).read_bytes() == Path(write_report(bare_run, str(tmp_path / "a" / "b.html"))).read_bytes()
    with pytest.raises(ConfigurationError, match="is a folder"):
        write_report(bare_run, f"{tmp_path}/")


def test_the_command_says_where_it_is(bare_run, tmp_path):
    command = [sys.executable, "-m", "featflow", "report", bare_run.uri, "--to", "here.html"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"status": "done", "report": str(tmp_path / "here.html")}
    assert (tmp_path / "here.html").read_text().startswith("<!doctype html>")


def test_what_does_not_fit_is_cut_and_said(hostile_run):
    limits = PageLimits(5)
    sections = [analysis.section(hostile_run, limits) for analysis in ANALYSES]
    listings = {made.name: made for section in sections if section for made in section.listings}
    assert set(listings) == {"profile", "ranking", "pairs", "interactions", "drift"}
    for made in listings.values():
        assert 0 < len(made.rows) <= limits.rows
        assert "irst" in made.caption or "the strongest" in made.caption
    assert {row[1] for row in listings["ranking"].rows} == {1, 2, 3, 4, 5}


def test_storage_takes_it_and_its_secrets_do_not_appear(bare_run, moto_options, tmp_path):
    store = Store("s3://lake/reported", moto_options)
    run = Run(store, bare_run.run_id, bare_run.manifest)
    for path in bare_run.store.sizes(f"runs/{bare_run.run_id}"):
        store.write(path, bare_run.store.read(path))
    assert write_report(run) == f"s3://lake/reported/runs/{bare_run.run_id}/report.html"
    page = store.read(f"runs/{bare_run.run_id}/report.html").decode()
    assert moto_options["secret"] not in page


def test_the_same_run_makes_the_same_tables(hostile_run):
    """Ids of figures are counted on; all else is the run's."""
    assert len(report(hostile_run)) == pytest.approx(len(report(hostile_run)), rel=1e-3)
