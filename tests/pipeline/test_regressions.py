"""What a reader of the first version found wrong: each was seen to fail before it was mended."""

from __future__ import annotations

import threading

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import mixed_table, write_parts

import featflow
from featflow.config import parse
from featflow.errors import InfrastructureError, LockedError, SchemaError
from featflow.execution.progress import SilentProgress
from featflow.pipeline.job import run as run_job
from featflow.storage import lock
from featflow.storage.records.claim import Claim
from featflow.storage.store import Store

N = 5_000


def run(source, output, **more):
    dataset = {"source": source if isinstance(source, list) else str(source)} | more.pop("dataset", {})
    return featflow.run({"dataset": dataset, "output": str(output), "engine": {"kind": "serial"}} | more)


def write(folder, table, name="a.parquet", **options):
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table if isinstance(table, pa.Table) else pa.table(table), folder / name, **options)
    return folder


def rows_of(done, name, key):
    return {row[key]: row for row in done.table(name).to_dicts()}


@pytest.mark.parametrize("sentinel", [-999_999.0, 1e8, 1e10])
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_pearson_where_missing_goes_with_a_sentinel(sentinel, share, tmp_path):
    random = np.random.default_rng(0)
    x = random.normal(size=N)
    y, missing = 0.5 * x + random.normal(size=N), random.random(N) < share
    x = np.where(missing, sentinel, x)
    done = run(write(tmp_path / "d", {"x": x, "y": pa.array(y, mask=missing)}), tmp_path / "o")
    (row,) = [r for r in done.table("correlation").to_dicts() if r["method"] == "pearson"]
    truth = pd.DataFrame({"x": x[~missing], "y": y[~missing]}).corr().iloc[0, 1]
    # With most rows at the sentinel the column's centre is the sentinel: values keep the digits that it leaves them.
    tolerance = 1e-12 if share < 0.5 else abs(sentinel) * 1e-15
    assert row["value"] == pytest.approx(truth, abs=tolerance)


@pytest.mark.parametrize("share", [0.97, 0.9, 0.5])
def test_bins_see_a_tail_at_either_end(share, tmp_path):
    random = np.random.default_rng(1)
    y = np.where(random.random(N) < share, 100, random.integers(0, 90, N))
    x = (y < 100).astype(np.int64)
    tables = [
        run(write(tmp_path / name, {"x": x, "y": sign * y}), tmp_path / f"out-{name}", dataset={"targets": ["y"]})
        for name, sign in (("up", 1), ("down", -1))
    ]
    up, down = (table.table("ranking").row(0, named=True) for table in tables)
    assert up["mi"] == pytest.approx(down["mi"], abs=0.02)
    assert up["mi"] > 0.5 * -(share * np.log(share) + (1 - share) * np.log(1 - share))


def test_partition_values_are_part_of_a_shard(tmp_path):
    write(tmp_path / "a" / "year=2020", {"x": [1.0, 2.0]})
    write(tmp_path / "b" / "year=2021", {"x": [3.0, 4.0]})
    run([str(tmp_path / "a" / "year=2020" / "a.parquet"), str(tmp_path / "b")], tmp_path / "o")
    done = run([str(tmp_path / "a"), str(tmp_path / "b")], tmp_path / "o")
    year = rows_of(done, "profile", "column")["year"]
    assert (year["missing"], year["distinct"]) == (0, 2)


def test_a_duplicate_is_found_beside_a_permutation(tmp_path):
    random = np.random.default_rng(2)
    a, b = random.permutation(N), random.permutation(N)
    text = [f"k{v}" for v in b]
    table = {"a": a, "b": b, "c": b, "t": [f"k{v}" for v in a], "u": text, "v": text}
    rows = rows_of(run(write(tmp_path / "d", table), tmp_path / "o"), "profile", "column")
    assert "duplicate_of:b" in rows["c"]["alerts"]
    assert "duplicate_of:u" in rows["v"]["alerts"]
    assert not [alert for name in "abtu" for alert in rows[name]["alerts"] if alert.startswith("duplicate")]


def test_codes_of_hashed_columns_do_not_depend_on_sharding(tmp_path):
    random = np.random.default_rng(3)
    heavy = random.random(20_000) < 0.3
    ids = np.where(heavy, random.integers(0, 40, 20_000), random.integers(100, 8_100, 20_000)).astype(str)
    columns = {"id": ids, "y": random.integers(0, 2, 20_000), "z": random.normal(size=20_000)}
    table = pa.table(columns | {"user": random.integers(0, 500, 20_000)})
    runs = [
        run(write_parts(table, tmp_path / str(parts), parts), tmp_path / f"o{parts}",
            dataset={"targets": ["y"], "entity": ["user"]}, codebook={"levels": 1_000})
        for parts in (1, 7)
    ]  # fmt: skip
    assert runs[0].manifest["codebook"] == runs[1].manifest["codebook"]
    for name in ("ranking", "interaction"):
        assert runs[0].arrow(name).equals(runs[1].arrow(name))


