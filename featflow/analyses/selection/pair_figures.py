"""What two features, or a cross and a feature, say of a target together: from counts of all rows, and of parts of them.

Every figure is given of all rows, without each jackknife group, and of halves of the groups: tables of groups add up,
so no row is read again. Means under the null are exact for all rows; for a part they are those of all rows times the
ratio of degrees of freedom over rows, as half a chi-square over n has mean degrees / 2 n (Wilks 1938).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import lru_cache

import numpy as np

from featflow.measures.conditional_information import conditional_moments
from featflow.measures.effective_rows import whole_rows
from featflow.measures.group_null import GroupNull, group_null
from featflow.measures.information import entropy, expected_mutual_information, xlogx
from featflow.measures.jackknife import FEWEST_GROUPS
from featflow.summaries import PairCountsByGroup, PairCountsByGroupSummarizer
from featflow.summaries.joint_counts import in_threads

__all__ = ["Parts", "SideFigures", "cross_name", "measure_pairs", "parts_of"]

SEED = 20_061
"""Of the permutations that halve the groups; any number does, the same in every run."""
AT_ONCE = 32
"""Tables whose nulls a thread makes in one call: fewer spend time in Python, more leave threads idle."""


@dataclass(frozen=True)
class Parts:
    """Parts of the rows of which figures are given: all, all but one group, halves of the groups."""

    rows: np.ndarray
    """Rows, or weight, of every group that has any, shape (groups,)."""
    members: np.ndarray
    """Groups of each part, shape (parts, all groups), 0 or 1."""

    @property
    def deleted(self) -> slice:
        """Parts without one group each; none where there are too few groups."""
        return slice(1, 1 + (len(self.rows) if len(self.members) > 1 else 0))

    @property
    def halves(self) -> slice:
        """Parts that are halves of the groups, two by two without common groups."""
        return slice(self.deleted.stop, len(self.members))


def parts_of(rows: np.ndarray, stability: int) -> Parts:
    """Return the parts of groups with these rows, shape (groups,).

    Examples
    --------
    >>> parts = parts_of(np.full(8, 10), 2)
    >>> parts.members.sum(axis=1).tolist()
    [8, 7, 7, 7, 7, 7, 7, 7, 7, 4, 4, 4, 4]
    """
    return _parts_of(tuple(np.flatnonzero(rows).tolist()), tuple(rows[rows > 0].tolist()), len(rows), stability)


@lru_cache(maxsize=8)
def _parts_of(held: tuple[int, ...], rows: tuple[float, ...], groups: int, stability: int) -> Parts:
    whole = np.zeros((1, groups), np.int64)
    whole[0, list(held)] = 1
    members = [whole]
    if len(held) >= FEWEST_GROUPS:
        members.append(whole - np.eye(groups, dtype=np.int64)[list(held)])
        random = np.random.default_rng(SEED)
        for _ in range(stability):
            half = np.zeros((1, groups), np.int64)
            half[0, random.permutation(held)[: len(held) // 2]] = 1
            members += [half, whole - half]
    return Parts(np.array(rows), np.concatenate(members))


@dataclass(frozen=True)
class SideFigures:
    """Figures of ordered sides of tables, one a row: what the first says of the target within levels of the second."""

    names: list[tuple[str, str]]
    """Feature, and the feature within whose levels; the same twice is the feature alone."""
    information: np.ndarray
    """I(first; target | second) less its mean under the null, nats, shape (sides, parts)."""
    evidence: np.ndarray
    """What is tested, less its mean under the null, shape (sides,): of independent rows the information of all rows; of
    units chi-square / 2 n of the sum of groups, whose null is known and that of the information is not."""
    mean: np.ndarray
    """Mean of what is tested under the null, nats, shape (sides,)."""
    variance: np.ndarray
    """Its variance; NaN where it is not known."""
    shared: np.ndarray
    """I(first; second) less its mean under independence, shape (sides, parts)."""
    entropy: np.ndarray
    """H(first, second, target), shape (sides,), with the cells / 2 n that a sample's lacks (Miller 1955)."""
    first_entropy: np.ndarray
    """H(first), shape (sides,)."""
    target_entropy: np.ndarray
    """H(target), the same for all, shape (sides,)."""
    parts: Parts

    @classmethod
    def joined(cls, pieces: list[SideFigures]) -> SideFigures:
        """Return the sides of all pieces."""
        arrays = [f.name for f in fields(cls) if f.name not in ("names", "parts")]
        columns = {name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in arrays}
        return cls(names=[name for piece in pieces for name in piece.names], parts=pieces[0].parts, **columns)


