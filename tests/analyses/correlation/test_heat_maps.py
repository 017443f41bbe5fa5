"""Heat maps: the strongest columns, in the order of their dendrogram, and nothing where nothing is known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest

from featflow.analyses.correlation.heat_maps import heat_maps, ordered
from featflow.analyses.reporting.limits import PageLimits


def test_columns_alike_stand_together():
    random = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], 5)[random.permutation(15)]
    values = np.where(groups[:, None] == groups, 0.9, 0.05) - np.diag(np.full(15, np.nan))
    heat = ordered("pearson", [f"{group} {place}" for place, group in enumerate(groups)], values, 15)
    assert sorted(heat.names) == sorted(f"{group} {place}" for place, group in enumerate(groups))
    seen = [name[0] for name in heat.names]
    assert sum(before != after for before, after in pairwise(seen)) == 2
    place = {name: int(name.split()[1]) for name in heat.names}
    again = values[np.ix_([place[n] for n in heat.names], [place[n] for n in heat.names])]
    np.testing.assert_array_equal(heat.values, again)
    assert heat.branches[0].shape == (14, 4)
    assert heat.branches[0].min() >= 0
    assert heat.branches[0].max() <= 14


class NoMatrices:
    """A run without dense matrices."""

    manifest = {"config": {"analyses": {"correlation": {"dense": False}}}}  # noqa: RUF012


def test_of_many_columns_those_of_the_strongest_pairs_are_shown():
    names = [f"c{place:03d}" for place in range(200)]
    pairs = [(a, b, 0.9 if a < "c010" and b < "c010" else 0.01) for a in names for b in names if a < b]
    table = pl.DataFrame(pairs, schema=["feature_a", "feature_b", "value"], orient="row")
    table = table.with_columns(method=pl.lit("pearson"))
    (heat,) = heat_maps(NoMatrices(), table, PageLimits(100, heat=10))
    assert set(heat.names) == set(names[:10])
    assert (heat.columns, heat.unknown) == (200, 0)
    kept = table.filter(pl.col("value") > 0.5).head(40)
    (heat,) = heat_maps(NoMatrices(), kept, PageLimits(100))
    assert heat.unknown == 5
    assert np.isnan(heat.values).sum() == 10 + 2 * 5


def test_a_dense_run_fills_what_the_table_left_out(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    from featflow.config import parse
    from featflow.pipeline.job import run as run_job

    random = np.random.default_rng(1)
    columns = {f"x{place}": random.normal(size=400) for place in range(6)}
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    correlation = {"dense": True, "keep": {"above": 0.05}, "methods": ["pearson"]}
    analyses = {"correlation": correlation, "ranking": None, "interaction": None}
    dataset = {"source": str(tmp_path / "a.parquet")}
    run = run_job(
        parse({"dataset": dataset, "output": str(tmp_path / "o"), "engine": {"kind": "serial"}, "analyses": analyses})
    )
    (heat,) = heat_maps(run, run.table("correlation"), PageLimits(100))
    assert heat.unknown == 0
    truth = np.corrcoef([columns[name] for name in heat.names])
    off = ~np.eye(len(truth), dtype=bool)
    np.testing.assert_allclose(heat.values[off], truth[off], atol=1e-9)
    names, some = run.matrix("pearson", ["x4", "x1"])
    assert sorted(names) == ["x1", "x4"]
    assert some[0, 1] == pytest.approx(np.corrcoef(columns["x1"], columns["x4"])[0, 1])