def test_float_categories_know_one_zero_and_no_nan(tmp_path):
    source = write(tmp_path / "d", {"x": [1.0, float("nan"), -0.0, 0.0, 2.5, None]})
    row = run(source, tmp_path / "o", dataset={"kinds": {"x": "category"}}).table("profile").row(0, named=True)
    assert (row["missing"], row["distinct"]) == (2, 3)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.timestamp("s"), pa.timestamp("us")),
        (pa.duration("s"), pa.duration("us")),
        (pa.decimal128(5, 1), pa.decimal128(6, 2)),
    ],
    ids=str,
)
def test_a_category_does_not_depend_on_units(one, other, tmp_path):
    values = pa.array([1, 10, None], pa.int64())
    for index, kind in enumerate((one, other)):
        seconds = values if pa.types.is_decimal(kind) else values.cast(pa.timestamp("s"))
        stored = values.cast(pa.decimal128(20, 0)).cast(kind) if pa.types.is_decimal(kind) else (
            seconds.cast(kind) if pa.types.is_timestamp(kind) else values.cast(pa.duration("s")).cast(kind)
        )  # fmt: skip
        write(tmp_path / "d", {"x": stored}, f"{index}.parquet")
    row = run(tmp_path / "d", tmp_path / "o", dataset={"kinds": {"x": "category"}}).table("profile").row(0, named=True)
    assert (row["distinct"], row["missing"], {top["count"] for top in row["top_values"]}) == (2, 2, {2})


def test_a_time_of_day_is_no_timestamp(tmp_path):
    write(tmp_path / "d", {"x": pa.array([1], pa.time32("s"))}, "a.parquet")
    write(tmp_path / "d", {"x": pa.array([1], pa.timestamp("s"))}, "b.parquet")
    with pytest.raises(SchemaError, match="'x' is time32"):
        run(tmp_path / "d", tmp_path / "o")


def test_quantiles_near_the_end_of_floats_are_numbers(tmp_path):
    values = np.geomspace(1e300, 1.797e308, 2_000)
    done = run(write(tmp_path / "d", {"x": values}), tmp_path / "o", codebook={"cells": 64})
    quantiles = done.table("profile").row(0, named=True)["quantiles"]
    assert np.isfinite(quantiles).all()
    assert quantiles == sorted(quantiles)


def test_a_file_that_changes_during_the_run_is_noticed(tmp_path):
    source = write(tmp_path / "d", {"x": np.arange(1_000.0), "y": np.arange(1_000) % 2})

    class Replace(SilentProgress):
        """Replaces the file, same rows and all, when the second pass begins."""

        def start(self, stage, total):
            if stage == "reading: relations" and total:
                write(tmp_path / "d", {"x": np.arange(1_000.0) % 2, "y": np.arange(1_000) % 2})

    config = {
        "dataset": {"source": str(source), "targets": ["y"]},
        "output": str(tmp_path / "o"),
        "engine": {"kind": "serial"},
    }
    with pytest.raises(InfrastructureError, match="the input changed while it was read; run again"):
        run_job(parse(config), Replace())
    assert "LATEST" not in Store(str(tmp_path / "o")).names("")
    assert run(source, tmp_path / "o", dataset={"targets": ["y"]}).table("ranking")["corrected_mi"][0] > 0.6


def test_many_categories_fit_the_default_budget(tmp_path):
    table = {f"c{i}": [str(v % (i + 2)) for v in range(60)] for i in range(200)}
    done = run(write(tmp_path / "d", table), tmp_path / "o", analyses={"correlation": False})
    assert done.table("profile").height == 200
    assert [row["distinct"] for row in done.table("profile").to_dicts()][:3] == [2, 3, 4]


def test_codes_of_a_large_row_group_are_cut_by_columns(tmp_path, monkeypatch):
    source = write_parts(mixed_table(4_000), tmp_path / "d", 2)
    settings = {"dataset": {"targets": ["target"]}, "codebook": {"cells": 64}}
    whole = run(source, tmp_path / "whole", **settings)
    monkeypatch.setattr("featflow.pipeline.column_pass.STATE_SHARE", 800_000)
    monkeypatch.setattr("featflow.execution.state_store.check_sizes", lambda *_: None)
    cut = run(source, tmp_path / "cut", **settings)
    assert len(cut.store.names("states/codes")) > len(whole.store.names("states/codes"))
    assert cut.arrow("interaction").equals(whole.arrow("interaction"))


def test_a_bad_column_that_is_left_out_no_longer_costs_its_rows(tmp_path):
    path = write(tmp_path / "d", {"good": np.arange(2_000.0), "bad": np.arange(2_000.0)}, compression="none",
                 use_dictionary=False, row_group_size=1_000) / "a.parquet"  # fmt: skip
    offset = pq.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(content)
    with pytest.raises(featflow.FeatflowError, match="column 'bad'"):
        run(tmp_path / "d", tmp_path / "o")
    done = run(tmp_path / "d", tmp_path / "o", dataset={"exclude": ["bad"]})
    assert done.manifest["rows"] == {"footers": 2_000, "read": 2_000, "quarantined": 0}


