"""Names of the states that merging leaves, and how many shards make one state.

States are merged in the order of shards. A group of neighbours ends where a hash of a member's place in the dataset
says so, about every `FAN_IN` members: a shard that comes or goes changes its own group and those above it, and leaves
all others as they are. Places alone decide the groups, so sums of floats come out the same, bit for bit, where files
are touched or copied. A merged state is named by its members, so a state that is made from several shards at once has
the name that merging theirs would have given. Its place is that of its last member, which ended the group.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from featflow.dataset.dataset import Shard

__all__ = ["FAN_IN", "MOST_MEMBERS", "Node", "levels", "subtree_level", "subtrees", "whole_name"]

FAN_IN = 8
"""States merged by one task, on average. A larger one reads more states again when a shard changes, a smaller one makes
more levels; with 8 a changed shard remakes some four states of a thousand shards."""
MOST_MEMBERS = 4 * FAN_IN
"""States merged by one task at most. The hash leaves one group in 70 unended for so long, (7/8)^32."""

Node = tuple[tuple[str, ...], str]
"""Names of the states that a state is merged from, and its own name."""


def levels(shards: Sequence[Shard]) -> list[list[Node]]:
    """Return the levels of the tree above the states of these shards, lowest first; none above a single one.

    A state that is a group of its own goes up as it is: its node has itself as its only member.
    """
    tree: list[list[Node]] = []
    places = {shard.digest: shard.place for shard in shards}
    while len(places) > 1:
        groups = _groups(places, len(tree))
        tree.append([(group, _merged_name(group) if len(group) > 1 else group[0]) for group in groups])
        places = {name: places[members[-1]] for members, name in tree[-1]}
    return tree


def _groups(places: Mapping[str, str], level: int) -> list[tuple[str, ...]]:
    """Cut neighbours, whose places are given by their names, into groups; where there are few they are one."""
    if len(places) <= FAN_IN:
        return [tuple(places)]
    groups: list[tuple[str, ...]] = []
    group: list[str] = []
    for name, place in places.items():
        group.append(name)
        if _ends_group(place, level) or len(group) == MOST_MEMBERS:
            groups.append(tuple(group))
            group = []
    return [*groups, tuple(group)] if group else groups


def _ends_group(place: str, level: int) -> bool:
    # The level takes part in the hash: a member that ended one group would else end those of all levels above.
    return hashlib.sha256(f"{level}:{place}".encode()).digest()[0] % FAN_IN == 0


def whole_name(shards: Sequence[Shard]) -> str:
    """Return the name of the state of all shards."""
    tree = levels(shards)
    return tree[-1][0][1] if tree else shards[0].digest


def subtree_level(state_bytes: int, shard_bytes: int, shards: int) -> int:
    """Return the lowest level of the tree at which the shards below a node outweigh its state, at most the root's.

    Parameters
    ----------
    state_bytes
        Bytes of one state.
    shard_bytes
        Bytes of one shard.

    Examples
    --------
    >>> subtree_level(1, 100, 50), subtree_level(300, 100, 50), subtree_level(10**9, 100, 50)
    (0, 1, 2)
    """
    level = 0
    while FAN_IN**level < shards and FAN_IN**level * shard_bytes < state_bytes:
        level += 1
    return level


def subtrees(shards: Sequence[Shard], level: int) -> list[tuple[tuple[Shard, ...], str]]:
    """Return the shards below each node of a level, 0 being the shards themselves, and the node's name."""
    spans: list[tuple[tuple[Shard, ...], str]] = [((shard,), shard.digest) for shard in shards]
    for nodes in levels(shards)[:level]:
        below = {name: span for span, name in spans}
        spans = [(tuple(shard for member in members for shard in below[member]), name) for members, name in nodes]
    return spans


def _merged_name(members: tuple[str, ...]) -> str:
    return "merged-" + hashlib.sha256("\n".join(members).encode()).hexdigest()[:24]
