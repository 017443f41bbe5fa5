"""Names of the states that merging leaves, and how many shards make one state.

States are merged in the order of shards. A group of neighbours ends where a hash of a member's name says so, about
every `FAN_IN` members: a shard that comes or goes changes its own group and those above it, and leaves all others as
they are. A merged state is named by its members, so a state that is made from several shards at once has the name
that merging theirs would have given.
"""

from __future__ import annotations

import hashlib

__all__ = ["FAN_IN", "MOST_MEMBERS", "Node", "levels", "span_level", "spans", "whole_name"]

FAN_IN = 8
"""States merged by one task, in the mean."""
MOST_MEMBERS = 4 * FAN_IN
"""States merged by one task at most."""

Node = tuple[tuple[str, ...], str]
"""Members of a state, and its name."""


def levels(leaves: list[str]) -> list[list[Node]]:
    """Return the levels of the tree above these states, lowest first; none above a single state.

    A state that is a group of its own goes up as it is: its node has itself as its only member.
    """
    found: list[list[Node]] = []
    while len(leaves) > 1:
        groups = _groups(leaves, len(found))
        found.append([(group, _merged_name(group) if len(group) > 1 else group[0]) for group in groups])
        leaves = [name for _, name in found[-1]]
    return found


def _groups(names: list[str], level: int) -> list[tuple[str, ...]]:
    """Cut neighbours into groups; where there are few they are one."""
    if len(names) <= FAN_IN:
        return [tuple(names)]
    groups: list[tuple[str, ...]] = []
    group: list[str] = []
    for name in names:
        group.append(name)
        if _ends_group(name, level) or len(group) == MOST_MEMBERS:
            groups.append(tuple(group))
            group = []
    return [*groups, tuple(group)] if group else groups


def _ends_group(name: str, level: int) -> bool:
    return hashlib.sha256(f"{level}:{name}".encode()).digest()[0] % FAN_IN == 0


def whole_name(leaves: list[str]) -> str:
    """Return the name of the state of all leaves.

    Examples
    --------
    >>> whole_name(["a"])
    'a'
    >>> nine = [f"shard{i}" for i in range(9)]
    >>> whole_name(nine) == whole_name(nine[:8])
    False
    """
    tree = levels(leaves)
    return tree[-1][0][1] if tree else leaves[0]


def span_level(state_bytes: int, shard_bytes: int, shards: int) -> int:
    """Return at which level of the tree a state stands for enough shards to be outweighed by them, or for all.

    Parameters
    ----------
    state_bytes
        Bytes of one state.
    shard_bytes
        Bytes of a shard that it is made from.

    Examples
    --------
    >>> span_level(1, 100, 50), span_level(300, 100, 50), span_level(10**9, 100, 50)
    (0, 1, 2)
    """
    level = 0
    while FAN_IN**level < shards and FAN_IN**level * shard_bytes < state_bytes:
        level += 1
    return level


def spans(leaves: list[str], level: int) -> list[tuple[tuple[str, ...], str]]:
    """Return the leaves below each node of a level, 0 being the leaves themselves, and the node's name."""
    found: list[tuple[tuple[str, ...], str]] = [((leaf,), leaf) for leaf in leaves]
    for nodes in levels(leaves)[:level]:
        below = dict(zip((name for _, name in found), (run for run, _ in found), strict=True))
        found = [(tuple(leaf for member in members for leaf in below[member]), name) for members, name in nodes]
    return found


def _merged_name(members: tuple[str, ...]) -> str:
    return "merged-" + hashlib.sha256("\n".join(members).encode()).hexdigest()[:24]
