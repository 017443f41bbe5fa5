"""Runs on storage that fails: answers stay, or the run ends with exit code 4 and a later one goes on."""

from __future__ import annotations

import threading
import time

import pyarrow.parquet as pq
import pytest
import s3fs
from datasets import mixed_table
from faulty_proxy import faulty_proxy

import featflow
from featflow.errors import InfrastructureError
from featflow.storage import retries

ROWS, PARTS = 1_000, 2


@pytest.fixture(scope="module")
def undisturbed(moto_options):
    """A run of a small dataset on S3, and what configures another into some output."""
    filesystem, table = s3fs.S3FileSystem(**moto_options), mixed_table(ROWS).drop(["nested", "when", "big_id"])
    for part in range(PARTS):
        with filesystem.open(f"lake/faults/data/part-{part}.parquet", "wb") as sink:
            pq.write_table(table.slice(part * ROWS // PARTS, ROWS // PARTS), sink)

    def configured(output, options=moto_options):
        dataset = {"source": "s3://lake/faults/data", "targets": ["target"], "storage_options": options}
        return {"dataset": dataset, "output": f"s3://lake/faults/{output}", "engine": {"kind": "serial"}}

    return featflow.run(configured("undisturbed")), configured


def assert_same_tables(run, other):
    assert set(run.tables) == set(other.tables)
    for name in run.tables:
        assert run.arrow(name).equals(other.arrow(name)), name


def states(options, output):
    """Return when each state was written."""
    found = s3fs.S3FileSystem(**options, use_listings_cache=False).find(f"lake/faults/{output}/states", detail=True)
    return {path: info["LastModified"] for path, info in found.items() if path.count("/") == 6}


def test_a_twentieth_of_requests_may_fail(undisturbed):
    expected, configured = undisturbed
    assert expected.manifest["retries"] == {"storage": 0, "tasks": 0}
    options = configured("")["dataset"]["storage_options"]
    with faulty_proxy(options, 0.05) as (proxy, through):
        featflow.run(configured("twentieth", through))
    run = featflow.Run.open("s3://lake/faults/twentieth", options=options)
    assert len(proxy.faults) >= 4
    assert 0 < run.manifest["retries"]["storage"] <= proxy.faults.total()
    assert_same_tables(run, expected)


def test_where_most_requests_fail_a_run_ends_soon_and_another_goes_on(undisturbed, monkeypatch):
    expected, configured = undisturbed
    options = configured("")["dataset"]["storage_options"]
    monkeypatch.setattr(retries, "RESERVE", 15.0)  # of 50: the way there is the same, and shorter
    with faulty_proxy(options, 0.0) as (proxy, through):
        config, later = configured("most", through), threading.Event()

        def spoil():
            filesystem = s3fs.S3FileSystem(**options)
            while not later.is_set() and not filesystem.exists("lake/faults/most/states/moments"):
                time.sleep(0.05)
                filesystem.invalidate_cache()
            proxy.share = 0.6

        spoiler = threading.Thread(target=spoil)
        spoiler.start()
        started = time.monotonic()
        with pytest.raises(InfrastructureError) as caught:
            featflow.run(config)
        later.set()
        spoiler.join()
        assert caught.value.exit_code == 4
        assert time.monotonic() - started < 60
        proxy.share, before = 0.0, states(options, "most")
        run = featflow.run(config)
    assert before
    assert before.items() <= states(options, "most").items()  # what was done stayed
    assert_same_tables(run, expected)


def test_a_file_that_is_overwritten_while_it_is_read(undisturbed, moto_options):
    """The run says so and publishes nothing; the next one takes the new version."""
    _, configured = undisturbed
    filesystem = s3fs.S3FileSystem(**moto_options)
    config = configured("overwritten")
    config["dataset"]["source"] = "s3://lake/faults/changing"
    tables = [mixed_table(20_000, seed).select(["x", "y", "target"]) for seed in (1, 2)]
    path = "lake/faults/changing/a.parquet"

    def write(table):
        with filesystem.open(path, "wb") as sink:
            pq.write_table(table, sink, row_group_size=1_000)

    write(tables[0])
    stop = threading.Event()

    def overwrite():
        number = 0
        while not stop.wait(0.05):
            number += 1
            write(tables[number % 2])

    writer = threading.Thread(target=overwrite)
    writer.start()
    try:
        with pytest.raises(InfrastructureError, match="the input changed while it was read") as caught:
            featflow.run(config)
    finally:
        stop.set()
        writer.join()
    assert caught.value.exit_code == 4
    assert "changing/a.parquet" in str(caught.value)
    filesystem.invalidate_cache()
    assert not filesystem.exists("lake/faults/overwritten/LATEST")
    write(tables[1])
    assert featflow.run(config).manifest["rows"]["read"] == 20_000
