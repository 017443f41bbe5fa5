"""Digests of row groups on storage that refuses to be read."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from featflow.dataset import contents
from featflow.dataset.contents import Contents
from featflow.dataset.footer import Footer
from featflow.dataset.listing import list_data_files
from featflow.dataset.parquet import read_footer_bytes
from featflow.dataset.read_footer import read_footer
from featflow.errors import ConfigurationError, InfrastructureError


@pytest.mark.parametrize(
    ("error", "raised"),
    [(PermissionError("Access Denied"), ConfigurationError), (OSError("away"), InfrastructureError)],
)
def test_storage_that_refuses_is_told_from_storage_that_fails(error, raised, tmp_path, monkeypatch):
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": [1, 2]}), sink)
    uri = f"memory://{tmp_path.name}/a.parquet"
    MemoryFileSystem().pipe_file(f"/{tmp_path.name}/a.parquet", sink.getvalue().to_pybytes())
    (file,) = list_data_files([uri], {}).files
    footer, data = read_footer(file, {}), read_footer_bytes(file.uri, file.size, {})
    assert isinstance(footer, Footer)

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(contents, "read_footer_bytes", lambda *_: data)
    monkeypatch.setattr(contents, "with_retries", lambda task: task())
    assert len(Contents(None).digests([footer], {})[file]) == 1
    monkeypatch.setattr(MemoryFileSystem, "cat_file", fail)
    with pytest.raises(raised, match="cannot read it"):
        Contents(None).digests([footer], {})
