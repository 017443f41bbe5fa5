"""Names of the states that merging leaves, and how many shards make one state.

States are merged in the order of shards with a constant fan-in. A merged state is named by its members, so a
state that is made from several shards at once has the name that merging theirs would have given.
"""

from __future__ import annotations

import hashlib

__all__ = ["FAN_IN", "Node", "levels", "span_size", "spans", "whole_name"]

FAN_IN = 8
"""States merged by one task."""

Node = tuple[tuple[str, ...], str]
"""Members of a state, and its name."""


def levels(leaves: list[str]) -> list[list[Node]]:
    """Return the levels of the tree above these states, lowest first; none above a single state.

    A lone state at the end of a level goes up as it is: its node has itself as its only member.
    """
    found: list[list[Node]] = []
    while len(leaves) > 1:
        groups = [tuple(leaves[i : i + FAN_IN]) for i in range(0, len(leaves), FAN_IN)]
        found.append([(group, _merged_name(group) if len(group) > 1 else group[0]) for group in groups])
        leaves = [name for _, name in found[-1]]
    return found


def whole_name(leaves: list[str]) -> str:
    """Return the name of the state of all leaves.

    Examples
    --------
    >>> whole_name(["a"])
    'a'
    >>> nine = [f"shard{i}" for i in range(9)]
    >>> whole_name(nine) == whole_name([whole_name(nine[:8]), "shard8"])
    True
    """
    tree = levels(leaves)
    return tree[-1][0][1] if tree else leaves[0]


def span_size(state_bytes: int, shard_bytes: int, shards: int) -> int:
    """Return how many neighbouring shards make one state: the fewest powers of `FAN_IN` that outweigh it, or all.

    Parameters
    ----------
    state_bytes
        Bytes of one state.
    shard_bytes
        Bytes of a shard that it is made from.

    Examples
    --------
    >>> span_size(1, 100, 50), span_size(300, 100, 50), span_size(10**9, 100, 50)
    (1, 8, 64)
    """
    size = 1
    while size < shards and size * shard_bytes < state_bytes:
        size *= FAN_IN
    return size


def spans(leaves: list[str], size: int) -> list[tuple[tuple[str, ...], str]]:
    """Return runs of ``size`` leaves, a power of `FAN_IN`, and the name of each run's state."""
    runs = (leaves[i : i + size] for i in range(0, len(leaves), size))
    return [(tuple(run), whole_name(run)) for run in runs]


def _merged_name(members: tuple[str, ...]) -> str:
    return "merged-" + hashlib.sha256("\n".join(members).encode()).hexdigest()[:24]
