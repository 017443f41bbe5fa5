"""Evidence where margins by unit are of pair codes, as those of fine levels would be too many."""

from __future__ import annotations

import numpy as np
import pytest

from featflow.analyses.ranking import evidence as of_scores
from featflow.analyses.ranking.strata_information import strata_information

UNITS, LEVELS, PAIR_CODES = 100, 400, 4


def found(lean):
    """The evidence of 400 levels in 4 pair codes, of which one leans to the target, and that of the codes on rows."""
    random = np.random.default_rng(0)
    x, unit = random.integers(0, LEVELS, 4_000), random.integers(0, UNITS, 4_000)
    groups = np.arange(LEVELS) % PAIR_CODES
    y = (random.random(len(x)) < 0.5 + lean * (groups[x] == 0)).astype(np.int64)
    table, folded = np.zeros((LEVELS, 1, 2), np.int64), np.zeros((PAIR_CODES, 1, 2), np.int64)
    np.add.at(table[:, 0], (x, y), 1)
    np.add.at(folded[:, 0], (groups[x], y), 1)
    sides = np.zeros((UNITS, PAIR_CODES), np.int64), np.zeros((UNITS, 2), np.int64)
    np.add.at(sides[0], (unit, groups[x]), 1)
    np.add.at(sides[1], (unit, y), 1)
    tests, (_, expected) = of_scores.tests_of_rows([table], 1.0, counted=True), strata_information([table], 1.0)
    (mi,), (mean,) = strata_information([folded], 1.0)
    evidence = of_scores.evidence_of_units(
        [table], [sides], [groups], tests, expected, of_scores.Units("who", ordered=False)
    )[0]
    return (
        evidence,
        of_scores.tests_of_rows([folded], 1.0, counted=True)[0](mi),
        mi - mean,
        expected[0],
        tests[0](0.0).std,
    )


@pytest.mark.parametrize("lean", [0.0, 0.15])
def test_pair_codes_are_tested_against_their_own_null(lean):
    evidence, of_codes, corrected, expected, std = found(lean)
    assert np.log10(evidence.p_value) == pytest.approx(np.log10(of_codes.p_value), abs=0.5)
    assert (evidence.p_value < 1e-4) == (lean > 0)
    assert evidence.within + evidence.between == pytest.approx(corrected, abs=0.1 * of_codes.std + 0.05 * corrected)
    assert evidence.expected == pytest.approx(expected, rel=0.02)
    assert evidence.std == pytest.approx(std, rel=0.05)
