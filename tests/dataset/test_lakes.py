"""What lakes of strangers hold: links, names, types and times that writers leave, each read rightly or told of."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featflow.columns.column import Kind
from featflow.dataset.batches import read_batches
from featflow.dataset.dataset import open_dataset
from featflow.dataset.footers import Footers
from featflow.dataset.options import DatasetOptions
from featflow.dataset.passed_over import Reason
from featflow.errors import DatasetError, SchemaError

LAST = 2**63 - 1


def write(path, columns=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns or {"x": [1.0, 2.0]}), path, **options)


def opened(source, footers=None, **options):
    sources = source if isinstance(source, list) else [str(source)]
    return open_dataset(DatasetOptions(source=sources, **options), footers=footers)


def values(dataset):
    found = {column.name: [] for column in (*dataset.columns, *dataset.entity)}
    for shard in dataset.shards:
        for batch in read_batches(shard, (*dataset.columns, *dataset.entity), {}, 1000):
            for name in found:
                found[name] += batch.column(name).to_pylist()
    return found


def reasons(dataset):
    return {entry.uri.rpartition("/")[2]: entry.reason for entry in dataset.passed_over}


class TestFiles:
    def test_links_are_followed_and_no_file_counts_twice(self, tmp_path):
        write(tmp_path / "elsewhere" / "deep" / "b.parquet")
        write(tmp_path / "lake" / "a.parquet")
        (tmp_path / "lake" / "day=2").symlink_to("../elsewhere", target_is_directory=True)
        (tmp_path / "lake" / "latest.parquet").symlink_to("a.parquet")
        (tmp_path / "lake" / "circle").symlink_to(".", target_is_directory=True)
        for source in (tmp_path / "lake", tmp_path / "lake" / "**" / "*.parquet"):
            dataset = opened(source)
            assert dataset.rows == 4
            assert sorted({*values(dataset)["day"]}, key=str) == [2, None]
            assert reasons(dataset) == {"latest.parquet": Reason.LINK_TWICE, "circle": Reason.LINK_LOOP}

    def test_sources_that_are_one_by_a_link_count_once(self, tmp_path):
        write(tmp_path / "p" / "a.parquet")
        (tmp_path / "q").symlink_to("p", target_is_directory=True)
        dataset = opened([f"{tmp_path}/p", f"{tmp_path}/q"])
        assert (dataset.rows, reasons(dataset)) == (2, {"a.parquet": Reason.LINK_TWICE})

    def test_folders_that_link_to_each_other_are_entered_once(self, tmp_path):
        names = "abcdefgh"
        for name in names:
            write(tmp_path / name / "x.parquet")
            for other in names.replace(name, ""):
                (tmp_path / name / other).symlink_to(f"../{other}", target_is_directory=True)
        dataset = opened(tmp_path)
        assert dataset.rows == 2 * len(names)
        assert len(dataset.passed_over) < 1000

    def test_a_link_is_as_old_as_its_file(self, tmp_path):
        write(tmp_path / "blob")
        (tmp_path / "lake").mkdir()
        (tmp_path / "lake" / "a.parquet").symlink_to("../blob")
        before = opened(tmp_path / "lake").shards[0].digest
        write(tmp_path / "blob", {"x": [1.0, 3.0]})
        assert opened(tmp_path / "lake").shards[0].digest != before

    def test_names_without_a_suffix_are_looked_into(self, tmp_path):
        for name in ("000000_0", "a.PQ", "b.parq.zst", "_batch=1/c.parquet"):
            write(tmp_path / name)
        for name in ("LICENSE", "notes.txt", "_SUCCESS", "._a.PQ", "_temporary/0/a.parquet"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("words")
        dataset = opened(tmp_path)
        assert dataset.rows == 8
        assert reasons(dataset) == {
            "LICENSE": Reason.OTHER_CONTENT,
            "notes.txt": Reason.OTHER_NAME,
            "_SUCCESS": Reason.HIDDEN,
            "._a.PQ": Reason.HIDDEN,
            "a.parquet": Reason.HIDDEN,
        }
        assert [note for note in dataset.notes if "passed over" in note] == [
            f"passed over 1 (named without a suffix, and no Parquet file inside): {tmp_path}/LICENSE"
        ]

    def test_data_of_another_format_is_told_of(self, tmp_path):
        write(tmp_path / "a.parquet")
        (tmp_path / "b.csv").write_text("x\n1\n")
        dataset = opened(tmp_path)
        assert reasons(dataset) == {"b.csv": Reason.OTHER_FORMAT}
        assert any("b.csv" in note for note in dataset.notes)

    def test_a_damaged_file_without_a_suffix_is_no_foreign_one(self, tmp_path):
        write(tmp_path / "000000_0")
        write(tmp_path / "000001_0")
        (tmp_path / "000001_0").write_bytes((tmp_path / "000001_0").read_bytes()[:-9])
        dataset = opened(tmp_path)
        assert [entry.uri for entry in dataset.quarantined] == [f"{tmp_path}/000001_0"]

    def test_a_name_that_is_no_text_is_told_of(self, tmp_path):
        write(tmp_path / "a.parquet")
        (tmp_path / b"caf\xe9".decode("utf-8", "surrogateescape")).mkdir()
        assert reasons(opened(tmp_path)) == {r"caf\xe9": Reason.NAME}

    @pytest.mark.parametrize("name", ["a[1]", "what?", "{a,b}", "*", "a#b %20"])
    def test_a_path_that_is_there_is_no_pattern(self, tmp_path, name):
        write(tmp_path / name / "a.parquet")
        write(tmp_path / "a1" / "a.parquet")
        assert opened(tmp_path / name).rows == 2

    def test_a_pattern_names_files_or_folders(self, tmp_path):
        for day in range(1, 4):
            write(tmp_path / f"day={day}" / "deep" / "a.parquet")
        dataset = opened(tmp_path / "day=[12]")
        assert (dataset.rows, {*values(dataset)["day"]}) == (4, {1, 2})
        with pytest.raises(DatasetError, match="are a pattern"):
            opened(tmp_path / "day=[45]")

    def test_outputs_of_featflow_are_no_data(self, tmp_path):
        write(tmp_path / "a.parquet")
        write(tmp_path / "old" / "runs" / "20260101T000000Z-abcdef" / "tables" / "ranking.parquet", {"r": [1]})
        write(tmp_path / "old" / "states" / "s.parquet", {"s": [1]})
        dataset = opened(tmp_path)
        assert [column.name for column in dataset.columns] == ["x"]
        assert {*reasons(dataset).values()} == {Reason.OTHER_OUTPUT}
        assert any("an output of featflow" in note for note in dataset.notes)

    @pytest.mark.parametrize(
        ("mark", "said"),
        [
            ("_delta_log/00000000000000000000.json", "delta:"),
            ("metadata/v1.metadata.json", "iceberg:"),
            (".hoodie/hoodie.properties", "Hudi"),
        ],
    )
    def test_a_table_of_a_format_is_refused(self, tmp_path, mark, said):
        write(tmp_path / "lake" / "t" / "day=1" / "a.parquet")
        (tmp_path / "lake" / "t" / mark).parent.mkdir(parents=True)
        (tmp_path / "lake" / "t" / mark).write_text("{}")
        for source in ("lake", "lake/t", "lake/*/day=1/*.parquet"):
            with pytest.raises(DatasetError, match=said) as caught:
                opened(tmp_path / source)
            assert f"{tmp_path}/lake/t" in str(caught.value)
        if "metadata" not in mark:
            with pytest.raises(DatasetError, match=said):
                opened(tmp_path / "lake/t/day=1")

    @pytest.mark.parametrize(
        ("mark", "file", "said"),
        [
            ("_delta_log/0.json", "a.parquet", "a Delta table.*featflow run 'delta:"),
            ("_delta_log/0.json", "day=1/a.parquet", "a Delta table.*delta:"),
            ("metadata/v1.metadata.json", "data/a.parquet", "an Iceberg table.*featflow run iceberg:"),
            ("metadata/v1.metadata.json", "data/day=1/a.parquet", "an Iceberg table.*iceberg:"),
            (".hoodie/hoodie.properties", "a.parquet", "a Hudi table"),
        ],
    )
    def test_a_file_or_the_data_of_a_table_is_refused(self, tmp_path, mark, file, said):
        write(tmp_path / "t" / file)
        (tmp_path / "t" / mark).parent.mkdir(parents=True)
        (tmp_path / "t" / mark).write_text("{}")
        folder = (tmp_path / "t" / file).parent
        for source in (f"t/{file}", str(folder / "*.parquet"), str(folder)):
            with pytest.raises(DatasetError, match=said):
                opened(tmp_path / source)

    def test_tables_are_looked_for_once_a_folder(self, tmp_path, monkeypatch):
        from fsspec.implementations.local import LocalFileSystem

        asked, info = [], LocalFileSystem.info
        monkeypatch.setattr(LocalFileSystem, "info", lambda self, path, **_: asked.append(path) or info(self, path))
        for number in range(20):
            write(tmp_path / "data" / f"{number}.parquet")
        assert opened([str(tmp_path / "data" / f"{number}.parquet") for number in range(20)]).rows == 40
        assert len([path for path in asked if path.endswith(("_delta_log", ".hoodie"))]) == 4

    def test_a_table_beside_what_is_read_disturbs_nobody(self, tmp_path):
        write(tmp_path / "plain" / "a.parquet")
        write(tmp_path / "t" / "_delta_log" / "checkpoint.parquet")
        assert opened(tmp_path / "plain" / "*.parquet").rows == 2

    def test_a_footer_that_contradicts_itself(self, tmp_path):
        write(tmp_path / "a.parquet", {"x": np.arange(200.0)}, row_group_size=100)
        write(tmp_path / "b.parquet")
        data = bytearray((tmp_path / "a.parquet").read_bytes())
        rows = data.rfind(b"\x16\x90\x03")  # num_rows of the file, 200 as a zigzag varint
        data[rows + 1 : rows + 3] = b"\x92\x03"
        (tmp_path / "a.parquet").write_bytes(data)
        (entry,) = opened(tmp_path).quarantined
        assert "contradicts itself" in entry.detail


class TestPartitions:
    def test_a_list_of_folders_and_their_keys(self, tmp_path):
        for day in range(1, 4):
            write(tmp_path / f"a%20key={day}%2F" / "x.parquet")
        dataset = opened([str(tmp_path / f"a%20key={day}%2F") for day in (1, 3)])
        assert values(dataset)["a key"] == ["1/", "1/", "3/", "3/"]

    def test_a_key_that_is_twice_in_a_path(self, tmp_path):
        write(tmp_path / "x=1" / "y=2" / "x=3" / "a.parquet", {"v": [1]})
        with pytest.raises(SchemaError, match="'x' is twice"):
            opened(tmp_path)

    def test_a_key_that_the_files_hold_too(self, tmp_path):
        days = [date(2024, 1, 1), date(2024, 1, 2)]
        for day in days:
            write(tmp_path / f"day={day}" / "a.parquet", {"x": [1.0], "day": [day], "r": ["eu"]})
        assert values(opened(tmp_path))["day"] == [19723 * 86_400_000_000, 19724 * 86_400_000_000]
        write(tmp_path / "day=2024-01-03" / "a.parquet", {"x": [1.0], "day": [date(2024, 1, 4)], "r": ["eu"]})
        with pytest.raises(SchemaError, match=r"day=2024-01-03.*'day' holds other values"):
            opened(tmp_path)
        assert [column.name for column in opened(tmp_path, exclude=["day"]).columns] == ["x", "r"]

    @pytest.mark.parametrize(
        ("folder", "value"),
        [
            ("3000000000", pa.array([3_000_000_000], pa.uint32())),
            ("18446744073709551615", pa.array([2**64 - 1], pa.uint64())),
            ("2024-01-01 00%3A00%3A00", pa.array([19723 * 86_400 * 10**6], pa.timestamp("us"))),
            ("2024-01-01T10%3A00%3A00", pa.array([19723 * 86_400_000 + 36_000_000], pa.timestamp("ms"))),
            ("0.1", pa.array([0.1], pa.float32())),
            ("true", pa.array([True])),
            ("01%3A00%3A00", pa.array([3600], pa.time32("s"))),
        ],
    )
    def test_a_key_in_the_files_as_any_type(self, tmp_path, folder, value):
        write(tmp_path / f"k={folder}" / "a.parquet", {"x": [1.0], "k": value})
        assert opened(tmp_path).rows == 1

    def test_whether_folder_and_file_agree_is_found_anew_for_other_keys(self, tmp_path):
        write(tmp_path / "k=1" / "sub" / "a.parquet", {"x": [1.0], "k": [2]})
        footers = Footers(None)
        assert opened(tmp_path / "k=1" / "sub" / "a.parquet", footers=footers, exclude=["k"]).rows == 1
        with pytest.raises(SchemaError, match="'k' holds other values"):
            opened(tmp_path, footers=footers)


class TestColumns:
    def test_a_dot_in_a_name_is_no_struct(self, tmp_path):
        write(tmp_path / "a.parquet", {"user": [{"age": 1, "id": 2}], "user.name": ["a"], "u": ["b"], "u.v": [1]})
        names = [column.name for column in opened(tmp_path, exclude=["user", "u"]).columns]
        assert names == ["user.name", "u.v"]

    def test_columns_that_some_files_lack(self, tmp_path):
        for number, columns in enumerate(({"a": [1], "B": [1]}, {"a": [2], "b": [2]}, {"a": [3], "b": [2]})):
            write(tmp_path / f"{number}.parquet", columns)
        write(tmp_path / "k=1" / "3.parquet", {"a": [1], "b": [3]})
        notes = "\n".join(opened(tmp_path).notes)
        assert f"columns 'B', 'k' are not in 3 of 4 files, the first is {tmp_path}/1.parquet" in notes
        assert f"column 'b' is not in 1 of 4 files, the first is {tmp_path}/0.parquet" in notes
        assert "'B' and 'b' differ in case alone" in notes

    def test_files_without_rows_and_without_types(self, tmp_path):
        write(tmp_path / "a.parquet", {"x": pa.array([], pa.string()), "only": pa.array([], pa.int8())})
        write(tmp_path / "b.parquet", {"x": [1.5], "meta": pa.nulls(1)})
        write(tmp_path / "c.parquet", {"x": [2.5], "meta": [{"a": 1}]})
        dataset = opened(tmp_path)
        assert {column.name: column.kind for column in dataset.columns} == {
            "x": Kind.NUMBER,
            "meta.a": Kind.NUMBER,
            "only": Kind.NUMBER,
        }
        assert values(dataset) == {"x": [1.5, 2.5], "meta.a": [None, 1], "only": [None, None]}

    def test_bytes_as_words_and_keys(self, tmp_path):
        ids = [uuid.UUID(int=number) for number in (1, 2)]
        keys = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([each.bytes for each in ids], pa.binary(16)))
        columns = {
            "b": pa.array([b"Porto", b"\xff\x01"], pa.binary_view()),
            "f": pa.array([b"ab", b"cd"], pa.binary(2)),
        }
        write(tmp_path / "a.parquet", columns | {"id": keys, "x": [1, 2]})
        dataset = opened(tmp_path, kinds={"b": "category"}, entity=["id", "f"])
        assert values(dataset) == {"b": ["Porto", "ff01"], "x": [1, 2], "id": [*map(str, ids)], "f": ["ab", "cd"]}
        assert not any("cannot group rows" in note for note in dataset.notes)
        write(tmp_path / "a.parquet", columns | {"l": [[1], [2]], "x": [1, 2]})
        assert opened(tmp_path).left_out() == [
            {"reason": "a column of binary_view", "count": 1, "first": ["b"]},
            {"reason": "a column of fixed_size_binary[2]", "count": 1, "first": ["f"]},
            {"reason": "a column of list<element: int64>", "count": 1, "first": ["l"]},
        ]
        with pytest.raises(SchemaError, match=r"dataset.kinds: 'b' is binary_view.* as number"):
            opened(tmp_path, kinds={"b": "number"})

    def test_nothing_that_can_be_analysed(self, tmp_path):
        write(tmp_path / "a.parquet", {"l": [[1]], "b": [b"1"]})
        with pytest.raises(
            SchemaError, match=r"no column can be analysed: column 'l' of type list.*, column 'b' of type binary"
        ):
            opened(tmp_path)


class TestText:
    @pytest.mark.parametrize("encoding", ["DELTA_BYTE_ARRAY", "DELTA_LENGTH_BYTE_ARRAY"])
    def test_encodings_that_are_no_dictionaries(self, tmp_path, encoding):
        words = pa.table({"w": ["a", None, "b"], "s": [{"t": "a"}, {"t": "c"}, None]})
        options = {"use_dictionary": False, "column_encoding": {"w": encoding, "s.t": encoding}}
        write(tmp_path / "a.parquet", {name: words[name] for name in words.column_names}, **options)
        assert values(opened(tmp_path)) == {"w": ["a", None, "b"], "s.t": ["a", "c", None]}


class TestNumbers:
    def test_whole_decimals_beyond_doubles_are_not_merged(self, tmp_path):
        numbers = [10**18 + 1, 10**18 + 2, -3]
        write(tmp_path / "a.parquet", {"d": pa.array(map(Decimal, numbers), pa.decimal128(38, 0))})
        assert values(opened(tmp_path)) == {"d": numbers}
        write(tmp_path / "b.parquet", {"d": pa.array([Decimal(10**30)], pa.decimal128(38, 0))})
        assert values(opened(tmp_path)) == {"d": [*map(float, numbers), 1e30]}

    @pytest.mark.parametrize("kind", [pa.decimal32(7, 2), pa.decimal64(12, 2)])
    def test_narrow_decimals_as_numbers_words_and_keys(self, tmp_path, kind):
        write(tmp_path / "a.parquet", {"d": pa.array([Decimal("1.50"), None], kind), "x": [1, 2]}, store_schema=True)
        assert values(opened(tmp_path))["d"] == [1.5, None]
        assert values(opened(tmp_path, kinds={"d": "category"}))["d"] == ["1.5", None]
        assert values(opened(tmp_path, entity=["d"]))["d"] == ["1.5", None]

    def test_an_id_is_one_word_as_an_integer_and_as_a_float(self, tmp_path):
        write(tmp_path / "a.parquet", {"id": [12_345_678_901, 7]})
        write(tmp_path / "b.parquet", {"id": [12_345_678_901.0, None]})
        assert values(opened(tmp_path, kinds={"id": "category"}))["id"] == ["12345678901", "7", "12345678901", None]

    def test_decimals_are_the_nearest_numbers_and_plain_words(self, tmp_path):
        texts = ["1003.858", "-0.001", "0.000", "7.100"]
        write(tmp_path / "a.parquet", {"d": pa.array(map(Decimal, texts), pa.decimal128(9, 3))})
        assert values(opened(tmp_path)) == {"d": [1003.858, -0.001, 0.0, 7.1]}
        assert values(opened(tmp_path, kinds={"d": "category"})) == {"d": ["1003.858", "-0.001", "0", "7.1"]}


class TestTimes:
    def test_int96_before_1677(self, tmp_path):
        times = pa.array([-(10**16), 0], pa.timestamp("us"))
        write(tmp_path / "a.parquet", {"t": times}, use_deprecated_int96_timestamps=True, store_schema=False)
        assert values(opened(tmp_path)) == {"t": [-(10**16), 0]}

    @pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.timestamp("ms"), pa.duration("s"), pa.date64()])
    @pytest.mark.parametrize("statistics", [True, False])
    def test_times_beyond_int64_end_at_its_bounds(self, tmp_path, kind, statistics):
        day = 86_400 * (1000 if kind in {pa.timestamp("ms"), pa.date64()} else 1)
        numbers = [day * 2**30, -day * 2**30, day, None]
        write(tmp_path / "a.parquet", {"t": pa.array(numbers, kind), "x": [1] * 4}, write_statistics=statistics)
        assert values(opened(tmp_path))["t"] == [LAST, -LAST - 1, 86_400_000_000, None]
        assert values(opened(tmp_path, exclude=["t"])) == {"x": [1] * 4}

    def test_dates_of_any_year(self, tmp_path):
        write(tmp_path / "a.parquet", {"t": pa.array([2**31 - 1, -800_000], pa.int32()).cast(pa.date32())})
        assert values(opened(tmp_path)) == {"t": [LAST, -800_000 * 86_400_000_000]}

    def test_keys_keep_their_nanoseconds(self, tmp_path):
        write(tmp_path / "a.parquet", {"k": pa.array([1, 1000, -1], pa.timestamp("ns")), "x": [1, 2, 3]})
        found = values(opened(tmp_path, entity=["k"]))["k"]
        assert len({*found}) == 3
        assert found[0].endswith("000000001")


class TestWindows:
    def days(self, folder, times, **options):
        for number, moments in enumerate(times):
            kind = pa.timestamp("us")
            write(folder / f"{number}.parquet", {"t": pa.array(moments, kind), "x": [1.0] * len(moments)}, **options)
        return {"event_time": "t", "window": "last 2 days"}

    def test_a_clock_ahead_in_a_file_of_its_own_does_not_move_the_window(self, tmp_path):
        days = [[datetime(2024, 1, day, 1, tzinfo=UTC)] * 3 for day in range(1, 5)]
        options = self.days(tmp_path, [*days, [datetime.now(UTC) + timedelta(days=400)]])
        dataset = opened(tmp_path, **options)
        assert dataset.rows == 6
        assert any("4.parquet" in note and "in the future" in note for note in dataset.notes)

    def test_rows_without_a_time_lie_in_no_window(self, tmp_path):
        options = self.days(
            tmp_path, [[datetime(2024, 1, 1, tzinfo=UTC)], [datetime(2024, 1, 2, tzinfo=UTC)], [None, None]]
        )
        dataset = opened(tmp_path, **options)
        assert dataset.rows == 2
        assert any("2 rows in row groups without any 't'" in note for note in dataset.notes)

    def test_a_sentinel_beside_sound_times_names_file_and_column(self, tmp_path):
        options = self.days(
            tmp_path,
            [
                [datetime(2024, 1, 1, tzinfo=UTC)],
                [datetime(2024, 1, 2, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)],
            ],
        )
        with pytest.raises(SchemaError, match=r"1\.parquet.*'t' goes from 2024-01-02.* to 9999-12-31"):
            opened(tmp_path, **options)
