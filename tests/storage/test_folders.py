"""Listings are whole or an error: a folder that cannot be listed is named, on disks and on whatever walks."""

from __future__ import annotations

import errno
import os
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from walking_store import once, walking_store

from featflow.dataset.dataset import open_dataset
from featflow.dataset.listing import list_data_files
from featflow.dataset.options import DatasetOptions
from featflow.errors import ConfigurationError, DatasetError, InfrastructureError
from featflow.storage import retries
from featflow.storage.store import Store

DAYS = 3


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """A dataset of a file a day."""
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)
    for day in range(DAYS):
        folder = tmp_path / "lake" / f"day={day}"
        folder.mkdir(parents=True)
        pq.write_table(pa.table({"x": range(10)}), folder / "a.parquet")
    return tmp_path / "lake"


@pytest.fixture(params=["disk", "walking"])
def failing(request, monkeypatch):
    """How a test says that a folder cannot be listed, and the prefix of paths there."""
    if request.param == "disk":

        def fail(folder, error):
            scandir = os.scandir

            def scan(path="."):
                number = error() if path == str(folder) else None
                if number:
                    raise OSError(number, os.strerror(number), str(folder))
                return scandir(path)

            monkeypatch.setattr(os, "scandir", scan)

        yield fail, ""
        return
    with walking_store() as faults:

        def fail(folder, error):
            faults.unlistable = staticmethod(lambda path: error() if path == str(folder) else None)

        yield fail, "walking://"


@pytest.mark.parametrize("source", ["{}", "{}/day=*", "{}/*/a.parquet"], ids=["folder", "pattern", "pattern of files"])
@pytest.mark.parametrize(
    ("number", "error"), [(errno.EIO, InfrastructureError), (errno.EACCES, ConfigurationError)], ids=["EIO", "EACCES"]
)
def test_a_folder_that_cannot_be_listed_is_named(lake, failing, source, number, error):
    fail, prefix = failing
    fail(lake / "day=1", lambda: number)
    with pytest.raises(error) as caught:
        list_data_files([source.format(f"{prefix}{lake}")], {})
    assert f"{prefix}{lake}/day=1: cannot list it: {os.strerror(number)}" in str(caught.value)


def test_a_fault_that_passes_costs_a_retry(lake, failing):
    fail, prefix = failing
    fail(lake / "day=1", once())
    before = retries.counts()["storage"]
    assert len(list_data_files([f"{prefix}{lake}"], {}).files) == DAYS
    assert retries.counts()["storage"] == before + 1


def test_states_that_cannot_be_listed_are_named(lake, failing):
    fail, prefix = failing
    store = Store(f"{prefix}{lake}")
    assert len(store.sizes("")) == DAYS
    fail(lake / "day=1", lambda: errno.EIO)
    with pytest.raises(InfrastructureError, match="day=1: cannot list it"):
        store.sizes("")


def test_a_folder_that_goes_while_others_are_listed_is_none(lake, failing):
    fail, prefix = failing
    fail(lake / "day=1", lambda: shutil.rmtree(lake / "day=1", ignore_errors=True))
    assert len(list_data_files([f"{prefix}{lake}"], {}).files) == DAYS - 1


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE])
def test_a_file_that_cannot_be_looked_at_is_no_link_to_nowhere(lake, monkeypatch, number):
    scandir = os.scandir

    class Entry:
        def __init__(self, entry):
            self.path, self.name, self.is_symlink, self._entry = entry.path, entry.name, entry.is_symlink, entry

        def stat(self):
            if self.path.endswith("day=1"):
                raise OSError(number, os.strerror(number))
            return self._entry.stat()

    class Scan(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", lambda path: Scan(map(Entry, scandir(path))))
    with pytest.raises(InfrastructureError, match="day=1: cannot look at it"):
        open_dataset(DatasetOptions(source=str(lake)))


def test_a_table_whose_log_cannot_be_looked_at_is_not_read_as_files(lake):
    """A filesystem's exists says no where it has no answer: removed rows would be read."""
    (lake / "_delta_log").mkdir()
    with walking_store() as faults:
        source = [f"walking://{lake}/day=1"]
        with pytest.raises(DatasetError, match="a Delta table"):
            list_data_files(source, {})
        faults.unseen = staticmethod(lambda path: errno.EIO if path.endswith("_delta_log") else None)
        with pytest.raises(InfrastructureError, match="_delta_log: cannot look at it"):
            list_data_files(source, {})


def test_files_beside_the_dataset_that_cannot_be_listed(lake, failing):
    """What Feast would read in the dataset's folders, and the run did not, is told with an export."""
    from featflow.export.feast.source import _foreign_files

    fail, prefix = failing
    known = {f"{prefix}{lake}/day=0/a.parquet"}
    assert len(list(_foreign_files([f"{prefix}{lake}", f"{prefix}{lake}/*"], known, {}))) == DAYS - 1
    fail(lake / "day=1", lambda: errno.EIO)
    with pytest.raises(InfrastructureError, match="day=1: cannot list it"):
        list(_foreign_files([f"{prefix}{lake}"], known, {}))
