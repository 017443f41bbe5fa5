"""Every pair of a block once, in order, and the strips that hold their counts."""

from __future__ import annotations

import numpy as np
import pytest

from featflow.columns.binning import category_coding
from featflow.columns.column import Column, Kind
from featflow.measures import block_pairs
from featflow.measures.block_pairs import BlockPairs, column_sums
from featflow.summaries import PairCountsSummarizer

LEVELS = [3, 2, 9, 4, 2, 30, 5]


def coding(index, levels):
    names = [f"v{level:03}" for level in range(levels - 2)]  # and missing, and other
    return category_coding(Column(f"c{index}", "string", Kind.CATEGORY), names, [1] * len(names), 64)


CODINGS = tuple(coding(index, levels) for index, levels in enumerate(LEVELS))
WANTED = {"all": np.ones(7, bool), "some": np.array([0, 1, 1, 0, 1, 0, 1], bool), "none": np.zeros(7, bool)}


@pytest.mark.parametrize("cells", [1, 40, 2**16])
@pytest.mark.parametrize("wanted", list(WANTED))
@pytest.mark.parametrize("diagonal", [True, False])
def test_strips_hold_the_counts_of_every_wanted_pair(monkeypatch, cells, wanted, diagonal):
    monkeypatch.setattr(block_pairs, "CELLS", cells)
    monkeypatch.setattr(block_pairs, "PAIRS", 3)
    right = CODINGS if diagonal else CODINGS[::-1]
    spec = PairCountsSummarizer(CODINGS, right, ())
    masks = WANTED[wanted], WANTED[wanted] if diagonal else WANTED[wanted][::-1]
    pairs = BlockPairs(spec, *masks)
    truth = [(i, j) for i in np.flatnonzero(masks[0]) for j in np.flatnonzero(masks[1]) if not diagonal or i < j]
    i, j = pairs.sides()
    assert list(zip(i, j, strict=True)) == truth
    assert len(pairs) == len(truth)
    names = pairs.names()
    assert names["feature_a"].to_pylist() == [CODINGS[a].column.name for a, _ in truth]
    assert names["feature_b"].to_pylist() == [right[b].column.name for _, b in truth]
    counts = np.random.default_rng(0).integers(0, 100, (3, pairs.rows[-1], pairs.columns[-1]))
    seen = 0
    for strip in (strip for batch in pairs.batches() for strip in batch):
        block = strip.over_classes(counts)
        sums = np.add.reduceat(column_sums(block), strip.starts)
        assert strip.place.start == seen
        for place, total in zip(range(strip.place.start, strip.place.stop), sums, strict=True):
            a, b = truth[place]
            rows, columns = slice(*pairs.rows[a : a + 2]), slice(*pairs.columns[b : b + 2])
            assert total == counts[:, rows, columns].sum()
        seen = strip.place.stop
    assert seen == len(truth)


def test_column_sums_do_not_depend_on_how_many_columns_there_are():
    array = np.random.default_rng(1).random((121, 50))
    whole = column_sums(array)
    for width in (1, 2, 3, 17):
        assert (column_sums(np.ascontiguousarray(array[:, :width])) == whole[:width]).all()
