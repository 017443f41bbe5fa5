"""What is read back from an output is what was written, or an error that names the file."""

from __future__ import annotations

import hashlib
import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featflow.config import parse
from featflow.errors import DamagedError, DatasetError, InfrastructureError
from featflow.storage import claims, latest
from featflow.storage.records.claim import Claim
from featflow.storage.records.failure import read_failure
from featflow.storage.records.json_files import checked
from featflow.storage.records.latest import read_latest
from featflow.storage.records.manifest import MODEL, read_manifest
from featflow.storage.records.quarantine import read_unreadable
from featflow.storage.run import Run, survey
from featflow.storage.run_writer import RunWriter, Written
from featflow.storage.store import Store
from featflow.storage.tables import QUARANTINE

RUN = "20260102T030405Z-abc123"


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "out"))


def manifest(**more):
    rows = {"footers": 1, "read": 1, "quarantined": 0}
    shards = {"total": 1, "computed": 1, "reused": 0}
    config = parse({"dataset": {"source": "lake"}, "output": "out"}).public()
    given = {"status": "done", "started": "2026-01-02T03:04:05+00:00", "config": config, "engine": "serial"}
    given |= {"codebook": None, "rows": rows, "shards": shards, "tables": {}, "seconds": {"total": 1.0}}
    return given | {"warnings": [], "inputs": []} | more


def published(store, parts=2):
    """A run with a quarantine table of so many parts."""
    writer = RunWriter(store, RUN)
    written = []
    for number, path in enumerate(writer.part_paths("quarantine", parts)):
        _, data = store.write_parquet(path, QUARANTINE.build({"uri": [f"{number}.parquet"], "reason": ["r"]}))
        written.append(Written.of(1, data))
    writer.add(QUARANTINE, written)
    return writer.commit(manifest(tables=writer.tables), lambda: None, latest.look(store))


def flip(store, path, place=100):
    data = bytearray(store.read(path))
    data[place] ^= 1
    store.write(path, bytes(data))


def test_each_part_of_a_table_is_verified_alone(store):
    run = published(store)
    first, second = run.paths("quarantine")
    flip(store, second)
    again = Run.open(store.root)
    assert again.part(first).num_rows == 1
    for read in (lambda: again.part(second), lambda: again.table("quarantine"), lambda: again.arrow("quarantine")):
        with pytest.raises(DatasetError, match=r"part-00001\.parquet: damaged: .* run it again"):
            read()


def test_tables_of_older_releases_are_verified_whole(store):
    run = published(store)
    entry = {name: value for name, value in run.manifest["tables"]["quarantine"].items() if name != "part_sha256"}
    older = Run(store, RUN, manifest(tables={"quarantine": entry}))
    assert older.arrow("quarantine").num_rows == 2
    flip(store, older.paths("quarantine")[0])
    with pytest.raises(DatasetError, match="damaged"):
        older.arrow("quarantine")


def test_pages_of_tables_have_checksums(store):
    (path,) = published(store, 1).paths("quarantine")
    data = store.read(path)
    page = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0).column(0)
    changed = bytearray(data)
    changed[page.dictionary_page_offset + page.total_compressed_size - 3] ^= 1
    with pytest.raises(OSError, match="CRC"):
        pq.ParquetFile(pa.BufferReader(bytes(changed)), page_checksum_verification=True).read()


def test_a_manifest_is_verified_by_its_mark(store):
    published(store)
    path = f"runs/{RUN}/manifest.json"
    sound = store.read(path)
    store.write(path, sound.replace(b'"read": 1', b'"read": 2'))
    with pytest.raises(DamagedError, match=r"manifest\.json: damaged: .*SHA-256 in _SUCCESS"):
        Run.open(store.root)
    store.write(f"runs/{RUN}/_SUCCESS", b"")  # an older release's, which says nothing
    assert Run.open(store.root).manifest["rows"]["read"] == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rows": None}, "rows"),
        ({"tables": {"profile": {"path": "../profile.parquet", "rows": 1, "parts": 1}}}, r"tables\.profile\.path"),
        (
            {"tables": {"profile": {"path": f"runs/{RUN}/tables/profile.parquet", "rows": 1, "parts": 10**9}}},
            r"tables\.profile\.parts",
        ),
        ({"tables": {"a": {"path": f"runs/{RUN}/tables/b.parquet", "rows": 1, "parts": 1}}}, "table a is another"),
        ({"started": "2026-01-02T03:04:05"}, "started"),
        ({"seconds": {"total": 1e300}}, "seconds"),
        ({"seconds": {}}, "no total"),
        ({"compared_with": [".."]}, "compared_with"),
        ({"state_references": [{"folders": ["states/../.."], "names": []}]}, "state_references"),
        ({"unchanged_since": f"{RUN}/../x"}, "unchanged_since"),
    ],
)
def test_what_no_manifest_says_is_damage(change, said):
    with pytest.raises(DamagedError, match=rf"m\.json: damaged: .*{said}.*; remove it"):
        checked(json.dumps(manifest(**change)).encode(), "m.json", MODEL, "remove it")


