from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement, product
from math import prod

import pytest

from featflow.summaries.joint_counts import histogram_plan
from featflow.summaries.joint_counts.histogram_plan import plan


def blocks_of(*arguments):
    return [block for run in plan(*arguments).runs for block in run.blocks]


def pairs_of(blocks):
    return Counter(tuple(sorted((columns[i], columns[j]))) for columns, pairs in blocks for i, j in pairs)


@pytest.mark.parametrize("rows", [1, 2**13, 2**20])
@pytest.mark.parametrize("levels", [(1,), (17, 2, 17, 121, 3, 17, 17, 256, 5, 17, 33), tuple(range(1, 100))])
def test_every_pair_is_in_one_block_whatever_the_levels(levels, rows):
    count = len(levels)
    assert pairs_of(blocks_of(levels, None, rows, 3)) == Counter(combinations_with_replacement(range(count), 2))
    cross = Counter(product(range(count), range(count, 2 * count)))
    assert pairs_of(blocks_of(levels, levels[::-1], rows, 3)) == cross


def test_blocks_of_a_run_begin_with_its_lead():
    for run in plan((17,) * 30, (17,) * 20, 2**17, 1).runs:
        assert {columns[: len(run.lead)] for columns, _ in run.blocks} == {run.lead}
        assert all(second >= len(run.lead) for _, pairs in run.blocks for _, second in pairs)


def test_few_rows_or_many_classes_take_fewer_columns_together():
    sizes = [
        max(len(columns) for columns, _ in blocks_of((17,) * 30, None, rows, classes))
        for rows, classes in ((2**20, 1), (2**10, 1), (2**20, 100))
    ]
    assert sizes[0] == 4
    assert max(sizes[1:]) < 4


@pytest.mark.parametrize("classes", [1, 3, 200])
@pytest.mark.parametrize("rows", [1, 2**13, 2**17, 2**20])
@pytest.mark.parametrize("level", [2, 3, 5, 17, 33, 121, 256])
def test_codes_fit_their_types(level, rows, classes):
    """The last columns' joint code is int16, all of it int32; a table stays small unless two columns make it large."""
    for columns, pairs in blocks_of((level,) * 40, None, rows, classes):
        assert level ** (len(columns) - 1) <= 2**15 or not pairs
        assert level ** len(columns) * classes <= max(histogram_plan.MOST_CELLS, level**2 * classes) < 2**31


def test_levels_of_many_kinds_fit_too():
    levels = tuple(range(1, 257))
    for blocks in (blocks_of(levels, None, 2**20, 3), blocks_of(levels[:100], levels[100:], 2**20, 3)):
        for columns, _ in blocks:
            assert prod(levels[column] for column in columns) * 3 <= 2**21