@dataclass(frozen=True)
class _Side:
    """A table whose levels are of the first and whose strata are of the second feature."""

    names: tuple[str, str]
    table: np.ndarray
    """Shape (groups, strata, levels, classes)."""


def measure_pairs(
    crosses: frozenset[tuple[str, str]],
    scale: float,
    stability: int,
    units: bool,
    spec: PairCountsByGroupSummarizer,
    state: PairCountsByGroup,
) -> SideFigures:
    """Return the figures of all sides of a block of pairs and triples.

    Parameters
    ----------
    crosses
        Pairs of features that are features themselves.
    scale
        Rows of equal weight that a unit of weight is worth; 1 without weights.
    stability
        Times the groups are halved.
    units
        Whether groups are of whole units, whose rows depend on one another.
    """
    sides: list[_Side] = []
    for pair, table in zip(spec.pairs, spec.tables(state), strict=True):
        sides += _sides([coding.column.name for coding in pair], table[..., 1:], crosses)
    parts = parts_of(sides[0].table.sum(axis=(1, 2, 3)), stability)
    sides = [_Side(side.names, _occurring(side.table)) for side in sides]
    found: list[_Information] = [_NOTHING] * len(sides)
    expected, tests = np.empty(len(sides)), np.empty((3, len(sides)))

    def look(start: int) -> None:
        some, place = sides[start : start + AT_ONCE], slice(start, start + AT_ONCE)
        mean, variance, _ = conditional_moments([side.table.sum(axis=0) for side in some], scale)
        found[place] = [_information(side.table, parts, scale) for side in some]
        expected[place] = mean
        tests[:, place] = [each.information[0] for each in found[place]] - mean, mean, variance
        if units:
            nulls = [group_null(side.table.swapaxes(1, 2), scale) for side in some]
            expected[place] *= [1.0 if np.isnan(null.design_effect) else null.design_effect for null in nulls]
            rows = [2 * max(float(side.table.sum()) * scale, 1.0) for side in some]
            tests[:, place] = np.array([_test_of_groups(null, n) for null, n in zip(nulls, rows, strict=True)]).T

    in_threads(look, range(0, len(sides), AT_ONCE))
    joint, first, target = np.array([each.entropies for each in found]).T
    information = [each.information - mean * each.growth for each, mean in zip(found, expected, strict=True)]
    return SideFigures(
        names=[side.names for side in sides],
        information=np.array(information),
        evidence=tests[0],
        mean=tests[1],
        variance=tests[2],
        shared=np.array([each.shared for each in found]),
        entropy=joint,
        first_entropy=first,
        target_entropy=target,
        parts=parts,
    )


def _sides(names: list[str], table: np.ndarray, crosses: frozenset[tuple[str, str]]) -> Iterator[_Side]:
    """Yield what a table of a feature twice, of a pair or of a triple says, by group.

    Parameters
    ----------
    table
        Shape (groups, levels of each column, classes).
    """
    if len(names) == 3:
        for place in range(3):
            a, b = (name for at, name in enumerate(names) if at != place)
            if (a, b) in crosses:
                other = np.moveaxis(table, 1 + place, 1)
                flat = other.reshape(*other.shape[:2], -1, other.shape[-1])
                yield _Side((cross_name(a, b), names[place]), flat)
                yield _Side((names[place], cross_name(a, b)), flat.swapaxes(1, 2))
        return
    a, b = names
    if a == b:
        yield _Side((a, a), np.einsum("gllc->glc", table)[:, None])
        return
    yield _Side((a, b), table.swapaxes(1, 2))
    yield _Side((b, a), table)
    if (a, b) in crosses:
        yield _Side((cross_name(a, b),) * 2, table.reshape(len(table), 1, -1, table.shape[-1]))


