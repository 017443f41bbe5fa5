"""Runs appended to Delta and Iceberg tables: all rows under the run's id, once."""

from __future__ import annotations

import json
from types import SimpleNamespace

import polars as pl
import pyarrow as pa
import pytest
from lake_tables import delta_rows, rows, run, sql_catalog

from featflow.cli.main import app
from featflow.dataset.sources.storage import delta_options
from featflow.errors import ConfigurationError, DatasetError
from featflow.export.tables.delta import export_delta
from featflow.export.tables.iceberg import export_iceberg


@pytest.fixture
def two_runs(tmp_path):
    pa.parquet.write_table(rows(200), tmp_path / "a.parquet")
    options = {"targets": ["level"]}
    first = run(str(tmp_path / "a.parquet"), tmp_path / "out", **options)
    pa.parquet.write_table(rows(300, 1), tmp_path / "a.parquet")
    return first, run(str(tmp_path / "a.parquet"), tmp_path / "out", **options)


@pytest.fixture(params=["delta", "iceberg"])
def lake(request, tmp_path):
    """What exports a run, and reads a table back."""
    pytest.importorskip("deltalake" if request.param == "delta" else "pyiceberg")
    if request.param == "delta":
        uri = str(tmp_path / "lake")
        return SimpleNamespace(
            export=lambda uri_of_run, **options: export_delta(uri_of_run, uri, **options),
            read=lambda name: delta_rows(f"{uri}/{name}"),
        )
    catalog, properties = sql_catalog(tmp_path / "lake")
    return SimpleNamespace(
        export=lambda uri_of_run, **options: export_iceberg(uri_of_run, "lake.results", catalog=properties, **options),
        read=lambda name: catalog.load_table(f"results.{name}").scan().to_arrow(),
    )


def test_every_run_is_appended_once(lake, two_runs):
    for done in two_runs:
        appended = lake.export(done.uri)
        assert appended.rows == {name: done.arrow(name).num_rows for name in done.tables}
        assert not any(lake.export(done.uri).rows.values())
    for name in two_runs[0].tables:
        if not any(done.arrow(name).num_rows for done in two_runs):
            continue
        read = pl.from_arrow(lake.read(name))
        for done in two_runs:
            own, written = read.filter(run_id=done.run_id).drop("run_id"), done.table(name)
            keys = written.columns[:2]
            assert own.select(written.columns).sort(keys).equals(written.sort(keys), null_equal=True), name


def test_some_tables_only(lake, two_runs):
    assert list(lake.export(two_runs[0].uri, tables=["profile"]).rows) == ["profile"]
    with pytest.raises(DatasetError, match="has no table 'nothing'"):
        lake.export(two_runs[0].uri, tables=["nothing"])


def test_a_table_with_fewer_columns_gets_those_it_lacks(lake, two_runs, monkeypatch):
    from featflow.storage.run import Run

    part = Run.part
    monkeypatch.setattr(Run, "part", lambda self, path, columns=None: part(self, path, columns).drop_columns(["mean"]))
    lake.export(two_runs[0].uri, tables=["profile"])
    monkeypatch.undo()
    lake.export(two_runs[1].uri, tables=["profile"])
    means = pl.from_arrow(lake.read("profile")).group_by("run_id").agg(pl.col("mean").count()).to_dict(as_series=False)
    counts = dict(zip(means["run_id"], means["mean"], strict=True))
    assert counts[two_runs[0].run_id] == 0 < counts[two_runs[1].run_id]


def test_the_commands(two_runs, tmp_path, capsys, monkeypatch):
    pytest.importorskip("deltalake")
    pyiceberg = pytest.importorskip("pyiceberg.utils.config")
    _, properties = sql_catalog(tmp_path / "lake")
    for key, value in properties.items():
        monkeypatch.setenv(f"PYICEBERG_CATALOG__LAKE__{key.upper()}", value)
    monkeypatch.setattr("pyiceberg.catalog._ENV_CONFIG", pyiceberg.Config())
    for arguments in (["delta", str(tmp_path / "out")], ["iceberg", str(tmp_path / "out"), "--to", "lake.results"]):
        for expected in (7, 0):
            app(["export", *arguments, "--table", "profile", "--json"], standalone_mode=False)
            assert json.loads(capsys.readouterr().out)["rows"] == {"profile": expected}
    assert (tmp_path / "out/delta/profile/_delta_log").is_dir()


def test_a_catalog_by_options_of_the_command(two_runs, tmp_path, capsys, monkeypatch):
    pytest.importorskip("pyiceberg")
    _, properties = sql_catalog(tmp_path / "lake")
    monkeypatch.setenv("OF_A_TEST", properties.pop("uri"))
    options = [f"--catalog={key}={value}" for key, value in (properties | {"uri": "${env:OF_A_TEST}"}).items()]
    arguments = ["export", "iceberg", str(tmp_path / "out"), "--to", "unnamed.results", "--table", "profile"]
    app([*arguments, *options, "--json"], standalone_mode=False)
    assert json.loads(capsys.readouterr().out)["rows"] == {"profile": 7}
    for more, said in (
        ([], "'unnamed': it has no type and no uri; .* or in --catalog$"),
        (["--catalog=uri"], "--catalog: write KEY=VALUE"),
        (["--catalog=type=made up"], "--catalog"),
        (["--catalog=uri=${env:NO_SUCH_VARIABLE}"], r"^--catalog\.uri: "),
    ):
        with pytest.raises(ConfigurationError, match=said) as caught:
            app([*arguments, *more], standalone_mode=False)
        assert "dataset." not in str(caught.value)
        assert "--uri" not in str(caught.value)


def test_delta_tables_on_an_object_store(two_runs, moto_options, monkeypatch):
    pytest.importorskip("deltalake")
    for name, value in delta_options(moto_options).items():
        monkeypatch.setenv(name, value)
    export_delta(two_runs[0].uri, "s3://lake/results", ["profile"])
    assert delta_rows("s3://lake/results/profile").num_rows == two_runs[0].arrow("profile").num_rows


def test_where_to_is_said(two_runs):
    with pytest.raises(ConfigurationError, match=r"write CATALOG\.NAMESPACE"):
        export_iceberg(two_runs[0].uri, "lake")
