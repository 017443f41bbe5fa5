"""Footers that contradict themselves, and values that contradict their type: named, and never other numbers."""

from __future__ import annotations

import itertools
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from featflow.dataset.batches import read_batches
from featflow.dataset.dataset import Quarantined, open_dataset
from featflow.dataset.options import DatasetOptions
from featflow.errors import DatasetError

GROUP_ROWS, GROUPS = 250, 2


def zigzag(number: int) -> bytes:
    """A number of Thrift's compact protocol in two bytes, however small."""
    return bytes([2 * number & 127 | 128, 2 * number >> 7])


def write(path):
    rows = np.arange(GROUPS * GROUP_ROWS)
    table = pa.table(
        {
            "number": rows * 7.0,
            "city": [f"city {row % 11}" for row in rows],
            "nested": [{"inner": int(row), "none": None} for row in rows],
        }
    )
    pq.write_table(table, path, row_group_size=GROUP_ROWS, compression="none", write_statistics=False)


def outcome(path):
    """The values of all columns, or what is said against the file."""
    try:
        dataset = open_dataset(DatasetOptions(source=str(path)))
    except DatasetError as error:
        return str(error)
    batches = [batch for shard in dataset.shards for batch in read_batches(shard, dataset.columns, {}, 100)]
    faults = [batch.detail for batch in batches if isinstance(batch, Quarantined)]
    return "; ".join(faults) or [batch.to_pydict() for batch in batches]


@pytest.mark.parametrize("total", ["as it is", "of the lie", "none"])
def test_no_lie_about_rows_or_values_changes_a_number(tmp_path, total):
    """Each number of rows of a row group, and of values of a chunk, one less, none and one more."""
    path = tmp_path / "a.parquet"
    write(path)
    sound, truth = path.read_bytes(), outcome(path)
    assert sum(len(batch["number"]) for batch in truth) == GROUPS * GROUP_ROWS
    footer = len(sound) - 8 - int.from_bytes(sound[-8:-4], "little")
    places = [at for at in range(footer, len(sound) - 8) if sound[at : at + 2] == zigzag(GROUP_ROWS)]
    # Rows of the row group, values of number, city, nested.inner and nested.none in each, and what statistics count.
    assert len(places) >= 5 * GROUPS
    whole = sound.index(zigzag(GROUPS * GROUP_ROWS), footer)
    named = 0
    for at, said in itertools.product(places, (0, GROUP_ROWS - 1, GROUP_ROWS + 1)):
        lie = bytearray(sound)
        lie[at : at + 2] = zigzag(said)
        if total != "as it is":
            rows = GROUPS * GROUP_ROWS - GROUP_ROWS + said if total == "of the lie" else 0
            lie[whole : whole + 2] = zigzag(rows)
        path.write_bytes(lie)
        found = outcome(path)
        assert found == truth or isinstance(found, str), (at, said)
        named += isinstance(found, str)
    assert named >= 3 * GROUPS  # at least those about the rows of a row group


@pytest.mark.parametrize("stored", [pa.decimal128(9, 2), pa.decimal128(18, 0), pa.decimal128(30, 4)], ids=str)
def test_a_decimal_with_more_digits_than_its_type_has_is_a_fault_of_its_row_group(tmp_path, stored):
    limit = Decimal(10) ** (stored.precision - stored.scale)
    values = [limit - 1, -(limit - 1), None] * 100
    array = pa.array(values, stored)
    pq.write_table(pa.table({"price": array}), tmp_path / "a.parquet", row_group_size=150)
    sound = outcome(tmp_path / "a.parquet")
    assert isinstance(sound, list)
    beyond = pa.array([*values[:200], limit * 3, *values[201:]], pa.decimal128(38, stored.scale))
    array = pa.Array.from_buffers(stored, len(beyond), beyond.buffers())
    pq.write_table(pa.table({"price": array}), tmp_path / "a.parquet", row_group_size=150)
    assert "does not fit in precision" in outcome(tmp_path / "a.parquet")
