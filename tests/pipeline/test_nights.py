"""Night after night: a new day costs itself, what is gone leaves the result, and codings stay until told otherwise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import s3fs

import featflow
from featflow.config import parse
from featflow.errors import ConfigurationError, InfrastructureError
from featflow.pipeline.plan import plan

DAY_ROWS = 300
EXACT = ("ranking", "interaction")


def day(seed, shift=0.0, levels=("a", "b", "c")):
    random = np.random.default_rng(seed)
    x = random.normal(shift, 1, DAY_ROWS)
    return pa.table(
        {
            "x": x,
            "twin": x,
            "z": pa.array(random.exponential(size=DAY_ROWS), mask=random.random(DAY_ROWS) < 0.1),
            "level": random.choice(levels, DAY_ROWS),
            "y": (x + random.normal(size=DAY_ROWS) > shift).astype(np.int8),
        }
    )


@pytest.fixture
def nights(tmp_path):
    return Nights(tmp_path)


class Nights:
    def __init__(self, folder):
        self.folder = folder
        (folder / "data").mkdir()

    def write(self, *days, **how):
        for number in days:
            pq.write_table(day(number, **how), self.folder / f"data/{number:03d}.parquet")

    def config(self, out="out", **codebook):
        dataset = {"source": str(self.folder / "data"), "targets": ["y"]}
        values = {"dataset": dataset, "output": str(self.folder / out), "engine": {"kind": "serial"}}
        return values | {"codebook": codebook}

    def run(self, out="out", **codebook):
        return featflow.run(self.config(out, **codebook))

    def from_nothing(self, like):
        """A run over what is there, with the codings of another run and none of its states."""
        other = self.folder / "other"
        codebook = f"states/codebook/{like.manifest['codebook']}.arrow"
        (other / codebook).parent.mkdir(parents=True, exist_ok=True)
        (other / codebook).write_bytes((self.folder / "out" / codebook).read_bytes())
        return self.run("other", version=like.manifest["codebook"])


def check_equal(night, whole):
    """Equal to the last bit for counts and what is made of them."""
    for name in EXACT:
        assert night.table(name).equals(whole.table(name), null_equal=True), name
    counted = pl.col("method").is_in(["mutual_information", "cramers_v"])
    assert (
        night.table("correlation").filter(counted).equals(whole.table("correlation").filter(counted), null_equal=True)
    )


def test_a_new_day_costs_itself_and_changes_nothing_else(nights):
    nights.write(*range(20))
    first = nights.run()
    assert first.manifest["shards"] == {"total": 20, "computed": 20, "reused": 0}
    nights.write(20)
    planned = plan(parse(nights.config()))
    assert planned.profile_shards == 1
    night = nights.run()
    assert night.manifest["shards"] == {"total": 21, "computed": 1, "reused": 20}
    assert night.manifest["codebook"] == first.manifest["codebook"]
    check_equal(night, nights.from_nothing(night))


def test_what_is_gone_or_rewritten_leaves_the_result(nights):
    nights.write(*range(20))
    nights.run()
    (nights.folder / "data/000.parquet").unlink()
    gone = nights.run()
    assert gone.manifest["shards"] == {"total": 19, "computed": 0, "reused": 19}
    check_equal(gone, nights.from_nothing(gone))
    pq.write_table(day(77), nights.folder / "data/007.parquet")
    again = nights.run()
    assert again.manifest["shards"] == {"total": 19, "computed": 1, "reused": 18}
    check_equal(again, nights.from_nothing(again))
    assert not again.table("ranking").equals(gone.table("ranking"), null_equal=True)


def test_a_day_that_comes_late_is_filled_in(nights):
    nights.write(*range(9), *range(10, 20))
    nights.run()
    nights.write(9)
    late = nights.run()
    assert late.manifest["shards"] == {"total": 20, "computed": 1, "reused": 19}
    check_equal(late, nights.from_nothing(late))


def test_new_codings_are_made_when_told(nights):
    nights.write(*range(5))
    first = nights.run()
    nights.write(5, shift=3.0)
    kept, made = nights.run(), nights.run(frozen=False)
    assert kept.manifest["codebook"] == first.manifest["codebook"] != made.manifest["codebook"]
    after = nights.run()
    assert after.manifest["codebook"] == made.manifest["codebook"]
    assert after.manifest["shards"]["computed"] == 0
    other = nights.run(bins=16)
    assert other.manifest["codebook"] not in {first.manifest["codebook"], made.manifest["codebook"]}


def test_codings_that_no_longer_fit_are_named(nights):
    nights.write(*range(6))
    assert nights.run().manifest["warnings"] == []
    nights.write(6, 7, shift=9.0, levels=("d", "e"))
    warnings = nights.run().manifest["warnings"]
    said = [line for line in warnings if line.startswith("codebook: ")]
    assert {line.split("'")[1] for line in said} == {"x", "twin", "level"}
    assert "25.0% of the values of 'level' lie in none of the levels" in "\n".join(said)
    assert all("--rebin" in line for line in said)
    assert not [line for line in nights.run(frozen=False).manifest["warnings"] if line.startswith("codebook: ")]


def test_a_column_that_comes_gets_a_coding_of_its_own(nights):
    nights.write(*range(4))
    first = nights.run()
    for number in range(4):
        table = day(number).append_column("new", pa.array(np.arange(DAY_ROWS) % 7))
        pq.write_table(table, nights.folder / f"data/{number:03d}.parquet")
    second = nights.run()
    assert "new" in second.table("ranking")["feature"].to_list()
    ours, theirs = (
        run.table("ranking").filter(pl.col("feature") != "new").sort("feature")["mi"].to_list()
        for run in (second, first)
    )
    assert ours == theirs


def test_a_codebook_that_is_not_there_is_named(nights):
    nights.write(0)
    with pytest.raises(ConfigurationError, match=r"codebook.version: no codebook abc at .*out"):
        nights.run(version="abc")


def test_damaged_states_are_never_used(nights):
    nights.write(*range(10))
    codebook = nights.run().manifest["codebook"]
    states = [path for path in nights.folder.glob("out/states/**/*.arrow") if path.stem != codebook]
    for path in states:
        whole = path.read_bytes()
        path.write_bytes(whole[:-50] + bytes([whole[-50] ^ 1]) + whole[-49:])
    nights.write(10)
    named = []
    while True:  # each that is needed is named, and made anew once it is removed
        try:
            night = nights.run()
            break
        except InfrastructureError as error:
            damaged = Path(str(error).partition(": damaged")[0])
            assert damaged in states
            damaged.unlink()
            named.append(damaged)
    assert len(named) > 1
    check_equal(night, nights.from_nothing(night))


def test_damaged_footers_are_read_again(nights):
    nights.write(*range(3))
    nights.run()
    footers = nights.folder / "out/states/footers.arrow"
    whole = footers.read_bytes()
    footers.write_bytes(whole[:-1])
    run = nights.run()
    assert (run.manifest["shards"]["computed"], run.manifest["rows"]["read"]) == (0, 3 * DAY_ROWS)
    assert footers.stat().st_size == len(whole)


def test_the_duplicate_is_found_every_night(nights):
    for night in range(3):
        nights.write(night)
        rows = {row["column"]: row["alerts"] for row in nights.run().table("profile").to_dicts()}
        assert rows["twin"] == ["duplicate_of:x"]


@pytest.mark.parametrize("server", ["moto", "rclone"])
def test_a_night_on_object_storage(server, request):
    options = request.getfixturevalue(f"{server}_options")
    filesystem = s3fs.S3FileSystem(**options, use_listings_cache=False)

    def write(number):
        with filesystem.open(f"lake/nights/data/day={number:02d}/a.parquet", "wb") as sink:
            pq.write_table(day(number), sink)

    for number in range(6):
        write(number)
    config = {
        "dataset": {"source": "s3://lake/nights/data", "targets": ["y"], "storage_options": options},
        "output": "s3://lake/nights/out",
        "engine": {"kind": "serial"},
    }
    first = featflow.run(config)
    write(6)
    night = featflow.run(config)
    assert night.manifest["shards"] == {"total": 7, "computed": 1, "reused": 6}
    codebook = f"states/codebook/{first.manifest['codebook']}.arrow"
    filesystem.copy(f"lake/nights/out/{codebook}", f"lake/nights/other/{codebook}")
    pinned = {"output": "s3://lake/nights/other", "codebook": {"version": first.manifest["codebook"]}}
    check_equal(night, featflow.run(config | pinned))
