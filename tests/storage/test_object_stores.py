"""Whole runs on Google's and Azure's storage, each an emulator on loopback, beside the same run on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from datasets import mixed_table, write_parts
from servers import AZURE_ACCOUNT, AZURE_KEY

import featflow
from featflow.dataset.files import check_unchanged
from featflow.dataset.listing import list_data_files
from featflow.errors import ConfigurationError, InfrastructureError
from featflow.pipeline import garbage
from featflow.storage.store import Store

GOOGLE, AZURE = "gs://lake", f"abfss://lake@{AZURE_ACCOUNT}.dfs.core.windows.net"
ROWS = 900


@pytest.fixture(params=[GOOGLE, AZURE, "az://lake"])
def place(request):
    """URI of a folder in a bucket or container, and the options that reach it."""
    options = request.getfixturevalue("gcs_options" if request.param == GOOGLE else "azure_options")
    return f"{request.param}/{request.node.originalname}-{request.param[:2]}", options


def configuration(source, output, options):
    dataset = {"source": source, "targets": ["target"], "storage_options": options}
    return {"dataset": dataset, "output": output, "engine": {"kind": "serial"}}


def listed(source, options):
    return list(list_data_files([source], options).files)


def test_runs_are_those_of_the_disk(place, tmp_path):
    base, options = place
    store, table = Store(f"{base}/data", options), mixed_table(ROWS).select(["x", "city", "when", "target"])
    # Blanks, '#', '%', '&', ';', '::' and letters that are not ASCII are part of a name, wherever it is.
    paths = [f"day={number}/a b#c%20d&e;f::g é.parquet" for number in range(3)]
    for number, path in enumerate(paths):
        folder = write_parts(table.slice(number * ROWS // 3, ROWS // 3), tmp_path / "data" / path.partition("/")[0], 1)
        Path(f"{folder}/part-000.parquet").rename(tmp_path / "data" / path)
        store.write(path, (tmp_path / "data" / path).read_bytes())
    first = featflow.run(configuration(f"{base}/data", f"{base}/out", options))
    assert first.manifest["rows"] == {"footers": ROWS, "read": ROWS, "quarantined": 0}
    local = featflow.run(configuration(str(tmp_path / "data"), str(tmp_path / "out"), {}))
    for name in ("profile", "ranking"):
        assert first.table(name).equals(local.table(name))

    store.write("day=3/new.parquet", store.read(paths[0]))
    second = featflow.run(configuration(f"{base}/data", f"{base}/out", options))
    assert second.manifest["shards"] == {"total": 4, "computed": 1, "reused": 3}
    assert garbage.remove(f"{base}/out", 1, options).kept == (second.run_id,)


def test_a_file_has_another_version_once_it_is_written_again(place):
    base, options = place
    store = Store(base, options)
    uris = [store.write_parquet(f"{name}.parquet", mixed_table(10))[0] for name in "ab"]
    files = listed(base, options)
    assert [file.uri for file in files] == [uri.replace("az://", "abfs://") for uri in uris]
    assert all(file.version for file in files)
    assert listed(base, options) == files
    for file in files:
        check_unchanged(file, options)
    store.write_parquet("a.parquet", mixed_table(10, seed=8))
    assert [old.version == new.version for old, new in zip(files, listed(base, options), strict=True)] == [False, True]
    with pytest.raises(InfrastructureError, match=r"a\.parquet: the input changed"):
        check_unchanged(files[0], options)


def test_the_account_of_a_uri_goes_with_its_files(azure_options):
    uri, _ = Store(f"{AZURE}/account", azure_options).write_parquet("a.parquet", mixed_table(10))
    (file,) = listed(f"{AZURE}/account", azure_options)
    assert file.uri == uri
    options = {"account_key": AZURE_KEY, "account_name": "another"}
    with pytest.raises(ConfigurationError, match="account_name is not what the URI says") as caught:
        listed(AZURE, options)
    assert AZURE_KEY not in str(caught.value)


def test_a_bucket_or_container_that_is_not_there(place, tmp_path):
    base, options = place
    root = base.replace("lake", "nowhere")
    folder = write_parts(mixed_table(100), tmp_path / "data", 1)
    with pytest.raises(ConfigurationError, match=rf"output: cannot write to {root}/out: .*; choose another"):
        featflow.run(configuration(folder, f"{root}/out", options))
    with pytest.raises(featflow.errors.DatasetError, match="no such file or directory"):
        featflow.run(configuration(f"{root}/data", str(tmp_path / "out"), options))
