"""Trees of states: spans of shards are nodes of them, and what comes or goes leaves most of them as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from featflow.dataset.dataset import Shard
from featflow.dataset.files import DataFile
from featflow.execution.merge_tree import FAN_IN, MOST_MEMBERS, levels, subtree_level, subtrees, whole_name


def shard(place, version="1"):
    return Shard(DataFile(f"/data/{place}", 1, version, place=place), (0,), (1,), 1)


def shards(count, prefix="shard"):
    return [shard(f"{prefix}{i}") for i in range(count)]


def names(leaves):
    return {name for level in levels(leaves) for _, name in level}


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 63, 64, 65, 130, 513])
@pytest.mark.parametrize("level", [0, 1, 2, 9])
def test_spans_are_nodes_of_the_tree(count, level):
    leaves = shards(count)
    runs = subtrees(leaves, level)
    assert [leaf for run, _ in runs for leaf in run] == leaves
    assert {name for _, name in runs} <= names(leaves) | {leaf.digest for leaf in leaves}
    assert len(runs) == (count if level == 0 else 1 if level == 9 else len(runs))


@pytest.mark.parametrize("count", [2, 9, 100, 3_000])
def test_a_tree_holds_every_leaf_once_and_no_node_too_many(count):
    leaves = [leaf.digest for leaf in shards(count)]
    below = {leaf: [leaf] for leaf in leaves}
    for level in levels(shards(count)):
        assert all(1 <= len(members) <= MOST_MEMBERS for members, _ in level)
        below = {name: [leaf for member in members for leaf in below[member]] for members, name in level}
    assert below == {whole_name(shards(count)): leaves}


@pytest.mark.parametrize(
    "change", ["a new shard", "a new shard between", "an expired shard", "a rewritten shard", "both ends move"]
)
def test_a_night_makes_few_nodes_anew(change):
    """Of 1,000 shards: a path from each place that changed to the root, and not the tree."""
    made = []
    for seed in range(30):
        leaves = shards(1_000, f"{seed}-")
        place = int(np.random.default_rng(seed).integers(0, 1_000))
        after = {
            "a new shard": [*leaves, shard("new")],
            "a new shard between": [*leaves[:place], shard("new"), *leaves[place:]],
            "an expired shard": leaves[1:],
            "a rewritten shard": [*leaves[:place], shard(leaves[place].file.place, "2"), *leaves[place + 1 :]],
            "both ends move": [*leaves[1:], shard("new")],
        }[change]
        made.append(len(names(after) - names(leaves)))
    assert np.mean(made) < 8
    assert max(made) < 10


@pytest.mark.parametrize("count", [1, 9, 100, 1_000])
def test_places_alone_decide_which_states_are_merged(count):
    """Files of another time, or of another folder: the same groups of states of other names."""
    before = shards(count)
    touched = [shard(leaf.file.place, "2") for leaf in before]
    copied = [replace(leaf, file=replace(leaf.file, uri=f"/copy/{leaf.file.place}")) for leaf in before]
    for after in (touched, copied):
        assert shape(after) == shape(before)
        assert whole_name(after) != whole_name(before)


def shape(leaves):
    return [[len(members) for members, _ in level] for level in levels(leaves)]


def test_trees_are_low():
    heights = [len(levels(shards(1_000, f"{seed}-"))) for seed in range(30)]
    assert np.mean(heights) < 5
    assert max(heights) <= 7


def test_a_span_outweighs_its_state_where_it_can():
    for state in (1, 99, 100, 101, 6_400, 6_401, 10**9):
        for count in (1, 5, 100):
            level = subtree_level(state, 100, count)
            assert FAN_IN**level * 100 >= state or FAN_IN**level >= count
            assert level == 0 or FAN_IN ** (level - 1) * 100 < state
            assert level == 0 or FAN_IN ** (level - 1) < count
