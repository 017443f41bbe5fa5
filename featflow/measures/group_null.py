"""A null of a table for groups of units: many units, or units whose margins are not kept.

A group's table less what its own margins predict, d_g = O_g - N_gx N_gy / n_g, has mean 0 where feature and target are
independent, whatever rows of one unit have in common, and groups of whole units are independent. So every change of
signs of the d_g is about as likely (Canay, Romano & Shaikh 2017, Econometrica 85), and chi-square of their sum is
compared with its mean and variance over all changes of signs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from featflow.measures.multiple_testing import gamma_tail
from featflow.measures.within_units import FEWEST_ROWS, NONE, NullPart

__all__ = ["GroupNull", "group_null"]

FEWEST_GROUPS = 8
"""Groups below which signs have too few changes: of 7 groups they are 64 pairs."""


@dataclass(frozen=True)
class GroupNull:
    """A table against its null on groups."""

    p_value: float
    """P(chi-square >= observed) over changes of signs; NaN of too few groups or rows, or of one value."""
    design_effect: float
    """Mean of the null on groups over that on rows; NaN of fewer groups."""
    degrees: float
    """Degrees of freedom of the table."""
    part: NullPart | None = None
    """Chi-square of the sum, and its moments over changes of signs; None without a p-value."""


def group_null(tables: np.ndarray, scale: float = 1.0) -> GroupNull:
    """Return the null of the sum of groups' tables.

    Parameters
    ----------
    tables
        Counts, or sums of weights, by group, shape (groups, levels, strata, classes).
    scale
        Rows of equal weight that a unit of weight is worth; 1 without weights.

    Examples
    --------
    >>> random = np.random.default_rng(0)
    >>> null = group_null(random.multinomial(100, np.full(4, 0.25), 32).reshape(32, 2, 1, 2))
    >>> bool(0.5 < null.design_effect < 2), null.p_value > 0.01
    (True, True)
    """
    groups = tables[tables.any(axis=(1, 2, 3))].astype(np.float64)
    whole = groups.sum(axis=0)
    levels, classes = whole.sum(axis=2), whole.sum(axis=0)  # (levels, strata), (strata, classes)
    rows = np.maximum(classes.sum(axis=1), 1e-300)
    degrees = float(
        ((np.count_nonzero(levels, axis=0) - 1.0).clip(0) * (np.count_nonzero(classes, axis=1) - 1.0).clip(0)).sum()
    )
    if len(groups) < FEWEST_GROUPS or not degrees:
        return GroupNull(float("nan"), float("nan") if degrees else 1.0, degrees)
    margins = groups.sum(axis=3)[..., None] * groups.sum(axis=1)[:, None]
    apart = groups - margins / np.maximum(groups.sum(axis=(1, 3)), 1e-300)[:, None, :, None]
    expected = levels[:, :, None] * classes[None] / rows[:, None]
    scaled = (apart / np.sqrt(np.where(expected > 0, expected, np.inf))).reshape(len(groups), -1)
    products = np.einsum("gc,hc->gh", scaled, scaled)  # not a matrix product, whose last bits depend on threads
    observed, own = float(products.sum()), np.diag(products)
    mean, variance = float(own.sum()), 2 * float((products**2).sum() - (own**2).sum())
    # Of the sum over signs a share 1 / groups is the observed one: what an association adds is taken off.
    effect = max(mean - observed / len(groups), 0.0) * len(groups) / (len(groups) - 1) * scale / degrees
    beyond = scale * float(rows.sum() - max(levels.sum(axis=1).max(), classes.sum(axis=0).max()))
    if variance <= NONE * mean**2 or beyond < FEWEST_ROWS:
        return GroupNull(float("nan"), effect, degrees)
    p_value = float(gamma_tail(np.array(observed), np.array(mean), np.array(variance)))
    return GroupNull(p_value, effect, degrees, NullPart(scale * observed, scale * mean, scale**2 * variance))
