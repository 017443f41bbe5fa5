"""Where files lie in a dataset: the same wherever a copy lies, and two never in one place."""

from __future__ import annotations

import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

from featflow import plan
from featflow.dataset.dataset import open_dataset
from featflow.dataset.listing import list_data_files
from featflow.dataset.options import DatasetOptions
from featflow.dataset.passed_over import Reason

NAMES = ["day=1/a.parquet", "day=1/b.parquet", "day=2/a.parquet"]
SOURCES = {
    "a folder": ([""], NAMES),
    "with a slash": (["/"], NAMES),
    "a glob of files": (["/*/a.parquet"], [NAMES[0], NAMES[2]]),
    "a glob in a folder": (["/day=1/*.parquet"], ["a.parquet", "b.parquet"]),
    "a file": (["/day=1/b.parquet"], ["b.parquet"]),
    "files of a folder": (["/day=1/b.parquet", "/day=1/a.parquet"], ["b.parquet", "a.parquet"]),
    "folders with files of one name": (["/day=2", "/day=1"], [NAMES[2], *NAMES[:2]]),
    "a folder and a file in it": (["", "/day=2/a.parquet"], NAMES),
}


@pytest.fixture
def lake(tmp_path):
    for name in NAMES:
        (tmp_path / "lake" / name).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({"x": [1.0, 2.0]}), tmp_path / "lake" / name, row_group_size=1)
    return tmp_path / "lake"


def places(root, sources, options=None):
    return [file.place for file in list_data_files([f"{root}{each}" for each in sources], options or {}).files]


@pytest.mark.parametrize("case", SOURCES)
def test_places_are_paths_below_what_lies_above_all_sources(case, lake, tmp_path, monkeypatch):
    sources, expected = SOURCES[case]
    copy = shutil.copytree(lake, tmp_path / "another" / "copy=3")
    monkeypatch.chdir(tmp_path)
    for root in (lake, copy, f"file://{lake}", "lake"):
        assert places(root, sources) == expected


@pytest.mark.parametrize("case", SOURCES)
def test_places_on_an_object_store_are_those_on_a_disk(case, lake, moto_options):
    sources, expected = SOURCES[case]
    folder = f"lake/places/{case}"
    s3fs.S3FileSystem(**moto_options).put(str(lake), folder, recursive=True)
    assert places(f"s3://{folder}", sources, moto_options) == expected


def test_sources_that_have_nothing_in_common(lake, moto_options):
    s3fs.S3FileSystem(**moto_options).put(str(lake / NAMES[0]), "lake/alone/a.parquet")
    sources = [str(lake / "day=2"), "s3://lake/alone/a.parquet"]
    found = list_data_files(sources, moto_options).files
    assert len({file.place for file in found}) == 2


def test_a_shard_keeps_its_place_and_loses_its_name(lake, tmp_path):
    options = DatasetOptions(source=str(lake), shard_bytes=1)
    before = open_dataset(options).shards
    copy = shutil.copytree(lake, tmp_path / "copy")
    after = open_dataset(options.model_copy(update={"source": [str(copy)]})).shards
    assert [shard.place for shard in after] == [shard.place for shard in before]
    assert len({shard.place for shard in before}) == len({shard.digest for shard in (*before, *after)}) / 2 == 6
    assert before[0].without({0}).place != before[0].place


@pytest.mark.parametrize("output", ["lake/out", "link/out", "lake/other"])
def test_what_an_unfinished_output_holds_is_no_data(output, tmp_path):
    (tmp_path / "lake").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "lake")
    for name in ("a.csv", "b.csv"):
        (tmp_path / "lake" / name).write_text("x,y\n1,2\n3,4\n")
    source = str(tmp_path / "lake")
    plan(source, output=tmp_path / "lake" / "out")
    assert list((tmp_path / "lake" / "out" / "states" / "converted").glob("*.parquet"))
    listing = list_data_files([source], {}, str(tmp_path / output))
    assert [file.place for file in listing.files] == ["a.csv", "b.csv"]
    whose = Reason.OTHER_OUTPUT if output == "lake/other" else Reason.OUTPUT
    assert {each.reason for each in listing.passed_over} == {whose}