def test_keys_of_later_releases_stay_and_those_of_earlier_ones_suffice():
    later = manifest(made_by_a_later_release={"a": [1]})
    assert checked(json.dumps(later).encode(), "m.json", MODEL, "") == later
    assert checked(json.dumps(manifest()).encode(), "m.json", MODEL, "") == manifest()


@pytest.mark.parametrize("data", [b"", b"NaN", b'{"a": Infinity}', b"[" * 100_000, b"\xff", b"9" * 5_000])
def test_no_json_is_damage(data):
    with pytest.raises(DamagedError, match=r"m\.json: damaged: .*; remove it"):
        checked(data, "m.json", MODEL, "remove it")


def test_what_is_no_file_is_not_read(store, tmp_path):
    published(store)
    path = tmp_path / "out" / "runs" / RUN / "manifest.json"
    path.unlink()
    os.mkfifo(path)  # whoever opens it waits for ever
    with pytest.raises(DamagedError, match="it is no file"):
        Run.open(store.root)
    path.unlink()
    with pytest.raises(DamagedError, match="not there, though the run has finished"):
        Run.open(store.root)


class CutOnce(Store):
    """An output whose answer to the first read of each file comes cut short."""

    def read(self, path, most=None):
        data = super().read(path, most)
        first = path not in (seen := self.options.setdefault("seen", set()))
        seen.add(path)
        return data[: len(data) // 2] if first else data


def test_an_answer_that_comes_cut_short_once_is_no_damage(store):
    published(store)
    note = {"uri": "a.parquet", "row_group": 0, "rows": 1, "reason": "r", "detail": "d"}
    store.write("states/quarantine/note.json", json.dumps([note]).encode())
    store.write(f"runs/{RUN}/failure.json", b'{"error": "no disk"}')
    claim = Claim.mine(60.0)
    store.write(claim.path, claim.dump())
    cut = CutOnce(store.root)
    assert read_latest(cut) == RUN
    assert read_manifest(cut, RUN) == read_manifest(store, RUN)
    assert read_unreadable(cut, "states/quarantine/note.json") == [note]
    assert read_failure(cut, RUN) == {"error": "no disk"}
    assert claims.look(cut, 60.0).live == [claim]
    assert len(cut.options["seen"]) == 6


def test_below_a_file_there_is_nothing(store):
    store.write("runs/20250102T030405Z-abc123", b"no folder")
    published(store)
    runs, broken = survey(store)
    assert [run.run_id for run in runs] == [RUN]
    assert broken == {}
    assert store.sizes("LATEST/states") == {}
    assert store.names("LATEST/states") == []
    with pytest.raises(InfrastructureError, match="Not a directory"):
        store.write("LATEST/states/a.json", b"")


def test_a_signed_state_whose_offsets_lead_beyond_its_data(store):
    table = pa.table({"text": ["abc", "def"]})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    sound = np.array([0, 3, 6], np.int32).tobytes()
    stream = sink.getvalue().to_pybytes()
    assert stream.count(sound) == 1
    for end in (2**30, -5):
        crafted = stream.replace(sound, np.array([0, 3, end], np.int32).tobytes())
        store.write("states/a.arrow", crafted + hashlib.sha256(crafted).digest())
        with pytest.raises(DamagedError, match=r"states/a\.arrow: damaged"):
            store.read_arrow("states/a.arrow")
        with pytest.raises(DamagedError, match=r"states/a\.arrow: damaged"):
            list(store.read_arrow_batches("states/a.arrow", ["text"]))


def test_blocks_of_a_matrix_are_verified(store):
    data = pa.BufferOutputStream()
    pa.ipc.write_tensor(pa.Tensor.from_numpy(np.array([[0.5]])), data)
    written = data.getvalue().to_pybytes()
    path = f"runs/{RUN}/tensors/pearson/000000.arrow"
    store.write(path, written)
    block = {"path": path, "rows": ["a"], "columns": ["b"], "sha256": hashlib.sha256(written).hexdigest()}
    writer = RunWriter(store, RUN)
    writer.matrices["pearson"] = [block]
    run = writer.commit(manifest(), lambda: None, latest.look(store))
    assert run.matrix("pearson")[1][0, 1] == 0.5
    store.write(path, written.replace(np.float64(0.5).tobytes(), np.float64(0.25).tobytes()))
    with pytest.raises(DamagedError, match=r"000000\.arrow: damaged"):
        run.matrix("pearson")
    index = f"runs/{RUN}/tensors/pearson/index.json"
    store.write(index, store.read(index).replace(b'"a"', b'"c"'))
    with pytest.raises(DamagedError, match=r"index\.json: damaged"):
        run.matrix("pearson")