def cross_name(a: str, b: str) -> str:
    """Return the name of a cross of two features."""
    return f"{a} x {b}"


def _occurring(table: np.ndarray) -> np.ndarray:
    """Return the table without levels that have no rows."""
    rows = table.sum(axis=(0, 3))
    return table[:, rows.any(axis=1)][:, :, rows.any(axis=0)]


@dataclass(frozen=True)
class _Information:
    information: np.ndarray
    """Plug-in I(levels; target | strata) of each part, shape (parts,)."""
    growth: np.ndarray
    """Degrees of freedom over rows of each part, over that of all rows."""
    shared: np.ndarray
    """Corrected I(levels; strata) of each part."""
    entropies: tuple[float, float, float]
    """Of levels, strata and classes together, of levels, of classes."""


_NOTHING = _Information(np.empty(0), np.empty(0), np.empty(0), (0.0, 0.0, 0.0))


def _information(table: np.ndarray, parts: Parts, scale: float) -> _Information:
    """Return the plug-in information of each part; the table is of shape (groups, strata, levels, classes)."""
    groups, members = table.reshape(len(table), -1), parts.members.astype(table.dtype)
    # Not a matrix product, whose last bits depend on threads where there are weights.
    cells = np.einsum("pg,gc->pc", members, groups).reshape(len(members), *table.shape[1:])
    margins = {axes: cells.sum(axis=axes) for axes in ((3,), (2,), (2, 3), (1, 2, 3))}
    rows = np.maximum(margins[1, 2, 3].astype(np.float64), 1e-300)
    sums = {axes: _xlogx_sum(margin) for axes, margin in margins.items()}
    information = np.maximum(_xlogx_sum(cells) - sums[3,] - sums[2,] + sums[2, 3], 0.0) / rows
    degrees = (np.count_nonzero(margins[3,], axis=2) - 1.0).clip(0) * (
        np.count_nonzero(margins[2,], axis=2) - 1.0
    ).clip(0)
    levels = margins[3,].sum(axis=1)
    shared = np.maximum(sums[3,] - sums[2, 3] - _xlogx_sum(levels) + xlogx(rows), 0.0) / rows
    of_both = (np.count_nonzero(levels, axis=1) - 1.0) * (np.count_nonzero(margins[2, 3], axis=1) - 1.0)
    whole = [whole_rows(margin, scale) for margin in (levels[0], margins[2, 3][0])]
    whole[1] = whole_rows(margins[2, 3][0], scale, int(whole[0].sum()))
    expected = expected_mutual_information(*whole) * _growth(of_both, rows)
    bias = np.count_nonzero(cells[0]) / (2 * max(rows[0] * scale, 1.0))
    classes = margins[2,][0].sum(axis=0)
    entropies = entropy(cells[0].ravel()) + bias, entropy(levels[0]), entropy(classes)
    return _Information(information, _growth(degrees.sum(axis=1), rows), shared - expected, entropies)


def _growth(degrees: np.ndarray, rows: np.ndarray) -> np.ndarray:
    by_row = degrees / rows
    return np.asarray(by_row / by_row[0] if by_row[0] > 0 else np.zeros_like(by_row))


def _xlogx_sum(cells: np.ndarray) -> np.ndarray:
    return np.asarray(xlogx(cells).reshape(len(cells), -1).sum(axis=1))


def _test_of_groups(null: GroupNull, rows: float) -> tuple[float, float, float]:
    """Return what is tested less its mean, the mean and the variance, as chi-square over twice the rows."""
    if null.part is None:
        return 0.0, 0.0, float("nan") if null.degrees else 0.0
    observed, mean, variance = null.part.observed / rows, null.part.mean / rows, null.part.variance / rows**2
    return observed - mean, mean, variance
