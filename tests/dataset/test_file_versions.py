"""Content that is replaced under the same size and time of modification is another file, where a disk can tell."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import featflow
from featflow.dataset.files import check_as_listed, check_unchanged
from featflow.dataset.listing import list_data_files
from featflow.dataset.read_footer import read_footer
from featflow.errors import InfrastructureError

ROWS = 100


@pytest.fixture
def file(tmp_path):
    (tmp_path / "data").mkdir()
    write(tmp_path / "data" / "a.parquet", 0)
    return tmp_path / "data" / "a.parquet"


def write(path, first):
    table = pa.table({"x": pa.array(range(first, first + ROWS), pa.int64())})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_statistics=False)


def in_place(path, other, status):
    """As ``cp -p`` does."""
    shutil.copyfile(other, path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def renamed(path, other, status):
    """As ``rsync -t`` does."""
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
    other.rename(path)


def listed(file):
    (found,) = list_data_files([str(file.parent)], {}).files
    return found


@pytest.mark.parametrize("way", [in_place, renamed])
def test_replaced_content_is_measured(file, tmp_path, way):
    def mean():
        run = featflow.run({"dataset": {"source": str(file.parent)}, "output": str(tmp_path / "out")})
        return run.arrow("profile")["mean"].to_pylist()

    assert mean() == [49.5]
    before, status = listed(file), file.stat()
    assert listed(file) == before
    other = tmp_path / "other.parquet"
    write(other, 7)
    way(file, other, status)
    after = file.stat()
    assert (after.st_size, after.st_mtime_ns) == (status.st_size, status.st_mtime_ns)
    assert listed(file).version != before.version
    assert mean() == [56.5]


@pytest.mark.parametrize("change", ["mode", "hard link"])
def test_a_change_of_status_costs_time_and_no_number(file, tmp_path, change):
    config = {"dataset": {"source": str(file.parent)}, "output": str(tmp_path / "out")}
    first = featflow.run(config)
    if change == "mode":
        file.chmod(0o640)
    else:
        (tmp_path / "backup.parquet").hardlink_to(file)
    again = featflow.run(config)
    assert again.manifest["shards"]["computed"] == 1
    assert again.arrow("profile").equals(first.arrow("profile"))
    assert featflow.run(config).manifest["unchanged_since"] == again.run_id


def test_what_is_replaced_while_it_is_read(file, tmp_path):
    """The machine that listed a file tells; another one may have a copy, whose change of status is its own."""
    before, status = listed(file), file.stat()
    check_unchanged(before, {})
    check_as_listed(before, {})
    write(tmp_path / "other.parquet", 7)
    in_place(file, tmp_path / "other.parquet", status)
    check_unchanged(before, {})
    with pytest.raises(InfrastructureError, match="changed while it was read"):
        check_as_listed(before, {})
    os.utime(file)
    with pytest.raises(InfrastructureError, match="changed while it was read"):
        check_unchanged(before, {})
    file.unlink()
    for check in (check_unchanged, check_as_listed):
        with pytest.raises(InfrastructureError, match="gone while it was read"):
            check(before, {})
    check_as_listed(replace(before, version="an-etag"), {})  # of a store, whose version says all


def test_a_file_written_anew_before_its_footer_is_read_has_changed_and_is_not_damaged(file):
    before = listed(file)
    pq.write_table(pa.table({"x": pa.array(range(10 * ROWS), pa.int64())}), file)
    with pytest.raises(InfrastructureError, match=r"a\.parquet: the input changed while it was read"):
        read_footer(before, {})
