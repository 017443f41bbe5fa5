"""States of spans of shards have the names that merging the shards' states would give."""

from __future__ import annotations

import pytest

from featflow.trees import FAN_IN, levels, span_size, spans, whole_name


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 63, 64, 65, 130, 513])
@pytest.mark.parametrize("power", [0, 1, 2])
def test_spans_are_nodes_of_the_tree(count, power):
    leaves = [f"shard{i}" for i in range(count)]
    runs = spans(leaves, FAN_IN**power)
    assert [leaf for run, _ in runs for leaf in run] == leaves
    names = {name for level in levels(leaves) for _, name in level} | set(leaves)
    assert {name for _, name in runs} <= names
    assert whole_name([name for _, name in runs]) == whole_name(leaves)


def test_a_span_outweighs_its_state_where_it_can():
    for state in (1, 99, 100, 101, 6_400, 6_401, 10**9):
        for shards in (1, 5, 100):
            size = span_size(state, 100, shards)
            assert size * 100 >= state or size >= shards
            assert size == 1 or size // FAN_IN * 100 < state
            assert size == 1 or size // FAN_IN < shards
