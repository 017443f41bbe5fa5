"""Faults that pass cost a read, a night at most: nothing sound stays left out, and nothing damaged slips in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import measured_again
from walking_store import walking_store

import featflow
from featflow.cli.main import main
from featflow.dataset.batches import unreadable
from featflow.errors import BadDataError, InfrastructureError
from featflow.execution import quarantine, quarantine_notes, shard_tasks
from featflow.storage import retries

ROWS, GROUP_ROWS = 400, 100
NOTES = "states/quarantine"


@pytest.fixture
def lake(tmp_path, monkeypatch):
    """A file of four row groups on a store whose answers a test spoils; and what configures a run of it."""
    monkeypatch.setattr(retries, "FIRST_WAIT", 0.001)
    random = np.random.default_rng(3)
    label = random.choice(["no", "yes"], ROWS)
    table = pa.table({"amount": random.normal(size=ROWS) + (label == "yes"), "label": label, "other": range(ROWS)})
    (tmp_path / "data").mkdir()
    plain = {"compression": "none", "use_dictionary": False, "write_page_checksum": True, "row_group_size": GROUP_ROWS}
    pq.write_table(table, tmp_path / "data" / "a.parquet", **plain)
    with walking_store() as faults:
        yield Lake(tmp_path, faults)


class Lake:
    def __init__(self, root: Path, faults) -> None:
        self.root, self.faults = root, faults
        self.file, self.output = root / "data" / "a.parquet", root / "out"

    def run(self, **more):
        return featflow.run(self.config(**more))

    def config(self, output="out", **more):
        dataset = {"source": f"walking://{self.root}/data", "targets": ["label"]}
        base = {"dataset": dataset, "output": str(self.root / output), "budget": {"bad_rows": 0.9}}
        return base | {"analyses": {"interaction": False}, "engine": {"kind": "serial"}} | more

    def place(self, group, column="amount"):
        """Where the first page of a column chunk lies."""
        footer = pq.read_metadata(self.file).row_group(group)
        chunks = [footer.column(index) for index in range(footer.num_columns)]
        return next(chunk.data_page_offset for chunk in chunks if chunk.path_in_schema == column)

    def spoil(self, *groups, times=None, when=lambda: True):
        """Give wrong bytes of these row groups, so many times, or always; return those that reads were wrong of."""
        wrong = []
        places = {self.place(group): group for group in groups}

        def spoils(path, start, end):
            hit = [group for place, group in places.items() if start <= place < end]
            if not hit or end > self.file.stat().st_size - 8 or not when() or len(wrong) == times:
                return False
            wrong.extend(hit)
            return True

        self.faults.spoils = staticmethod(spoils)
        return wrong

    def heal(self):
        self.faults.spoils = staticmethod(lambda *_: False)

    def notes(self):
        return sorted(path for path in (self.output / NOTES).rglob("*.json"))


def assert_same(run, other, *names):
    for name in names or ("profile", "ranking", "correlation"):
        assert run.arrow(name).equals(other.arrow(name)), name


def lost(run):
    return run.arrow("quarantine")["row_group"].to_pylist()


@pytest.mark.parametrize("begins", ["in the first pass", "in the second"])
def test_wrong_bytes_once_are_read_again(lake, begins):
    sound = lake.run(output="sound")
    codebooks = lake.output / "states" / "codebook"
    wrong = lake.spoil(1, times=2, when=lambda: begins == "in the first pass" or codebooks.exists())
    run = lake.run()
    assert wrong == [1, 1]  # the second time without dictionaries, which some encodings do not allow
    assert run.manifest["rows"] == {"footers": ROWS, "read": ROWS, "quarantined": 0}
    assert run.manifest["retries"]["storage"] == 1
    assert_same(run, sound)
    assert lake.notes() == []


def test_a_footer_that_comes_wrong_once_is_read_again(lake):
    left = [True]
    size = lake.file.stat().st_size
    lake.faults.spoils = staticmethod(
        lambda _, start, end: end - start > 8 and end == size and bool(left and left.pop())
    )
    run = lake.run()
    assert left == []
    assert run.arrow("quarantine").num_rows == 0
    assert run.manifest["rows"]["read"] == ROWS


def test_bytes_that_are_wrong_now_and_again_are_no_damage(lake, monkeypatch):
    def when_they_are_right(*arguments):
        lake.heal()
        found = unreadable(*arguments)
        lake.spoil(1)
        return found

    monkeypatch.setattr(shard_tasks, "unreadable", when_they_are_right)
    lake.spoil(1)
    with pytest.raises(InfrastructureError, match="row group 1 reads at one time and not at another"):
        lake.run()
    assert lake.notes() == []


@pytest.mark.parametrize("night", ["unchanged", "measured"])
def test_a_fault_of_one_night_is_gone_the_next(lake, night):
    sound = lake.run(output="sound")
    lake.spoil(1, 2)
    first = lake.run()
    assert lost(first) == [1, 2]
    lake.heal()
    again = lake.run() if night == "unchanged" else featflow.run(measured_again(lake.config()))
    assert again.manifest["rows"] == {"footers": ROWS, "read": ROWS, "quarantined": 0}
    assert again.arrow("quarantine").num_rows == 0
    assert_same(again, sound, "profile")  # relations keep the codebook of the night before
    assert_same(featflow.run(lake.config(codebook={"frozen": False})), sound)
    assert lake.notes() == []
    assert lake.run().manifest["rows"]["quarantined"] == 0


def test_one_of_two_that_reads_again_comes_back(lake):
    lake.spoil(1, 2)
    lake.run()
    lake.spoil(2)
    again = lake.run()
    assert lost(again) == [2]
    assert again.manifest["rows"] == {"footers": ROWS, "read": ROWS - GROUP_ROWS, "quarantined": GROUP_ROWS}
    fresh = lake.run(output="fresh")
    assert_same(again, fresh, "profile")
    assert_same(lake.run(codebook={"frozen": False}), fresh)


def test_beyond_the_budget_no_night_stays_lost(lake):
    lake.spoil(1)
    with pytest.raises(BadDataError, match="row group 1"):
        lake.run(budget={"bad_rows": 0.0})
    assert len(lake.notes()) == 1
    with pytest.raises(BadDataError, match="row group 1"):
        lake.run(budget={"bad_rows": 0.0})
    lake.heal()
    assert lake.run(budget={"bad_rows": 0.0}).manifest["rows"]["read"] == ROWS


def test_lasting_damage_costs_a_night_one_look(lake):
    wrong = lake.spoil(1)
    first = lake.run()
    del wrong[:]
    again = lake.run()
    assert again.manifest["unchanged_since"] == first.run_id
    assert 0 < len(wrong) <= 2 + 2  # the row group, then one column after the other for the name of the faulty one
    del wrong[:]
    measured = featflow.run(measured_again(lake.config()))
    assert 0 < len(wrong) <= 2 + 2
    assert measured.manifest["shards"] == {"total": 1, "computed": 0, "reused": 1}
    assert lost(measured) == lost(again) == [1]
    assert_same(measured, first)


def test_a_run_looks_at_some_and_at_more_while_any_reads_well(lake, monkeypatch):
    monkeypatch.setattr(quarantine, "LOOKS", 1)
    lake.spoil(0, 1, 2)
    lake.run()
    wrong = lake.spoil(0, 1, 2)
    assert lost(featflow.run(measured_again(lake.config()))) == [0, 1, 2]
    assert len(set(wrong)) == 1
    lake.heal()
    assert featflow.run(measured_again(lake.config())).manifest["rows"]["quarantined"] == 0


@pytest.mark.parametrize("fault", ["passes", "lasts"])
def test_what_becomes_unreadable_during_a_run(lake, fault):
    """It ends the run; the next one reads it again, and publishes without it only if it still cannot be read."""
    codebooks = lake.output / "states" / "codebook"
    lake.spoil(1, when=codebooks.exists)
    with pytest.raises(InfrastructureError, match="row group 1 became unreadable during the run"):
        lake.run()
    if fault == "passes":
        lake.heal()
    run = lake.run()
    assert lost(run) == ([] if fault == "passes" else [1])
    assert run.manifest["rows"]["read"] == ROWS - (0 if fault == "passes" else GROUP_ROWS)
    assert_same(run, lake.run(output="fresh"))


def called(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


@pytest.mark.parametrize("way", ["run --recheck", "gc --forget-quarantine"])
def test_notes_can_be_forgotten(lake, monkeypatch, capsys, way):
    """All that they name is read again, whatever a run would look at by itself."""
    monkeypatch.setattr(quarantine, "look_again", lambda *_: False)
    monkeypatch.setattr(quarantine_notes, "any_readable", lambda *_: False)
    lake.spoil(1, 2)
    first = lake.run()
    (note,) = lake.notes()
    lake.heal()
    assert lake.run().manifest["unchanged_since"] == first.run_id  # with no look at all
    config = lake.root / "config.yaml"
    config.write_text(json.dumps(lake.config()))
    if way.startswith("gc"):
        command = ["gc", str(lake.output), "--keep", "5", "--json"]
        path = str(note.relative_to(lake.output))
        assert called(*command) == 0
        assert path not in capsys.readouterr().out
        assert called(*command, "--forget-quarantine") == 0
        assert [file["path"] for file in json.loads(capsys.readouterr().out)["files"]] == [path]
        assert lake.notes() == [note]  # only listed
        assert called(*command, "--forget-quarantine", "--delete") == 0
        assert lake.notes() == []
        assert called("run", str(config)) == 0
    else:
        assert called("run", str(config), "--recheck") == 0
    run = featflow.Run.open(str(lake.output))
    assert run.manifest["rows"] == {"footers": ROWS, "read": ROWS, "quarantined": 0}


def test_what_is_forgotten_and_still_damaged_is_found_again(lake):
    lake.spoil(1)
    first = lake.run()
    config = lake.root / "config.yaml"
    config.write_text(json.dumps(lake.config()))
    assert called("run", str(config), "--recheck") == 0
    run = featflow.Run.open(str(lake.output))
    assert lost(run) == [1]
    assert_same(run, first)
    assert len(lake.notes()) == 1
