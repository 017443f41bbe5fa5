"""What a page calls significant."""

from __future__ import annotations

import polars as pl

from featflow.analyses.reporting.significance import significant_pairs


def test_a_pair_that_repeats_itself_is_no_synergy():
    pairs = {"q_value": [0.0, 0.0, 0.0], "synergy": [-0.15, 0.1, 0.2], "ci_low": [0.003, 0.01, None]}
    assert significant_pairs(pl.DataFrame(pairs), 0.05)["synergy"].to_list() == [0.1]
