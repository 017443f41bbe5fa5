"""Margins by unit merge like the rows they count, whatever shards units straddle."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from featflow.columns.binning import category_coding
from featflow.columns.column import Column, Kind
from featflow.columns.jackknife_groups import JackknifeGroups
from featflow.summaries import TargetCounts, TargetCountsSummarizer

LEVELS = ["a", "b", "c"]


def spec_of(most):
    x, y = (category_coding(Column(name, "string", Kind.CATEGORY), LEVELS, [3, 2, 1], 16) for name in "xy")
    units = JackknifeGroups("unit", (Column("t", "int64", Kind.NUMBER),), groups=8, unit=10.0, most_units=most)
    return TargetCountsSummarizer((x,), (y,), jackknife=units)


def batches():
    """Three batches whose units straddle them; some rows have no target, some no time."""
    random = np.random.default_rng(3)
    columns = {name: random.choice(np.array([*LEVELS, None], object), 90).tolist() for name in "xy"}
    times = random.integers(-100, 100, 90).astype(object)
    times[::7] = None
    rows = {name: pa.array(values, pa.string()).dictionary_encode() for name, values in columns.items()}
    batch = pa.record_batch(rows | {"t": pa.array(times.tolist(), pa.int64())})
    return batch, [batch.slice(0, 30), batch.slice(30, 40), batch.slice(70)]


def same(a, b):
    assert a.rows == b.rows
    assert np.array_equal(a.present, b.present)
    assert np.array_equal(a.counts, b.counts)
    assert np.array_equal(a.registers, b.registers)
    assert (a.units is None) == (b.units is None)
    if a.units is not None:
        assert np.array_equal(a.units.keys, b.units.keys)
        assert np.array_equal(a.units.counts, b.units.counts)


@pytest.mark.parametrize("most", [64, 12])
def test_any_cut_gives_the_same_state_and_merging_changes_no_operand(most):
    spec, (whole, parts) = spec_of(most), batches()
    a, b, c = (spec.summarize(part) for part in parts)
    stored = [each.to_arrow() for each in (a, b, c)]
    left, right = a.merge(b).merge(c), a.merge(b.merge(c))
    same(left, right)
    same(left, c.merge(a).merge(b))
    same(left, spec.summarize(whole))
    same(left, spec.empty().merge(left))
    assert (left.units is None) == (most == 12)
    for state, before in zip((a, b, c), stored, strict=True):
        same(state, TargetCounts.from_arrow(before))
