"""Frames of Python: results are those of the same data in a Parquet file, bit for bit, whatever the library."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import duckdb
import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as pa_dataset
import pyarrow.parquet as pq
import pytest
from datasets import mixed_table

import featflow
from featflow.dataset.conversion import FOLDER
from featflow.errors import ConfigurationError, DatasetError, SchemaError
from featflow.pipeline import garbage
from featflow.pipeline.notebook_progress import NotebookProgress, notebook_progress
from featflow.storage.store import Store

OPTIONS = {"targets": ["target"], "exclude": ["nested"], "engine": {"kind": "serial"}, "lineage": False}
FLAT = mixed_table(1200).drop_columns("nested")
TABLES = ("profile", "ranking", "correlation", "interaction")


def options(**others):
    return OPTIONS | {"exclude": []} | others


@pytest.fixture(scope="module")
def truth(tmp_path_factory) -> featflow.Run:
    folder = tmp_path_factory.mktemp("truth")
    pq.write_table(FLAT, folder / "frame.parquet")
    return featflow.run(folder / "frame.parquet", output=folder / "out", **options())


FRAMES = {
    "arrow": lambda: FLAT,
    "dataset": lambda: pa_dataset.dataset(FLAT),
    "reader": FLAT.to_reader,
    "polars": lambda: pl.from_arrow(FLAT),
    "lazy": lambda: pl.from_arrow(FLAT).lazy(),
    "pandas": FLAT.to_pandas,
    "pandas of arrow": lambda: FLAT.to_pandas(types_mapper=pd.ArrowDtype),
    "narwhals": lambda: nw.from_native(pl.from_arrow(FLAT)),
    "narwhals of pandas": lambda: nw.from_native(FLAT.to_pandas()),
    "narwhals lazy": lambda: nw.from_native(pl.from_arrow(FLAT).lazy()),
    "duckdb": lambda: duckdb.from_arrow(FLAT),
    "capsule": lambda: SimpleCapsule(FLAT),
}


class SimpleCapsule:
    """A frame of a library that only speaks Arrow's C stream interface."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("library", FRAMES)
def test_results_are_those_of_the_same_data_as_parquet(library, truth):
    run = featflow.run(FRAMES[library](), **options())
    for name in TABLES:
        # polars' texts are "large" ones of Arrow, and the profile names types as they are.
        assert run.table(name).drop("type", strict=False).equals(truth.table(name).drop("type", strict=False)), name
    assert run.manifest["inputs"][0]["uri"].startswith("frame:")


def test_a_frame_of_a_hundred_thousand_rows_is_ranked_in_one_call(tmp_path):
    random = np.random.default_rng(1)
    x = random.normal(size=100_000)
    noise, word = random.normal(size=100_000), random.integers(0, 9, 100_000).astype(str)
    frame = pd.DataFrame({"noise": noise, "x": x, "word": word, "y": x + random.normal(size=100_000) > 0})
    ranking = featflow.run(frame, targets=["y"]).table("ranking")
    assert ranking["feature"][0] == "x"
    frame.to_parquet(tmp_path / "frame.parquet")
    assert featflow.run(tmp_path / "frame.parquet", targets="y").table("ranking").equals(ranking)


def test_a_frame_runs_on_ray(truth):
    run = featflow.run(FLAT, **options(engine={"kind": "ray"}))
    assert run.manifest["engine"] == "ray"
    assert run.table("ranking").equals(truth.table("ranking"))


def test_the_same_frame_finds_its_states(tmp_path):
    first = featflow.run(FLAT, output=tmp_path, **options())
    assert featflow.run(FLAT, output=tmp_path, **options()).manifest["unchanged_since"] == first.run_id
    again = featflow.run(FLAT, output=tmp_path, **options(budget={"bad_rows": 0.5}))
    assert again.manifest["shards"] == {"total": 1, "computed": 0, "reused": 1}
    other = featflow.run(FLAT.slice(1), output=tmp_path, **options())
    assert other.manifest["shards"]["computed"] == 1


def test_garbage_is_what_no_kept_run_was_given(tmp_path):
    featflow.run(FLAT, output=tmp_path, **options())
    last = featflow.run(FLAT.slice(1), output=tmp_path, **options())
    garbage.remove(str(tmp_path), 1)
    kept = Path(last.manifest["inputs"][0]["parquet"]).name
    assert Store(str(tmp_path)).names(FOLDER) == [kept]
    assert last.plan().rows == FLAT.num_rows - 1
    assert featflow.run(FLAT.slice(1), output=tmp_path, **options()).manifest["unchanged_since"] == last.run_id


def test_a_temporary_output_goes_with_its_run():
    run = featflow.run(FLAT, **options())
    folder = Path(run.store.root)
    assert folder.is_dir()
    del run
    assert not folder.exists()


def test_nothing_is_left_where_a_run_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(SchemaError, match="no column 'absent'"):
        featflow.run(FLAT, **options(targets=["absent"]))
    with pytest.raises(ConfigurationError, match=r"'dataset\.taget' is not a known key"):
        featflow.run(FLAT, **options(taget="x"))
    assert list(tmp_path.iterdir()) == []


