"""Welch's test of the difference of two estimates with unequal errors."""

from __future__ import annotations

import numpy as np
import polars as pl
from scipy import special

__all__ = ["reals", "welch"]


@np.errstate(divide="ignore", invalid="ignore")
def welch(change: np.ndarray, errors: np.ndarray, degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return z and the two-sided p-value of changes, shape (changes,); NaN where an error is not known or both are 0.

    Parameters
    ----------
    errors, degrees
        Standard errors before and after, and their degrees of freedom, shape (2, changes).
    """
    variance = (errors**2).sum(axis=0)
    z = change / np.sqrt(variance)
    freedom = variance**2 / (errors**4 / degrees).sum(axis=0)
    return z, np.asarray(2 * special.stdtr(freedom, -np.abs(z)))


def reals(series: pl.Series) -> np.ndarray:
    """Return numbers as float64, nulls as NaN."""
    return series.cast(pl.Float64).fill_null(float("nan")).to_numpy()
