"""Trees of states: spans of shards are nodes of them, and what comes or goes leaves most of them as they are."""

from __future__ import annotations

import numpy as np
import pytest

from featflow.execution.merge_tree import FAN_IN, MOST_MEMBERS, levels, span_level, spans, whole_name


def shards(count):
    return [f"shard{i}" for i in range(count)]


def names(leaves):
    return {name for level in levels(leaves) for _, name in level}


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 63, 64, 65, 130, 513])
@pytest.mark.parametrize("level", [0, 1, 2, 9])
def test_spans_are_nodes_of_the_tree(count, level):
    leaves = shards(count)
    runs = spans(leaves, level)
    assert [leaf for run, _ in runs for leaf in run] == leaves
    assert {name for _, name in runs} <= names(leaves) | set(leaves)
    assert len(runs) == (count if level == 0 else 1 if level == 9 else len(runs))


@pytest.mark.parametrize("count", [2, 9, 100, 3_000])
def test_a_tree_holds_every_leaf_once_and_no_node_too_many(count):
    below = {leaf: [leaf] for leaf in shards(count)}
    for level in levels(shards(count)):
        assert all(1 <= len(members) <= MOST_MEMBERS for members, _ in level)
        below = {name: [leaf for member in members for leaf in below[member]] for members, name in level}
    assert below == {whole_name(shards(count)): shards(count)}


@pytest.mark.parametrize("change", ["a new shard", "an expired shard", "a rewritten shard", "both ends move"])
def test_a_night_makes_few_nodes_anew(change):
    """Of 1,000 shards: a path from each place that changed to the root, and not the tree."""
    made = []
    for seed in range(30):
        leaves = [f"{seed}-{i}" for i in range(1_000)]
        place = int(np.random.default_rng(seed).integers(0, 1_000))
        after = {
            "a new shard": [*leaves, "new"],
            "an expired shard": leaves[1:],
            "a rewritten shard": [*leaves[:place], "again", *leaves[place + 1 :]],
            "both ends move": [*leaves[1:], "new"],
        }[change]
        made.append(len(names(after) - names(leaves)))
    assert np.mean(made) < 8
    assert max(made) < 20


def test_trees_are_low():
    heights = [len(levels([f"{seed}-{i}" for i in range(1_000)])) for seed in range(30)]
    assert np.mean(heights) < 5
    assert max(heights) <= 7


def test_a_span_outweighs_its_state_where_it_can():
    for state in (1, 99, 100, 101, 6_400, 6_401, 10**9):
        for count in (1, 5, 100):
            level = span_level(state, 100, count)
            assert FAN_IN**level * 100 >= state or FAN_IN**level >= count
            assert level == 0 or FAN_IN ** (level - 1) * 100 < state
            assert level == 0 or FAN_IN ** (level - 1) < count