def test_what_pandas_has_of_its_own():
    frame = pd.DataFrame(
        {
            "whole": pd.array([1, None, 3] * 50, "Int64"),
            "level": pd.Categorical(["low", "high", None] * 50),
            "truth": pd.array([True, None, False] * 50, "boolean"),
            ("pair", 1): np.arange(150) % 7,
            7: np.arange(150) % 5,
            "y": [0, 1, 1] * 50,
        },
        index=pd.Index(np.arange(150) % 3, name="group"),
    )
    run = featflow.run(frame, targets=["y"], engine={"kind": "serial"})
    profile = {row["column"]: row for row in run.table("profile").to_dicts()}
    assert set(profile) == {"group", "whole", "level", "truth", "pair.1", "7", "y"}
    assert [profile[name]["missing"] for name in ("whole", "level", "truth", "group")] == [50, 50, 50, 0]
    without = featflow.run(frame.rename_axis(None), targets=["y"], engine={"kind": "serial"})
    assert "group" not in without.table("profile")["column"].to_list()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (pd.DataFrame({"mixed": [1, "a", 2.5], "y": [0, 1, 0]}), "column 'mixed' of the frame holds float, int, str"),
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "the frame has two columns named 'a'"),
        (pd.DataFrame([[1, 2]], columns=["1", 1]), "the frame has two columns named '1'"),
        (pa.table([[1], [2]], names=["b", "b"]), "the frame has two columns named 'b'"),
        (pd.DataFrame({"z": [1j]}), "column 'z' of the frame holds complex"),
        (pa.table({"gap": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}), "column 'gap' is month_day_nano"),
        (pl.DataFrame({"a": pl.Series([1, 2], dtype=pl.Int128)}), "column 'a' of the frame holds integers of 128 bits"),
    ],
)
def test_columns_that_cannot_be_read_are_named(frame, message):
    with pytest.raises(SchemaError, match=message):
        featflow.run(frame)


@pytest.mark.parametrize("odd", [5, pl.Series([1]), pd.Series([1]), np.arange(3), object()])
def test_what_is_no_frame(odd):
    with pytest.raises(ConfigurationError, match="is neither a configuration, nor a source, nor a polars, pandas"):
        featflow.run(odd)


def test_options_beside_a_configuration(tmp_path):
    settings = {"dataset": {"source": "x"}, "output": str(tmp_path)}
    with pytest.raises(ConfigurationError, match="'targets' goes into dataset of the configuration"):
        featflow.run(settings, targets=["y"])
    with pytest.raises(ConfigurationError, match="all machines of the cluster reach"):
        featflow.run(FLAT, engine={"address": "auto"})
    with pytest.raises(ConfigurationError, match="'output' is required"):
        featflow.run({"dataset": {"source": "x"}})
    with pytest.raises(DatasetError, match="no such frame at"):
        featflow.run("frame:0123", output=tmp_path, format="auto")


def test_what_a_run_gives(truth, tmp_path):
    written = truth.report(tmp_path / "report.html")
    assert Path(written).read_text().startswith("<!doctype html>")
    assert Path(truth.report()).parent == Path(truth.uri)
    planned = truth.plan()
    assert (planned.rows, planned.profile_shards, planned.relation_shards) == (1200, 0, 0)
    other = featflow.run(pa.table(FLAT.to_pandas().assign(x=5.0)), output=tmp_path / "out", **options())
    drift = other.compare(truth)
    assert drift.columns == pl.from_arrow(truth.arrow("drift")).columns
    assert "x" in drift.filter(pl.col("alert"))["feature"].to_list()
    assert drift.equals(other.compare(truth.uri))
    assert repr(truth) == f"<featflow run {truth.run_id}: 1,200 rows, {len(truth.tables)} tables>"
    assert featflow.Run.open(truth.store.root).report(tmp_path / "again.html")
    assert [type(run) for run in featflow.list_runs(truth.store.root)] == [featflow.Run]
    assert featflow.__version__.count(".") == 2


def test_the_first_screen_of_a_notebook():
    frame = pl.DataFrame({"<b>": [0, 1] * 60, "y": [0, 1] * 60, "same": [1] * 120})
    run = featflow.run(frame, targets=["y"], engine={"kind": "serial"})
    html = run._repr_html_()
    assert "120 rows; 3 columns; 1 of 1 shards computed" in html
    assert "What tells about y" in html
    assert "&lt;b&gt;" in html
    assert "<b>" not in html.replace("<b>featflow</b>", "")
    assert len(html) < 20_000


def test_a_plan_of_a_frame():
    planned = featflow.plan(FLAT, **options())
    assert (planned.rows, planned.targets, planned.profile_shards) == (1200, ["target"], 1)


def test_progress_is_shown_in_a_notebook_alone(monkeypatch):
    shown = []
    handle = SimpleNamespace(update=shown.append)
    display = SimpleNamespace(HTML=str, display=lambda *_, **__: handle)
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert notebook_progress() is None
    terminal = SimpleNamespace(get_ipython=SimpleNamespace, display=display)
    monkeypatch.setitem(sys.modules, "IPython", terminal)
    assert notebook_progress() is None
    kernel = SimpleNamespace(get_ipython=lambda: SimpleNamespace(kernel=1), display=display)
    monkeypatch.setitem(sys.modules, "IPython", kernel)
    assert isinstance(notebook_progress(), NotebookProgress)
    featflow.run(FLAT.select(["x", "target"]), targets=["target"], engine={"kind": "serial"})
    assert any("reading: profile" in text and "0 of 1" in text for text in shown)
    assert any("reading: profile" in text and "1 of 1" in text for text in shown)


def test_intervals_and_periods_of_pandas_are_words():
    frame = pd.DataFrame({"age": [None, *np.arange(99.0) % 37], "y": np.arange(100) % 2})
    frame["part"] = pd.cut(frame["age"], [0, 12, 40], right=False)
    frame["day"] = pd.period_range("2024-01-01", periods=100, freq="D")
    rows = (
        featflow.run(frame, targets=["y"], analyses={"interaction": False})
        .table("profile")
        .rows_by_key("column", named=True)
    )
    (part,), (day,) = rows["part"], rows["day"]
    assert part["missing"] == 1
    assert {each["value"] for each in part["top_values"]} == {"[0, 12)", "[12, 40)"}
    assert (day["distinct"], day["type"]) == (100, "string")
