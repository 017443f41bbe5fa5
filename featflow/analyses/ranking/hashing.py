"""What a score loses where rare levels share buckets."""

from __future__ import annotations

import numpy as np

from featflow.analyses.ranking.strata_information import strata_information
from featflow.columns.codebook import CategoryCoding, Coding
from featflow.measures.hash_loss import extrapolated_loss

__all__ = ["hash_loss"]


def hash_loss(coding: Coding, table: np.ndarray, corrected: float, scale: float) -> float:
    """Return the information lost to hashing, nats, from what is lost when buckets are folded in two and in four.

    Parameters
    ----------
    coding
        Coding of the feature; NaN is returned of one without buckets.
    table
        Counts or sums of weights, shape (levels, strata, classes).
    corrected
        Score of the table, nats.
    scale
        Rows of equal weight that a unit of weight is worth; 1 without weights.
    """
    if not isinstance(coding, CategoryCoding) or coding.buckets < 4:
        return float("nan")
    first, folded = coding.first_bucket, []
    for times in (2, 4):
        tail = table[first:].reshape(-1, times, *table.shape[1:]).sum(axis=1)
        mi, expected = strata_information([np.concatenate([table[:first], tail])], scale)
        folded.append(float(mi[0] - expected[0]))
    return extrapolated_loss(corrected, *folded)
