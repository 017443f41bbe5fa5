from __future__ import annotations

from collections import Counter
from itertools import combinations_with_replacement, product

import pytest

from featflow.summaries.joint_counts.pair_covering import cover_across, cover_within


def pairs_of(blocks):
    return Counter(tuple(sorted((columns[i], columns[j]))) for columns, pairs in blocks for i, j in pairs)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 7, 12])
@pytest.mark.parametrize("columns", [1, 2, 3, 4, 5, 11, 13, 23, 26, 28, 60, 61, 100])
def test_every_pair_is_counted_once(columns, size):
    blocks = cover_within(columns, size)
    assert pairs_of(blocks) == Counter(combinations_with_replacement(range(columns), 2))
    assert all(1 <= len(set(block)) == len(block) <= max(size, 1) for block, _ in blocks)
    assert all(pairs for _, pairs in blocks)  # a block cut short may be part of another


def test_no_columns_take_no_blocks():
    assert cover_within(0, 4) == ()
    assert not list(cover_across(0, 3, (2, 2)))


@pytest.mark.parametrize(("columns", "blocks"), [(13, 21), (16, 21), (100, 880), (400, 13_800)])
def test_blocks_of_four_are_few(columns, blocks):
    """At best, columns x (columns - 1) / 12: 13, 20, 825 and 13,300."""
    assert len(cover_within(columns, 4)) <= blocks


@pytest.mark.parametrize("sizes", [(1, 1), (2, 2), (1, 3), (5, 4)])
def test_every_cross_pair_is_counted_once(sizes):
    blocks = list(cover_across(5, 7, sizes))
    assert pairs_of(blocks) == Counter(product(range(5), range(5, 12)))
    assert all(len(block) <= sum(sizes) for block, _ in blocks)
