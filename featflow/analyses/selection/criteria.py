"""Criteria by which the next feature is chosen, from what pairs of features say of the target.

Sources: CMIM, Fleuret (2004, JMLR 5); JMI, Yang & Moody (1999, NIPS 12); mRMR, Peng, Long & Ding (2005, IEEE TPAMI 27);
JMIM, Bennasar, Hicks & Setchi (2015, Expert Systems with Applications 42); DISR, Meyer & Bontempi (2006, EvoWorkshops);
the family, Brown, Pocock, Zhao & Lujan (2012, JMLR 13). Every term is corrected for chance. Arrays end in an axis of
parts of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Matrices", "criterion"]


@dataclass(frozen=True)
class Matrices:
    """Figures of all candidates against all; nats."""

    relevance: np.ndarray
    """I(k; target), shape (candidates, parts)."""
    conditional: np.ndarray
    """I(k; target | j), shape (candidates, candidates, parts); -infinite where it is not known."""
    shared: np.ndarray
    """I(k; j), the same shape."""
    entropy: np.ndarray
    """H(k), shape (candidates,)."""
    joint_entropy: np.ndarray
    """H(k, j, target), shape (candidates, candidates)."""
    target_entropy: float

    def joint(self, chosen: list[int]) -> np.ndarray:
        """Return I(k, j; target) of every candidate and every chosen feature, shape (candidates, chosen, parts).

        It is the mean of both ways to build it up, I(k) + I(j | k) and I(j) + I(k | j), whose corrections differ.
        """
        forth = self.relevance[:, None] + np.swapaxes(self.conditional[chosen], 0, 1)
        back = self.relevance[None, chosen] + self.conditional[:, chosen]
        return np.asarray((forth + back) / 2)


def criterion(method: str, figures: Matrices, chosen: list[int]) -> np.ndarray:
    """Return a criterion's value for every candidate once some are chosen, shape (candidates, parts).

    Examples
    --------
    >>> alone, given = np.array([[0.5], [0.4]]), np.array([[[0.0], [0.3]], [[0.1], [0.0]]])
    >>> figures = Matrices(alone, given, np.zeros((2, 2, 1)), np.ones(2), np.ones((2, 2)), 0.7)
    >>> criterion("cmim", figures, []).ravel().tolist(), criterion("cmim", figures, [0])[1].tolist()
    ([0.5, 0.4], [0.1])
    """
    relevance = figures.relevance
    if method == "three_mr":
        relevance = relevance / max(figures.target_entropy, 1e-300)
    if not chosen:
        return relevance
    match method:
        case "cmim":
            value = np.minimum(relevance, figures.conditional[:, chosen].min(axis=1))
        case "jmi":
            value = figures.conditional[:, chosen].mean(axis=1)
        case "mrmr":
            value = relevance - figures.shared[:, chosen].mean(axis=1)
        case "jmim":
            value = figures.joint(chosen).min(axis=1)
        case "disr":
            value = (figures.joint(chosen) / figures.joint_entropy[:, chosen, None]).sum(axis=1)
        case "three_mr":
            least = np.minimum(figures.entropy[:, None], figures.entropy[chosen])[..., None]
            redundancy = np.median(figures.shared[:, chosen] / np.maximum(least, 1e-300), axis=1)
            together = np.median(figures.joint(chosen), axis=1) / max(figures.target_entropy, 1e-300)
            value = relevance - redundancy + together
        case _:
            raise ValueError(f"no criterion {method}")
    return np.asarray(value)
