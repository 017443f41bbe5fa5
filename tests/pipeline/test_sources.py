"""Runs on sources that are no Parquet: equal to Parquet, night by night, on an object store; folders of pictures."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from datasets import mixed_table
from PIL import Image
from typer.testing import CliRunner

import featflow
from featflow.cli.main import app
from featflow.config import load
from featflow.dataset import conversion, pictures
from featflow.dataset.conversion import FOLDER
from featflow.dataset.files import DataFile
from featflow.dataset.formats import SUFFIXES
from featflow.dataset.listing import list_data_files
from featflow.dataset.pictures import picture_tables
from featflow.errors import BadDataError, ConfigurationError, DatasetError
from featflow.export.feast.repository import export_feast
from featflow.pipeline import garbage
from featflow.storage.store import Store
from featflow.transforms.images.formats import FORMATS

SERIAL = {"engine": {"kind": "serial"}, "lineage": False}
FLAT = (
    mixed_table(900)
    .drop_columns("nested")
    .append_column("at", pa.array([f"2024-01-{1 + i % 28:02d}" for i in range(900)]))
)


def write_csv(table: pa.Table, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pa_csv.write_csv(table, path)
    return path


def test_csv_tells_what_parquet_tells(tmp_path):
    table = FLAT.drop_columns("small")  # float32, of which text holds the digits of another double
    write_csv(table, tmp_path / "a.csv")
    parquet = table.set_column(table.schema.get_field_index("at"), "at", table["at"].cast(pa.date32()))
    (tmp_path / "other").mkdir()
    pq.write_table(parquet, tmp_path / "other" / "a.csv")  # of the same place
    csv = featflow.run(tmp_path / "a.csv", targets=["target"], **SERIAL)
    truth = featflow.run(tmp_path / "other" / "a.csv", format="parquet", targets=["target"], **SERIAL)
    for name in ("profile", "ranking", "correlation"):
        assert csv.table(name).drop("type", strict=False).equals(truth.table(name).drop("type", strict=False)), name


def test_nights_of_csv_read_new_files_only(tmp_path):
    for part in range(3):
        write_csv(FLAT.slice(300 * part, 300), tmp_path / "data" / f"{part}.csv")
    options = {"targets": ["target"], "output": tmp_path / "out"} | SERIAL
    first = featflow.run(tmp_path / "data", **options)
    assert [Path(entry["uri"]).name for entry in first.manifest["inputs"]] == ["0.csv", "1.csv", "2.csv"]
    write_csv(FLAT.slice(0, 100), tmp_path / "data" / "3.csv")
    second = featflow.run(tmp_path / "data", **options)
    assert second.manifest["shards"] == {"total": 4, "computed": 1, "reused": 3}
    assert featflow.run(tmp_path / "data", **options).manifest["unchanged_since"] == second.run_id
    (tmp_path / "data" / "0.csv").unlink()
    last = featflow.run(tmp_path / "data", **options)
    garbage.remove(str(tmp_path / "out"), 1)
    kept = {Path(entry["parquet"]).name for entry in last.manifest["inputs"]}
    assert len(kept) == 3
    assert set(Store(str(tmp_path / "out")).names(FOLDER)) == kept | {"types.arrow"}


def test_an_odd_file_counts_against_the_budget(tmp_path):
    write_csv(FLAT, tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("x,y\n1\n")
    with pytest.raises(BadDataError, match=r"b.csv: line 2 has 1 cells and line 1 has 2"):
        featflow.run(tmp_path, targets=["target"], output=tmp_path / "out", **SERIAL)
    run = featflow.run(tmp_path, targets=["target"], output=tmp_path / "out", budget={"bad_rows": 0.6}, **SERIAL)
    assert run.table("quarantine")["reason"].to_list() == ["unreadable_file"]
    assert run.manifest["rows"]["read"] == 900


def test_csv_on_an_object_store(moto_options, tmp_path):
    write_csv(FLAT, tmp_path / "a.csv")
    Store("s3://lake", moto_options).adopt("texts/a.csv", shutil.copy(tmp_path / "a.csv", tmp_path / "copy"))
    options = {"targets": ["target"], "storage_options": moto_options} | SERIAL
    run = featflow.run("s3://lake/texts/", output="s3://lake/texts-out", **options)
    local = featflow.run(tmp_path / "a.csv", targets=["target"], **SERIAL)
    assert run.table("ranking").equals(local.table("ranking"))
    assert run.manifest["inputs"][0]["parquet"].startswith("s3://lake/texts-out/states/converted/")
    assert run.plan().relation_shards == 0


def test_feast_takes_a_copy_of_csv(tmp_path):
    ids = FLAT.append_column("id", pa.array(range(900)))
    write_csv(ids, tmp_path / "a.csv")
    run = featflow.run(
        tmp_path / "a.csv", targets=["target"], entity=["id"], event_time="at", output=tmp_path / "out", **SERIAL
    )
    told = export_feast(run.store.root).public()
    assert any("its files are no Parquet" in note for note in told["notes"])
    (copy,) = told["views"].values()
    parts = [path for path in (tmp_path / "out").rglob("*.parquet") if copy in str(path)]
    assert pl.read_parquet(parts).height == 900


def test_two_commands_from_csv_to_a_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_csv(FLAT, tmp_path / "my flights.csv")
    ran = CliRunner().invoke(app, ["run", "my flights.csv", "--set", "dataset.targets=target"])
    assert ran.exit_code == 0, ran.output
    reported = CliRunner().invoke(app, ["report", "featflow-my-flights", "--to", "report.html"])
    assert reported.exit_code == 0, reported.output
    assert "What tells about" in ran.output
    assert (tmp_path / "report.html").read_text().count("target") > 10


def test_other_data_of_the_same_name_have_no_default_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        write_csv(FLAT, tmp_path / folder / "sales.csv")
    targets = ["--set", "dataset.targets=target"]
    for source in ("a/sales.csv", f"{tmp_path}/a/./sales.csv"):
        ran = CliRunner().invoke(app, ["run", source, *targets])
        assert ran.exit_code == 0, ran.output
    refused = CliRunner().invoke(app, ["run", "b/sales.csv", *targets])
    assert isinstance(refused.exception, ConfigurationError)
    assert "featflow-sales holds runs of" in str(refused.exception)
    assert "add --set output=FOLDER" in str(refused.exception)
    elsewhere = CliRunner().invoke(app, ["run", "b/sales.csv", *targets, "--set", "output=other"])
    assert elsewhere.exit_code == 0, elsewhere.output


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("air.csv", "featflow-air"),
        ("s3://lake/Air.2026.CSV.gz", "featflow-Air-2026"),
        ("s3://lake/flights/", "featflow-flights"),
        ("lake/flights/**/*.parquet", "featflow-flights"),
        ("lake/air-*.csv", "featflow-air"),
        ("iceberg:shop.lake.sales", "featflow-lake-sales"),
        ("iceberg:shop.lake.refunds", "featflow-lake-refunds"),
        ("delta:s3://lake/sales", "featflow-sales"),
        ("pictures:./holiday", "featflow-holiday"),
        ("pictures:holiday", "featflow-holiday"),
        ("*.csv", "featflow-data"),
    ],
)
def test_the_default_output_has_the_name_of_the_data(source, output):
    assert load(source).output == output


def write_pictures(root: Path, pictures: int) -> str:
    random = np.random.default_rng(4)
    for place, folder in enumerate(("cats", "dogs")):
        (root / folder).mkdir(parents=True)
        for number in range(pictures):
            pixels = random.normal(70 + 90 * place, 30, (16, 20, 3)).clip(0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(root / folder / f"{number}.{('png', 'JPG')[number % 2]}")
    (root / "cats" / ".hidden.png").write_bytes(b"none")
    (root / "notes.txt").write_text("none")
    return f"pictures:{root}"


def test_a_folder_of_pictures(tmp_path):
    source = write_pictures(tmp_path / "pets", 60)
    run = featflow.run(source, targets=["folder"], output=tmp_path / "out", **SERIAL)
    profile = {row["column"]: row for row in run.table("profile").to_dicts()}
    assert {"folder", "bytes", "picture.brightness", "picture.width"} <= set(profile)
    assert "picture" not in profile
    assert run.table("ranking")["feature"][:3].to_list().count("picture.brightness") == 1
    keys = run.table("embedding")["path"].to_list()
    files = sorted((tmp_path / "pets").glob("*/[!.]*"))
    assert sorted(keys) == [str(path.relative_to(tmp_path / "pets")) for path in files]
    assert profile["bytes"]["mean"] == pytest.approx(np.mean([path.stat().st_size for path in files]))
    assert (profile["picture.width"]["min"], profile["picture.width"]["max"]) == (20, 20)
    assert "cats" in Path(run.report()).read_text()
    assert featflow.run(source, targets=["folder"], output=tmp_path / "out", **SERIAL).manifest["unchanged_since"]


def test_a_picture_that_changes_makes_its_part_anew(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MEAN_ROWS", 8)
    source = write_pictures(tmp_path / "pets", 40)
    options = {"output": tmp_path / "out", "analyses": {"embedding_profile": False}} | SERIAL
    first = featflow.run(source, **options)
    total = first.manifest["shards"]["total"]
    assert total > 4
    Image.new("RGB", (20, 16), "red").save(tmp_path / "pets" / "dogs" / "8.png")
    second = featflow.run(source, **options)
    assert second.manifest["shards"] == {"total": total, "computed": 1, "reused": total - 1}
    Image.new("RGB", (20, 16), "red").save(tmp_path / "pets" / "cats" / "new.png")
    assert featflow.run(source, **options).manifest["shards"]["computed"] <= 2
    copy = shutil.copytree(tmp_path / "pets", tmp_path / "copy")
    for path in copy.rglob("*.*"):
        os.utime(path, (1, 1))
    moved = featflow.run(f"pictures:{copy}", **options | {"output": tmp_path / "other"})
    last = featflow.run(source, **options)
    assert moved.table("profile").equals(last.table("profile"))


def listed(folder: Path, store: Store) -> list[DataFile]:
    files = list_data_files([f"pictures:{folder}"], {}).files
    return picture_tables(files, store, FOLDER)


def test_each_table_has_pictures_of_all_folders(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures, "MEAN_ROWS", 32)
    for number in range(400):
        path = tmp_path / "pets" / ("cats", "dogs")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"none")
    tables = [pq.read_table(file.readable) for file in listed(tmp_path / "pets", Store(str(tmp_path / "out")))]
    large = [table["folder"].to_pylist() for table in tables if table.num_rows >= 20]
    assert len(large) > 3
    assert all(0.2 < folders.count("cats") / len(folders) < 0.8 for folders in large)


def test_a_link_to_no_picture_has_no_size(tmp_path):
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets" / "a.png").write_bytes(b"12345")
    (tmp_path / "pets" / "b.png").symlink_to(tmp_path / "nowhere")
    (file,) = listed(tmp_path / "pets", Store(str(tmp_path / "out")))
    table = pq.read_table(file.readable)
    assert dict(zip(table["path"].to_pylist(), table["bytes"].to_pylist(), strict=True)) == {"a.png": 5, "b.png": None}
    assert file.size == 5


def test_pictures_that_are_not_there_or_not_alone(tmp_path):
    write_pictures(tmp_path / "pets", 1)
    with pytest.raises(DatasetError, match=r"no pictures there \(\*.apng"):
        featflow.run(f"pictures:{tmp_path / 'pets' / '*.none'}")
    with pytest.raises(DatasetError, match=f"a folder of pictures is read as pictures:{tmp_path / 'pets'}"):
        featflow.run(tmp_path / "pets")
    with pytest.raises(ConfigurationError, match="pictures:FOLDER stands with other folders of pictures only"):
        featflow.run([f"pictures:{tmp_path / 'pets'}", str(tmp_path)])


def test_pictures_are_of_the_formats_that_are_opened():
    named = {suffix for suffix, form in Image.registered_extensions().items() if form in FORMATS}
    assert set(SUFFIXES["pictures"]) == named - {".icb", ".vda", ".vst"}  # of TGA, and of other things more often


def test_conversion_needs_an_output():
    from featflow.dataset.dataset import open_dataset
    from featflow.dataset.options import DatasetOptions

    with pytest.raises(ConfigurationError, match="what is no Parquet is converted below it"):
        open_dataset(DatasetOptions(source="frame:x"))


def test_row_groups_are_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(conversion, "GROUP_ROWS", 250)
    batches = pa.table({"x": range(1000)}).to_batches(max_chunksize=100)
    conversion.write_row_groups(iter(batches), batches[0].schema, tmp_path / "a.parquet")
    metadata = pq.read_metadata(tmp_path / "a.parquet")
    assert max(metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)) <= 250
    assert pq.read_table(tmp_path / "a.parquet")["x"].to_pylist() == list(range(1000))
