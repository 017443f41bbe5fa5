"""Delta tables: every profile equals that of the rows that the package deltalake, or the test's plan, knows."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shutil
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lake_tables import DeltaLog, check_profile, delta_rows, rows, run

from featflow.dataset.batches import read_batches
from featflow.dataset.dataset import Shard, open_dataset
from featflow.dataset.files import DataFile
from featflow.dataset.options import DatasetOptions
from featflow.errors import ConfigurationError, DatasetError, SchemaError

deltalake = pytest.importorskip("deltalake")
write = deltalake.write_deltalake


@pytest.fixture
def lake(tmp_path):
    return str(tmp_path / "lake")


def night(lake, tmp_path, name="out", **options):
    return run(f"delta:{lake}", tmp_path / name, **options)


def check(lake, tmp_path, **options):
    """A run, a run from nothing and the library agree."""
    done = night(lake, tmp_path, **options)
    check_profile(done, delta_rows(lake))
    whole = night(lake, tmp_path, f"whole {done.run_id}", **options)
    assert done.table("profile").equals(whole.table("profile"), null_equal=True)
    return done


@pytest.mark.parametrize("partitions", [None, ["day"], ["level"]])
def test_appended_overwritten_deleted_and_merged_rows(lake, tmp_path, partitions):
    write(lake, rows(200), partition_by=partitions)
    assert check(lake, tmp_path).manifest["sources"][0]["version"] == 0
    write(lake, rows(150, 1), mode="append", partition_by=partitions)
    second = check(lake, tmp_path)
    assert second.manifest["shards"]["reused"] > 0
    deltalake.DeltaTable(lake).delete("x > 1")
    check(lake, tmp_path)
    write(lake, rows(90, 2), mode="overwrite", partition_by=partitions)
    assert check(lake, tmp_path).manifest["rows"]["read"] == 90


def test_a_night_without_news_measures_nothing(lake, tmp_path):
    write(lake, rows(50))
    first = night(lake, tmp_path)
    second = night(lake, tmp_path)
    assert second.manifest["unchanged_since"] == first.run_id


def test_partition_values_have_the_table_s_types_and_any_text(lake, tmp_path):
    texts = ["a b", "x/y", "ü=1", "100%", None, "a:b", "007"]
    table = pa.table(
        {"x": [float(i) for i in range(7)], "key": texts, "number": pa.array([7] * 6 + [None], pa.int16())}
    )
    write(lake, table, partition_by=["key", "number"])
    done = check(lake, tmp_path)
    top = {row["column"]: row for row in done.table("profile").to_dicts()}
    assert {each["value"] for each in top["key"]["top_values"]} == {text for text in texts if text}
    assert top["number"]["type"] == "int16"


def test_columns_that_came_later_are_null_in_earlier_files(lake, tmp_path):
    write(lake, rows(60))
    night(lake, tmp_path)
    write(lake, rows(40, 1).append_column("late", pa.array(range(40))), mode="append", schema_mode="merge")
    done = check(lake, tmp_path)
    assert done.manifest["shards"] == {"total": 2, "computed": 2, "reused": 0}
    assert done.table("profile").filter(column="late")["missing"].item() == 60


def test_a_new_column_is_there_before_any_file_has_it(lake, tmp_path):
    write(lake, rows(60))
    night(lake, tmp_path)
    new = {"name": "late", "type": "long", "nullable": True, "metadata": {}}
    DeltaLog(lake).change_schema(lambda fields: fields.append(new))
    assert check(lake, tmp_path).table("profile").filter(column="late")["missing"].item() == 60


@pytest.mark.parametrize("kind", ["i", "u", "p"])
def test_rows_of_deletion_vectors_are_left_out(lake, tmp_path, kind):
    table = rows(300)
    write(lake, table)
    write(lake, rows(20, 1), mode="append")
    log = DeltaLog(lake)
    log.protocol("deletionVectors")
    (path,) = [path for path, add in log.adds().items() if json.loads(add["stats"])["numRecords"] == 300]
    night(lake, tmp_path)
    log.delete_rows(path, [0, 7, 8, 299], kind)
    first = check(lake, tmp_path)
    assert first.manifest["shards"] == {"total": 2, "computed": 1, "reused": 1}
    kept = pa.concat_tables([table.take([row for row in range(300) if row not in {0, 7, 8, 299}]), rows(20, 1)])
    check_profile(first, kept)
    log.delete_rows(path, [0, 7, 8, 100, 299], kind)
    assert check(lake, tmp_path).manifest["shards"]["reused"] == 1


@pytest.mark.parametrize("spelled", ["{}/../lake folder/t", "{}//t", "{}/../link/t", "{}/t/", "file://{}/t"])
def test_rows_are_deleted_however_the_table_is_spelled(tmp_path, spelled):
    folder = tmp_path / "lake folder"
    folder.mkdir()
    (tmp_path / "link").symlink_to(folder)
    texts = ["a b", "x/y", "ü=1", "100%", "a%20b"]
    write(str(folder / "t"), pa.table({"x": list(range(10)), "key": texts * 2}), partition_by=["key"])
    log = DeltaLog(folder / "t")
    log.protocol("deletionVectors")
    for path in log.adds():
        log.delete_rows(path, [0], "i")
    done = run(f"delta:{spelled.format(folder)}", tmp_path / "out")
    check_profile(done, delta_rows(str(folder / "t")))
    assert done.manifest["rows"]["read"] == 5


def test_deleted_rows_of_no_file_of_the_table_are_refused(lake, tmp_path, monkeypatch):
    write(lake, rows(5))
    log = DeltaLog(lake)
    log.protocol("deletionVectors")
    log.delete_rows(next(iter(log.adds())), [0], "i")
    table = deltalake.DeltaTable(lake)
    (vector,) = (pa.record_batch(each) for each in table.deletion_vectors())
    moved = vector.set_column(0, "filepath", pa.array([f"{table.table_uri}other.parquet"]))
    monkeypatch.setattr(deltalake.DeltaTable, "deletion_vectors", lambda _: iter([moved]))
    with pytest.raises(DatasetError, match=r"rows are deleted of other\.parquet"):
        night(lake, tmp_path)


def test_deleted_rows_over_several_row_groups_and_batches(lake, tmp_path):
    write(lake, rows(1000), writer_properties=deltalake.WriterProperties(max_row_group_size=128))
    log = DeltaLog(lake)
    log.protocol("deletionVectors")
    (path,) = log.adds()
    log.delete_rows(path, [*range(100, 300), 511, 512, 999], "i")
    shards = open_dataset(DatasetOptions(source=f"delta:{lake}")).shards
    assert [rows for shard in shards for rows in shard.group_rows] == [100, 84, 127, 127, 128, 128, 103]
    check(lake, tmp_path, shard_bytes=1)


@pytest.mark.parametrize("mode", ["name", "id"])
def test_mapped_columns_are_read_under_their_names(lake, tmp_path, mode):
    configuration = {"delta.columnMapping.mode": mode}
    write(lake, rows(80), configuration=configuration, partition_by=["level"])
    check(lake, tmp_path)
    log = DeltaLog(lake)
    before = night(lake, tmp_path)

    def swap(fields):
        """Two columns change names: files hold neither name."""
        for field in fields:
            field["name"] = {"x": "count", "count": "x", "level": "grade"}.get(field["name"], field["name"])

    log.change_schema(swap)
    partitioned = next(action for action in reversed(log.actions()) if "metaData" in action)["metaData"]
    log.commit({"metaData": partitioned | {"partitionColumns": ["grade"]}})
    after = check(lake, tmp_path)
    numbers = [{row["column"]: row["mean"] for row in each.table("profile").to_dicts()} for each in (before, after)]
    assert (numbers[0]["x"], numbers[0]["count"]) == (numbers[1]["count"], numbers[1]["x"])


def test_a_column_of_a_name_that_another_had_is_another(lake, tmp_path):
    write(lake, pa.table({"x": [1.0, 2.0], "y": [3.0, 4.0]}), configuration={"delta.columnMapping.mode": "name"})
    night(lake, tmp_path)

    def replace(fields):
        fields[0]["metadata"] = {"delta.columnMapping.id": 9, "delta.columnMapping.physicalName": "another"}

    DeltaLog(lake).change_schema(replace)
    done = night(lake, tmp_path)
    assert done.table("profile").filter(column="x")["missing"].item() == 2


def test_widened_types(lake, tmp_path):
    write(lake, pa.table({"n": pa.array([1, 2, 2], pa.int32()), "real": pa.array([1.5, 2.5, 3.5], pa.float32())}))
    night(lake, tmp_path)
    log = DeltaLog(lake)
    log.protocol("typeWidening")

    def widen(fields):
        fields[0]["type"], fields[1]["type"] = "long", "double"

    log.change_schema(widen)
    piece = pa.table({"n": pa.array([2**40], pa.int64()), "real": pa.array([0.1], pa.float64())})
    pq.write_table(piece, f"{lake}/later.parquet")
    size, stats = (tmp_path / "lake/later.parquet").stat().st_size, json.dumps({"numRecords": 1})
    log.commit(
        {
            "add": {
                "path": "later.parquet",
                "partitionValues": {},
                "size": size,
                "modificationTime": 1,
                "dataChange": True,
                "stats": stats,
            }
        }
    )
    done = night(lake, tmp_path)
    check_profile(done, pa.table({"n": [1, 2, 2, 2**40], "real": [1.5, 2.5, 3.5, 0.1]}))
    as_words = night(lake, tmp_path, "words", kinds={"n": "category"})
    values = as_words.table("profile").filter(column="n")["top_values"].item()
    assert {each["value"] for each in values} == {"1", "2", str(2**40)}


def test_tasks_carry_what_is_deleted(lake):
    write(lake, rows(50), configuration={"delta.columnMapping.mode": "name"})
    log = DeltaLog(lake)
    log.protocol("deletionVectors", "columnMapping")
    options = DatasetOptions(source=f"delta:{lake}")
    (before,) = open_dataset(options).shards
    log.delete_rows(next(iter(log.adds())), [3, 4], "i")
    dataset = open_dataset(options)
    (shard,) = pickle.loads(pickle.dumps(dataset.shards))
    assert shard == dataset.shards[0]
    assert (shard.place, shard.rows) == (before.place, 48)
    assert shard.digest != before.digest
    batches = list(read_batches(shard, dataset.columns, {}, 7))
    kept = rows(50).take([row for row in range(50) if row not in {3, 4}])
    assert pa.concat_arrays([batch["x"] for batch in batches]).equals(kept["x"].combine_chunks())


def test_deleted_rows_and_mapped_columns_on_every_engine(lake, tmp_path, engine_kind):
    write(lake, rows(200), configuration={"delta.columnMapping.mode": "name"}, partition_by=["level"])
    log = DeltaLog(lake)
    log.protocol("deletionVectors", "columnMapping")
    for path in log.adds():
        log.delete_rows(path, [0, 3], "u")
    check_profile(run(f"delta:{lake}", tmp_path / "out", engine_kind), delta_rows(lake))


def test_several_sources(lake, tmp_path):
    write(lake, rows(50))
    other, plain = str(tmp_path / "other"), tmp_path / "plain.parquet"
    write(other, rows(40, 1))
    pq.write_table(rows(30, 2), plain)
    done = run([f"delta:{lake}", str(plain), f"delta:{other}", f"delta:{lake}"], tmp_path / "out")
    assert done.manifest["rows"]["read"] == 120
    assert [source["rows"] for source in done.manifest["sources"]] == [50, 40]
    with pytest.raises(ConfigurationError, match="a version of one table, and 2 are read"):
        run([f"delta:{lake}", f"delta:{other}"], tmp_path / "out", version=0)


def test_a_table_counts_once_however_it_is_named(lake, tmp_path):
    write(lake, rows(50))
    (tmp_path / "link").symlink_to(lake)
    named = [f"delta:{lake}", f"delta:{lake}/", f"delta:file://{lake}", f"delta:{tmp_path}/link"]
    done = run(named, tmp_path / "out")
    check_profile(done, delta_rows(lake))
    assert run([f"{lake}/", lake], tmp_path / "auto", table_format="auto").manifest["rows"]["read"] == 50


def test_a_file_of_a_table_is_no_second_source(lake, tmp_path):
    write(lake, rows(50))
    plain = tmp_path / "plain.parquet"
    pq.write_table(rows(50), plain)
    log = DeltaLog(lake)
    (add,) = log.adds().values()
    log.commit({"add": add | {"path": plain.as_uri(), "size": plain.stat().st_size}})
    (tmp_path / "link.parquet").symlink_to(plain)
    for source in (plain, tmp_path / "link.parquet"):
        with pytest.raises(DatasetError, match="a file of a table that is read as well"):
            run([str(source), f"delta:{lake}"], tmp_path / "out")


@pytest.mark.parametrize("order", [1, -1])
def test_tables_that_share_a_file_have_their_own_deleted_rows(lake, tmp_path, order):
    write(lake, rows(50))
    clone = tmp_path / "clone"
    shutil.copytree(f"{lake}/_delta_log", clone / "_delta_log")
    log = DeltaLog(clone)
    ((path, add),) = log.adds().items()
    shared = (tmp_path / "lake" / path).as_uri()
    log.commit({"remove": {"path": path, "deletionTimestamp": 1, "dataChange": True}}, {"add": add | {"path": shared}})
    log.protocol("deletionVectors")
    log.delete_rows(shared, [0, 1, 2], "i")
    done = run([f"delta:{lake}", f"delta:{clone}"][::order], tmp_path / "out")
    kept = pa.concat_tables([rows(50), rows(50).slice(3)])
    read = {row["column"]: row["mean"] for row in done.table("profile").to_dicts()}
    assert done.manifest["rows"]["read"] == 97
    assert read["count"] == pytest.approx(sum(kept["count"].to_pylist()) / 97)


def test_a_plain_file_keeps_the_name_of_its_states(tmp_path):
    file = DataFile("/lake/a.parquet", 7, "1.5", (("day", "1"),), "a.parquet")
    expected = "DataFile(uri='/lake/a.parquet', size=7, version='1.5', partitions=(('day', '1'),), place='a.parquet')"
    assert Shard(file, (0,), (1,), 1).digest == hashlib.sha256(f"({expected}, (0,))".encode()).hexdigest()[:24]


def test_earlier_versions(lake, tmp_path):
    write(lake, rows(30))
    first = delta_rows(lake)
    write(lake, rows(20, 1), mode="append")
    check_profile(night(lake, tmp_path, version=0), first)
    check_profile(night(lake, tmp_path, "later", version=datetime.now(UTC) + timedelta(hours=1)), delta_rows(lake))
    with pytest.raises(DatasetError, match="no version 7"):
        night(lake, tmp_path, version=7)
    with pytest.raises(DatasetError, match="younger than 1999"):
        night(lake, tmp_path, version=datetime(1999, 1, 1, tzinfo=UTC))


def test_a_moment_between_two_commits(lake, tmp_path):
    start = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
    for version, count in enumerate((5, 3, 2)):
        write(lake, rows(count), mode="append")
        path = tmp_path / f"lake/_delta_log/{version:020d}.json"
        actions = [json.loads(line) for line in path.read_text().splitlines()]
        for action in actions:
            if "commitInfo" in action:
                action["commitInfo"]["timestamp"] = (start + 60 * version) * 1000
        path.write_text("\n".join(map(json.dumps, actions)) + "\n")
        os.utime(path, (start + 60 * version,) * 2)
    for version, count in enumerate((5, 8, 10)):
        moment = datetime.fromtimestamp(start + 60 * version + 30, UTC)
        done = night(lake, tmp_path, f"at {version}", version=moment)
        assert (done.manifest["sources"][0]["version"], done.manifest["rows"]["read"]) == (version, count)
    with pytest.raises(DatasetError, match="younger than"):
        night(lake, tmp_path, version=datetime.fromtimestamp(start - 1, UTC))


def test_what_cannot_be_read_is_refused_by_name(lake, tmp_path, monkeypatch):
    with pytest.raises(DatasetError, match="no Delta table there"):
        night(lake, tmp_path)
    write(lake, rows(5))
    log = DeltaLog(lake)
    log.protocol("madeUp")
    with pytest.raises(SchemaError, match="'madeUp'"):
        night(lake, tmp_path)
    with pytest.raises(ConfigurationError, match="no source is a table"):
        run(str(tmp_path), tmp_path / "out", version=3)
    monkeypatch.setitem(__import__("sys").modules, "deltalake", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'featflow\[delta\]'"):
        night(lake, tmp_path)


def test_a_file_that_is_not_as_the_log_says_is_named(lake, tmp_path):
    write(lake, rows(5))
    log = DeltaLog(lake)
    ((path, add),) = log.adds().items()
    log.commit({"add": add | {"stats": json.dumps({"numRecords": 6})}})
    with pytest.raises(DatasetError, match=f"{path}: 5 rows in its footer where the table's metadata counts 6"):
        night(lake, tmp_path)


def test_a_file_that_is_gone_is_named(lake, tmp_path):
    write(lake, rows(5))
    (path,) = DeltaLog(lake).adds()
    held = (tmp_path / "lake" / path).read_bytes()
    (tmp_path / "lake" / path).unlink()
    with pytest.raises(DatasetError, match=f"{path}: .* is not there"):
        night(lake, tmp_path)
    (tmp_path / "lake" / path).write_bytes(held)
    night(lake, tmp_path)
    (tmp_path / "lake" / path).unlink()
    with pytest.raises(DatasetError, match=f"{path}: .* is not there"):  # its footer is known
        night(lake, tmp_path, kinds={"count": "category"})


def test_a_window_chooses_files_by_partition_day(lake, tmp_path):
    table = rows(100).filter(rows(100)["day"].is_valid())
    write(lake, table, partition_by=["day"])
    done = night(lake, tmp_path, event_time="day", window="last 1 day")
    last = max(table["day"].to_pylist())
    assert done.manifest["rows"]["read"] == table["day"].to_pylist().count(last)


def test_a_folder_is_read_as_the_table_that_it_is_where_that_is_asked_for(lake, tmp_path):
    write(lake, rows(60))
    write(lake, rows(40, 1), mode="overwrite")
    with pytest.raises(DatasetError, match=f"source: 'delta:{lake}'"):
        run(lake, tmp_path / "plain")
    named = run(lake, tmp_path / "auto", table_format="auto")
    assert named.table("profile").equals(night(lake, tmp_path).table("profile"), null_equal=True)
    assert named.manifest["rows"]["read"] == 40
