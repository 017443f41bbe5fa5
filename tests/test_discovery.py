"""q-values over all blocks of a table."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import ndtr

from featflow.discovery import with_q_values
from featflow.measures.significance import false_discovery_rates
from featflow.tables import build, schema


def block(method, p_values):
    return build("correlation", {"method": [method] * len(p_values), "p_value": p_values, "n": [7] * len(p_values)})


@pytest.mark.parametrize("procedure", ["benjamini_hochberg", "benjamini_yekutieli"])
def test_cutting_into_blocks_changes_nothing(procedure):
    random = np.random.default_rng(0)
    p = {"pearson": random.random(40) ** 3, "cramers_v": random.random(25), "mutual_information": random.random(25)}
    p["cramers_v"][3] = np.nan
    mixed = pa.concat_tables([block(m, p[m][:13]) for m in ("cramers_v", "mutual_information")])
    rest = pa.concat_tables([block(m, p[m][13:]) for m in ("cramers_v", "mutual_information")])
    blocks = [block("pearson", p["pearson"][:1]), block("pearson", p["pearson"][1:]), block("pearson", []), mixed, rest]
    done = list(with_q_values(iter(blocks), procedure))
    whole = pa.concat_tables(done)
    assert whole.schema.equals(schema("correlation"), check_metadata=True)
    assert whole.drop(["q_value"]).equals(pa.concat_tables(blocks).drop(["q_value"]))
    for method, values in p.items():
        rows = whole.filter(pa.compute.equal(whole["method"], method))
        ours = rows["q_value"].to_numpy(zero_copy_only=False)
        np.testing.assert_array_equal(ours, false_discovery_rates(values, procedure))
    assert whole["q_value"].null_count == 1


def test_nothing_gives_nothing():
    assert list(with_q_values([], "benjamini_hochberg")) == []


def test_noise_is_rarely_reported_over_all_pairs():
    random = np.random.default_rng(1)
    reported = 0
    for _ in range(200):
        x = random.normal(size=(20, 100))
        r = np.corrcoef(x)[np.triu_indices(20, k=1)]
        p = 2 * ndtr(-np.abs(np.arctanh(r)) * np.sqrt(97))
        q = pa.concat_tables(
            with_q_values([block("pearson", p[:100]), block("pearson", p[100:])], "benjamini_hochberg")
        )
        reported += min(q["q_value"].to_pylist()) <= 0.05
    assert reported / 200 <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)
