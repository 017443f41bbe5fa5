"""Bytes of sound files changed at random: no process ends, and no figure changes where a checksum could tell."""

from __future__ import annotations

import os
import pickle
import resource
from collections import Counter
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
LIES = max(3, COPIES * 36 // 200)
"""Footers of each of them in which one number is another; 36 in the long run."""
COUNTED = {
    (3,): "rows of the file",
    (4, 2): "bytes of a row group",
    (4, 3): "rows of a row group",
    (4, 5): "offset of a row group",
    (4, 6): "compressed bytes of a row group",
    (4, 1, 2): "offset of a chunk",
    (4, 1, 3, 4): "codec",
    (4, 1, 3, 5): "values of a chunk",
    (4, 1, 3, 6): "bytes of a chunk",
    (4, 1, 3, 7): "compressed bytes of a chunk",
    (4, 1, 3, 9): "offset of the first page",
    (4, 1, 3, 11): "offset of the dictionary",
    (4, 1, 3, 12, 3): "nulls",
}
"""Numbers of a footer that the rest of the file can contradict, by field numbers of parquet.thrift. Nothing else in a
file says what values mean, such as the scale of a decimal."""
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


# --- footers that lie -----------------------------------------------------------------------------------------------


def numbers(footer: bytes) -> list[tuple[tuple[int, ...], int, int]]:
    """Field numbers and first and last byte of every integer in a footer: Thrift's compact protocol, as `thrift`."""
    found, path = list[tuple[tuple[int, ...], int, int]](), list[int]()

    def varint(at: int) -> tuple[int, int]:
        end = at
        while footer[end] & 0x80:
            end += 1
        return sum((footer[at + i] & 0x7F) << 7 * i for i in range(end + 1 - at)), end + 1

    def value(kind: int, at: int) -> int:
        if 4 <= kind <= 6:
            end = varint(at)[1]
            found.append((tuple(path), at, end))
            return end
        if kind == 8:
            size, at = varint(at)
            return at + size
        if kind in {9, 10}:
            size, item, at = footer[at] >> 4, footer[at] & 15, at + 1
            size, at = varint(at) if size == 15 else (size, at)
            for _ in range(size):
                at = value(item, at)
            return at
        return struct(at) if kind == 12 else at + {7: 8}.get(kind, 1)

    def struct(at: int) -> int:
        field = 0
        while header := footer[at]:
            assert header >> 4, "a long form, which no writer here needs"
            field, kind, at = field + (header >> 4), header & 15, at + 1
            path.append(field)
            at = at if kind <= 2 else value(kind, at)
            path.pop()
        return at + 1

    struct(0)
    return found


def lying(data: bytes, random: np.random.Generator) -> tuple[bytes, str]:
    """A copy of a file in whose footer one number is another, and what it counts."""
    length = int.from_bytes(data[-8:-4], "little")
    body, footer = data[: -8 - length], data[-8 - length : -8]
    places = [place for place in numbers(footer) if place[0] in COUNTED]
    fields, start, end = places[random.integers(len(places))]
    truth = sum((byte & 0x7F) << 7 * place for place, byte in enumerate(footer[start:end]))
    truth = (truth >> 1) ^ -(truth & 1)
    lies = [0, 1, truth - 1, truth + 1, truth // 2, 2 * truth, -1, 2**31 - 1, 2**40]
    lie = int(random.choice([each for each in lies if each != truth]))
    zigzag, encoded = (lie << 1) ^ (lie >> 63), bytearray()
    while zigzag >= 0x80:
        encoded.append(zigzag & 0x7F | 0x80)
        zigzag >>= 7
    changed = footer[:start] + bytes([*encoded, zigzag]) + footer[end:]
    return body + changed + len(changed).to_bytes(4, "little") + b"PAR1", f"{COUNTED[fields]}: {lie} for {truth}"


def test_footers_that_lie_are_told_or_change_no_figure(tmp_path):
    random = np.random.default_rng(12)
    bad, counts = [], Counter()
    for name, options in WRITERS.items():
        sound = tmp_path / "sound.parquet"
        write(sound, options)
        truth, data = outcome(str(sound)), sound.read_bytes()
        with ProcessPoolExecutor(1, mp_context=get_context("fork"), initializer=bound_memory) as pool:
            for number in range(LIES):
                changed, lie = lying(data, random)
                copy = tmp_path / f"{name} {number}.parquet"
                copy.write_bytes(changed)
                try:
                    found = pool.submit(outcome, str(copy)).result(60)
                except Exception as error:  # noqa: BLE001  the process died, or a traceback
                    bad.append((name, lie, repr(error)))
                    break
                same = pickle.dumps(found) == pickle.dumps(truth)
                counts["same" if same else "told" if isinstance(found, str) else "other figures"] += 1
                if isinstance(found, dict) and not same:
                    bad.append((name, lie, "other figures"))
    assert not bad, counts
    assert counts["same"]
    assert counts["told"]
