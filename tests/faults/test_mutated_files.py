"""Bytes of sound files changed at random: no process ends, and no figure changes where a checksum could tell."""

from __future__ import annotations

import os
import pickle
import resource
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from featflow.dataset.batches import read_batches
from featflow.dataset.dataset import Quarantined, open_dataset
from featflow.dataset.options import DatasetOptions
from featflow.errors import FeatflowError

COPIES = int(os.environ.get("FEATFLOW_MUTATIONS", "6"))
"""Copies of each of the ten files; 200 in the long run."""
MEMORY = 6 * 2**30
WRITERS = {
    "plain": {"use_dictionary": False},
    "dictionary": {},
    "delta": {
        "use_dictionary": False,
        "column_encoding": {"text": "DELTA_BYTE_ARRAY", "number": "DELTA_BINARY_PACKED"},
    },
    "pages 2": {"data_page_version": "2.0"},
    "zstd": {"compression": "zstd"},
    "gzip": {"compression": "gzip"},
    "none": {"compression": "none"},
    "many row groups": {"row_group_size": 50},
    "small pages": {"data_page_size": 256},
    "int96": {"use_deprecated_int96_timestamps": True},
}


def write(path: Path, options: dict) -> None:
    rows = np.arange(300)
    table = pa.table(
        {
            "number": rows * 7 % 100,
            "real": np.sin(rows),
            "text": [f"level {row % 11}" for row in rows],
            "time": pa.array(rows * 10**9, pa.timestamp("us")),
            "nested": [{"a": int(row % 3), "b": None} for row in rows],
        }
    )
    pq.write_table(table, path, write_page_checksum=True, **options)


def bound_memory() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def outcome(path: str) -> object:
    """The values of all columns, or the error that featflow tells."""
    try:
        dataset = open_dataset(DatasetOptions(source=path))
        values: dict[str, list] = {}
        for shard in dataset.shards:
            for batch in read_batches(shard, dataset.columns, {}, 1000):
                if isinstance(batch, Quarantined):
                    return batch.detail
                for name in batch.schema.names:
                    values.setdefault(name, []).extend(batch.column(name).to_pylist())
    except FeatflowError as error:
        return str(error)
    return values


def mutated(data: bytes, random: np.random.Generator) -> tuple[bytes, bool]:
    """A copy with some bytes changed, and whether all of them lie before the footer, where pages have checksums."""
    changed = bytearray(data)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    end = len(data) if random.random() < 0.5 else footer
    places = random.integers(4, end, random.integers(1, 4))
    for place in places:
        changed[place] ^= int(random.integers(1, 256))
    return bytes(changed), bool((places < footer).all())


def test_changed_bytes_end_no_process_and_change_no_figure_in_silence(tmp_path):
    random = np.random.default_rng(11)
    silent, died = [], []
    for name, options in WRITERS.items():
        sound = tmp_path / "sound.parquet"
        write(sound, options)
        truth = outcome(str(sound))
        assert isinstance(truth, dict), truth
        data = sound.read_bytes()
        with ProcessPoolExecutor(1, mp_context=get_context("fork"), initializer=bound_memory) as pool:
            for number in range(COPIES):
                changed, in_pages = mutated(data, random)
                copy = tmp_path / f"{name} {number}.parquet"
                copy.write_bytes(changed)
                try:
                    found = pool.submit(outcome, str(copy)).result(60)
                except Exception as error:  # noqa: BLE001  the process died, or a traceback
                    died.append((name, number, repr(error)))
                    continue
                if in_pages and isinstance(found, dict) and pickle.dumps(found) != pickle.dumps(truth):
                    silent.append((name, number))
    assert not died
    assert not silent