def test_a_text_target_is_refused(tmp_path):
    source = write(tmp_path / "d", {"x": [1, 2], "y": ["a", "b"]})
    with pytest.raises(SchemaError, match="'y' is text"):
        run(source, tmp_path / "o", dataset={"targets": ["y"], "kinds": {"y": "text"}})


def test_a_column_may_be_called_anything(tmp_path):
    random = np.random.default_rng(4)
    names = ["target:y", "column:y", "", " ", "a=b", "ü", "x" * 300]
    table = {name: random.integers(0, 3, 200) for name in names} | {"y": random.integers(0, 2, 200)}
    done = run(write(tmp_path / "d", table), tmp_path / "o", dataset={"targets": ["y"]})
    assert set(done.table("ranking")["feature"]) == set(names)


def test_a_glob_does_not_read_the_runs_own_tables(tmp_path):
    write(tmp_path / "d", {"x": np.arange(100.0)})
    for _ in range(2):
        done = run(str(tmp_path / "d" / "**" / "*.parquet"), tmp_path / "d" / "out")
        assert done.manifest["rows"]["footers"] == 100


def test_a_struct_may_be_left_out_whole(tmp_path):
    table = {"s": pa.array([{"a": 1, "b": "x"}] * 3), "x": [1, 2, 3]}
    done = run(write(tmp_path / "d", table), tmp_path / "o", dataset={"exclude": ["s"]})
    assert done.table("profile")["column"].to_list() == ["x"]


def test_partition_values_are_decoded(tmp_path):
    write(tmp_path / "d" / "site=a%20b%2Fc", {"x": [1.0]})
    top = rows_of(run(tmp_path / "d", tmp_path / "o"), "profile", "column")["site"]["top_values"]
    assert top[0]["value"] == "a b/c"


def test_a_lost_lock_stops_the_commit(tmp_path):
    store = Store(str(tmp_path))
    with lock.hold(store) as held:
        held.check()
        theirs = Claim.mine(60).model_copy(update={"host": "elsewhere", "place": ""}).renewed(60)
        store.write(theirs.path, theirs.dump())
        with pytest.raises(LockedError, match="was lost"):
            held.check()


def test_one_failed_heartbeat_does_not_end_the_lease(tmp_path, monkeypatch):
    beats, written = threading.Event(), []
    write_bytes = Store.write

    def fail_once(self, path, data):
        written.append(path)
        if len(written) == 3:  # after the claim, and that it holds
            raise InfrastructureError("storage is away for a moment")
        if len(written) > 3:
            beats.set()
        return write_bytes(self, path, data)

    monkeypatch.setattr(Store, "write", fail_once)
    monkeypatch.setattr(lock, "LEASE_SECONDS", 0.5)
    with lock.hold(Store(str(tmp_path))):
        assert beats.wait(20)


def test_grouped_moments_bound_their_products():
    from featflow.columns.binning import category_coding, number_coding
    from featflow.columns.column import Column, Kind
    from featflow.columns.sort_keys import sortable_keys
    from featflow.summaries import GroupedMomentsSummarizer, grouped_moments

    levels = [f"v{i}" for i in range(16)]
    categories = tuple(
        category_coding(Column(f"c{i}", "string", Kind.CATEGORY), levels, [1] * 16, 16) for i in range(300)
    )
    number = number_coding(
        Column("x", "float64", Kind.NUMBER), sortable_keys(np.zeros(1)), np.ones(1, int), 0, (64, 16)
    )
    spec = GroupedMomentsSummarizer(categories, (number,))
    assert grouped_moments.PRODUCT_BYTES // (8 * 2 * len(categories)) < 1_000  # so there are several
    column = pa.array([levels[i % 16] for i in range(2_000)]).dictionary_encode()
    batch = pa.record_batch({f"c{i}": column for i in range(300)} | {"x": np.arange(2_000.0)})
    state = spec.summarize(batch)
    assert state.n.sum() == 300 * 2_000
    assert state.mean[1, 0] == pytest.approx(np.arange(0, 2_000, 16).mean())


def test_long_texts_reach_the_limit_with_fewer_levels(tmp_path):
    texts = [f"{i:05d}" + "x" * 4_000 for i in range(400)]
    done = run(write(tmp_path / "d", {"x": texts}), tmp_path / "o", codebook={"levels": 1_000})
    row = done.table("profile").row(0, named=True)
    assert row["distinct_low"] <= 400 <= row["distinct_high"]
    assert row["entropy"] is None  # counted by bucket
    size = sum(path.stat().st_size for path in (tmp_path / "o").rglob("*") if path.is_file())
    assert size < 1_000_000
