"""Interpolated terms against exact ones, and what they may not depend on."""

from __future__ import annotations

import numpy as np
import pytest

from featflow.measures.information import expected_excess_terms
from featflow.measures.null_interpolation import (
    COARSE,
    DIRECT,
    FINE,
    ClassTerms,
    class_terms,
    margin_nodes,
    node_weights,
)

TOTALS = [1, 5, 70, 3_000, 100_000, 10**6, 10**8, 3 * 10**9]
SHARES = [[1.0], [0.5, 0.5], [0.2, 0.8], [1e-2, 0.99], [1e-4, 1.0], [3e-6, 1.0], [1e-8, 1.0], [0.4, 0.3, 0.2, 0.1]]


def classes_of(total, shares):
    classes = np.minimum(np.maximum((np.array(shares) * total).astype(np.int64), 1), total)
    classes[-1] += total - classes.sum()
    return classes if classes.min() > 0 else np.array([total])


def margins_of(total):
    """Small ones, ones near the total, and some of every order of magnitude."""
    random = np.random.default_rng(0)
    spread = np.exp(random.uniform(0, np.log(total), 3_000)).astype(np.int64)
    return np.unique(np.concatenate([np.arange(min(total, 300) + 1), spread, total - np.arange(min(total, 100))]))


@pytest.mark.parametrize("total", TOTALS)
def test_terms_are_within_their_error_of_the_exact_ones(total):
    margins = margins_of(total)
    for shares in SHARES:
        classes = classes_of(total, shares)
        exact, ours = expected_excess_terms(margins, classes), ClassTerms(classes)(margins)
        np.testing.assert_allclose(ours, exact, rtol=0, atol=1e-8)
        few = margins <= FINE[0]
        np.testing.assert_allclose(ours[few], exact[few], rtol=0, atol=1e-14)


def test_a_term_depends_on_its_own_margin_alone():
    """Neither on the table's shape or type, nor on whether larger margins stand beside it."""
    classes = np.array([60_000, 40_000])
    margins = margins_of(100_000)
    together = ClassTerms(classes)(margins)
    alone = np.array([ClassTerms(classes)(margins[at : at + 1])[0] for at in range(0, len(margins), 97)])
    assert (together[::97] == alone).all()
    small = margins[margins < DIRECT]
    assert (ClassTerms(classes)(small) == together[: len(small)]).all()
    assert (ClassTerms(classes)(small.astype(float)) == together[: len(small)]).all()
    assert (ClassTerms(classes)(np.tile(margins, (2, 1)).T)[:, 1] == together).all()
    assert class_terms((60_000, 40_000)) is class_terms((60_000, 40_000))


@pytest.mark.parametrize("spacing", [FINE, COARSE])
@pytest.mark.parametrize("total", TOTALS)
def test_nodes_are_whole_ascending_and_their_own_weight(total, spacing):
    nodes = margin_nodes(total, spacing)
    assert nodes[0] == 0
    assert nodes[-1] == total
    assert (np.diff(nodes) > 0).all()
    assert (nodes[: spacing[0] + 1] == np.arange(min(spacing[0], total) + 1)).all()
    index, weights = node_weights(nodes, nodes)
    assert (nodes[index[weights != 0]] == nodes).all()
    assert set(weights.ravel().tolist()) <= {0.0, 1.0}


def test_weights_reproduce_polynomials_of_the_logarithm():
    nodes = margin_nodes(10**6)
    margins = np.array([65, 1_000, 77_777, 999_999])
    index, weights = node_weights(nodes, margins)
    for power in range(8):
        values = (weights * np.log1p(nodes[index]) ** power).sum(axis=1)
        np.testing.assert_allclose(values, np.log1p(margins) ** power, rtol=1e-9)
