"""A whole run from S3 to S3, on both servers and both engines, with no credential left behind."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest
import s3fs
from datasets import measured_again, mixed_table, write_parts
from servers import ACCESS_KEY, SECRET_KEY

import featflow


@pytest.mark.parametrize("server", ["moto", "rclone"])
def test_run_from_s3_to_s3(server, engine_kind, request, tmp_path):
    options = request.getfixturevalue(f"{server}_options")
    table = mixed_table(2_000)
    local = featflow.run(
        {
            "dataset": {"source": write_parts(table, tmp_path / "data", 2), "targets": ["target"]},
            "output": str(tmp_path / "out"),
            "engine": {"kind": "serial"},
        }
    )
    filesystem = s3fs.S3FileSystem(**options)
    base = f"lake/{engine_kind}"
    for index in range(2):
        with filesystem.open(f"{base}/data/part-{index}.parquet", "wb") as sink:
            pq.write_table(table.slice(index * 1_000, 1_000), sink)
    config = {
        "dataset": {"source": f"s3://{base}/data/", "targets": ["target"], "storage_options": options},
        "output": f"s3://{base}/out",
        "engine": {"kind": engine_kind},
    }
    first, second = featflow.run(config), featflow.run(measured_again(config))
    assert second.manifest["shards"] == {"total": 2, "computed": 0, "reused": 2}
    for name in ("ranking", "interaction"):
        assert first.arrow(name).equals(local.arrow(name))
    opened = featflow.Run.open(f"s3://{base}/out", options=options)
    assert opened.run_id == second.run_id
    assert opened.tables["ranking"].startswith(f"s3://{base}/out/runs/")
    filesystem.invalidate_cache()
    for path in filesystem.find(f"{base}/out"):
        content = filesystem.cat_file(path)
        assert SECRET_KEY.encode() not in content, path
        assert ACCESS_KEY.encode() not in content, path
    assert not [path for path in filesystem.find(f"{base}/out") if "/lock/" in path]
