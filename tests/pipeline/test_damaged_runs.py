"""A night after a run of which something is damaged or gone: it goes on, and says what that costs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from datasets import mixed_table, write_parts

import featflow
from featflow.errors import ConfigurationError, DamagedError

COLUMNS = ["x", "y", "city", "target"]


def night(folder, **more):
    config = {
        "dataset": {"source": str(folder / "data"), "targets": ["target"]},
        "output": str(folder / "out"),
        "engine": {"kind": "serial"},
        "analyses": {"correlation": False, "interaction": False},
    }
    return featflow.run(config | more)


@pytest.fixture(scope="module")
def two_nights(tmp_path_factory):
    """An output of two runs, and data that has a file more since."""
    folder = tmp_path_factory.mktemp("nights")
    table = mixed_table(900).select(COLUMNS)
    for files in (1, 2):
        write_parts(table.slice(0, 300 * files), folder / "data", files)
        night(folder)
    write_parts(table, folder / "data", 3)
    return folder


@pytest.fixture
def lake(two_nights, tmp_path):
    """The same, where it can be damaged: data stay where they are."""
    shutil.copytree(two_nights / "out", tmp_path / "out")
    (tmp_path / "data").symlink_to(two_nights / "data")
    return tmp_path


def runs(folder):
    return [run.run_id for run in featflow.list_runs(str(folder / "out"))]


def damage(path: Path, how: str) -> None:
    data = path.read_bytes()
    changed = {
        "empty": b"",
        "cut": data[: len(data) // 2],
        "flipped": data[:40] + bytes([data[40] ^ 1]) + data[41:] if len(data) > 40 else b"?" + data[1:],
        "other types": json.dumps(["not", "this"]).encode(),
    }
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(changed[how])


def about_before(run):
    return [text for text in run.manifest["warnings"] if text.startswith("run before: ")]


def test_a_sound_output_needs_no_warning(lake):
    last = runs(lake)[-1]
    done = night(lake)
    assert about_before(done) == []
    assert done.manifest["analyses"]["drift"]["previous"] == last


@pytest.mark.parametrize("how", ["gone", "empty", "flipped"])
def test_without_latest_a_night_follows_the_newest_run(lake, how):
    *_, last = runs(lake)
    codebook = featflow.Run.open(str(lake / "out")).manifest["codebook"]
    damage(lake / "out" / "LATEST", how)
    done = night(lake)
    (said,) = about_before(done)
    assert "LATEST" in said
    assert f"follows {last}" in said
    assert done.manifest["codebook"] == codebook
    assert done.manifest["analyses"]["drift"]["previous"] == last
    assert featflow.Run.open(str(lake / "out")).run_id == done.run_id


@pytest.mark.parametrize("how", ["gone", "empty", "cut", "flipped", "other types"])
def test_without_its_manifest_a_night_follows_the_run_before_that(lake, how):
    first, last = runs(lake)
    damage(lake / "out" / "runs" / last / "manifest.json", how)
    with pytest.raises(DamagedError, match=r"manifest\.json"):
        featflow.Run.open(str(lake / "out"))
    done = night(lake)
    (said,) = about_before(done)
    assert f"{last}/manifest.json" in said
    assert f"follows {first}" in said
    assert done.manifest["analyses"]["drift"]["previous"] == first


def test_a_lost_basis_is_said(lake):
    for run in runs(lake):
        damage(lake / "out" / "runs" / run / "manifest.json", "cut")
    done = night(lake)
    (said,) = about_before(done)
    assert "codings are made anew, and nothing is compared" in said
    assert done.manifest["analyses"]["drift"]["previous"] is None


def test_where_no_run_was_for_readers_nothing_is_lost(lake):
    shutil.rmtree(lake / "out")
    night(lake, latest=False)
    assert about_before(night(lake)) == []


@pytest.mark.parametrize("how", ["gone", "empty", "flipped"])
@pytest.mark.parametrize("table", ["ranking", "drift"])
def test_a_damaged_table_costs_its_comparison(lake, table, how):
    *_, last = runs(lake)
    damage(lake / "out" / "runs" / last / "tables" / f"{table}.parquet", how)
    done = night(lake)
    (said,) = [text for text in done.manifest["warnings"] if f"{table}.parquet" in text]
    assert said.startswith("drift: not compared" if table == "ranking" else "drift: how long changes have lasted")
    assert bool(done.table("drift").height) == (table == "drift")


@pytest.mark.parametrize("how", ["gone", "cut"])
def test_a_lost_codebook_is_made_anew(lake, how):
    done = featflow.Run.open(str(lake / "out"))
    damage(lake / "out" / "states" / "codebook" / f"{done.manifest['codebook']}.arrow", how)
    again = night(lake)
    (said,) = about_before(again)
    assert done.manifest["codebook"] in said
    assert "codings are made anew" in said
    with pytest.raises((ConfigurationError, DamagedError), match="aaaaaaaaaaaaaaaa"):
        night(lake, codebook={"version": "a" * 16})
    damage(lake / "out" / "states" / "codebook" / f"{again.manifest['codebook']}.arrow", how)
    mended = night(lake)  # also of data that did not change
    assert len(about_before(mended)) == 1
    assert "unchanged_since" not in mended.manifest
    assert night(lake).manifest["unchanged_since"] == mended.run_id


@pytest.mark.parametrize("how", ["gone", "cut"])
def test_a_lost_state_costs_its_comparison(lake, how):
    manifest = featflow.Run.open(str(lake / "out")).manifest
    (path,) = [entry["path"] for entry in manifest["states"]["whole"] if entry["summary"] == "moments"]
    damage(lake / "out" / path, how)
    done = night(lake)
    assert any("not compared" in text and path in text for text in done.manifest["warnings"])


def test_a_damaged_pinned_run_costs_its_comparison(lake):
    first, last = runs(lake)
    damage(lake / "out" / "runs" / first / "manifest.json", "cut")
    analyses = {"correlation": False, "interaction": False, "drift": {"reference": first}}
    done = night(lake, analyses=analyses)
    assert any(f"not compared with run {first}" in text for text in done.manifest["warnings"])
    assert set(done.table("drift")["reference_run"]) == {last}


def test_damaged_caches_are_made_again_without_a_word(lake):
    damage(lake / "out" / "states" / "footers.arrow", "cut")
    (lake / "out" / "states" / "contents.json").write_text('{"a": [NaN]}')
    assert about_before(night(lake)) == []


def test_a_night_that_changes_nothing_says_so_of_a_damaged_latest(lake):
    done = night(lake)
    damage(lake / "out" / "LATEST", "empty")
    again = night(lake)
    assert again.manifest["unchanged_since"] == done.run_id
    assert len(about_before(again)) == 1
    assert about_before(night(lake)) == []
