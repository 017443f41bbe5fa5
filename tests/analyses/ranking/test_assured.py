"""What noise does not reach, of scores made by hand: ties, features without a p-value, and runs from before it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from datasets import measured_again, mixed_table, write_parts
from scipy import stats

import featflow
from featflow.analyses.ranking import analysis
from featflow.analyses.ranking.analysis import Ranking
from featflow.analyses.ranking.drift import ranking_drift
from featflow.analyses.ranking.ranks import ranked
from featflow.analyses.ranking.tables import RANKING
from featflow.cli.main import main
from featflow.measures.options import UncertaintyOptions
from featflow.storage.tables import TableSpec

RATE = UncertaintyOptions().false_discovery_rate


def scored(mi, mean, std, names=None, p_values=None):
    """Scores of one target with gamma nulls, unranked; intervals are two deviations to either side."""
    mi, mean, std = (np.array(values, float) for values in (mi, mean, std))
    size = len(mi)
    if p_values is None:
        p_values = stats.gamma(mean**2 / std**2, scale=std**2 / mean).sf(mi).tolist()
    columns = {
        "target": ["y"] * size,
        "feature": names or [f"f{place:03d}" for place in range(size)],
        "p_value": p_values,
        "corrected_mi": mi - mean,
        "mi": mi,
        "expected_mi": mean,
        "null_std": std,
        "ci_low": mi - mean - 2 * std,
        "ci_high": mi - mean + 2 * std,
    }
    arrays = [
        pa.array(columns[each.name], each.type) if each.name in columns else pa.nulls(size, each.type)
        for each in RANKING.schema
    ]
    return pa.Table.from_arrays(arrays, schema=RANKING.schema)


def of(table, **options):
    return pl.from_arrow(ranked(table, UncertaintyOptions(**options)))


@pytest.mark.parametrize("procedure", ["benjamini_hochberg", "benjamini_yekutieli"])
@pytest.mark.parametrize("seed", range(20))
def test_only_what_is_significant_is_above_noise_and_stands_first(seed, procedure):
    random = np.random.default_rng(seed)
    mean = 10 ** random.uniform(-4, -1, 29)
    std = mean * 10 ** random.uniform(-1.5, 0, 29)
    mi = stats.gamma(mean**2 / std**2, scale=std**2 / mean).rvs(random_state=random)
    mi[:5] = mean[:5] + random.uniform(2, 8, 5) * std[:5]
    rows = of(scored(mi, mean, std), procedure=procedure)
    last = rows["p_value"].filter(rows["significant"]).max()  # it lies on its quantile, but for rounding
    apart = rows.filter(pl.col("p_value") != last) if last is not None else rows
    assert ((apart["assured_mi"] > 0) == apart["significant"]).all()
    assert rows["significant"].to_list() == sorted(rows["significant"], reverse=True)
    assert ((rows["rank_low"] <= rows["rank"]) & (rows["rank"] <= rows["rank_high"])).all()


def test_equal_features_stand_by_name():
    rows = of(scored([0.2, 0.2, 0.2, 0.5], [0.1] * 4, [0.01] * 4, ["c", "a", "b", "z"]))
    assert rows["feature"].to_list() == ["z", "a", "b", "c"]


def test_features_without_a_p_value_stand_last_and_were_not_tested():
    p_values = [0.03, 0.4, None, None]
    rows = of(scored([0.12, 0.11, 0.9, 0.8], [0.1] * 4, [0.01] * 4, list("abcd"), p_values))
    assert not rows["significant"].any()  # q is 0.06
    assert rows["feature"].to_list() == ["a", "b", "c", "d"]
    assert rows["assured_mi"].is_null().to_list() == [False, False, True, True]
    quantile = stats.gamma(100, scale=0.001).isf(RATE / 2)  # two are tested
    assert rows["assured_mi"].to_list()[:2] == pytest.approx([0.12 - quantile, 0.11 - quantile])


def test_ranks_of_another_order_are_not_compared():
    now = of(scored([0.3, 0.2], [0.1, 0.1], [0.01, 0.01])).with_columns(standard_error=0.01)
    before = now.drop("assured_mi")
    assert {row["metric"] for row in ranking_drift(now, now, (31, 31))} == {"information", "rank"}
    assert {row["metric"] for row in ranking_drift(before, before, (31, 31))} == {"information", "rank"}
    for pair in [(before, now), (now, before)]:
        assert {row["metric"] for row in ranking_drift(*pair, (31, 31))} == {"information"}


@pytest.fixture(scope="module")
def old_output(tmp_path_factory):
    """An output whose only run has a ranking without assured_mi, as they were written before there was one."""
    folder = tmp_path_factory.mktemp("old")
    write_parts(mixed_table(1_500).select(["x", "y", "city", "target"]), folder / "data", 3)
    config = {
        "dataset": {"source": str(folder / "data"), "targets": ["target"]},
        "output": str(folder / "out"),
        "engine": {"kind": "serial"},
        "analyses": {"correlation": False, "interaction": False},
    }
    place = RANKING.schema.get_field_index("assured_mi")
    old = TableSpec(RANKING.name, RANKING.row, RANKING.schema.remove(place))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(analysis, "ranked", lambda *given: ranked(*given).drop_columns(["assured_mi"]))
        patch.setattr(Ranking, "write", lambda self, context, write=Ranking.write: write(self, _As(context, old)))
        run = featflow.run(config)
    assert "assured_mi" not in run.table("ranking").columns
    return folder, config, run


class _As:
    """A context that writes the ranking under the table of old."""

    def __init__(self, context, old):
        self._context, self._old = context, old

    def __getattr__(self, name):
        return getattr(self._context, name)

    def write(self, table, pieces):
        self._context.write(self._old if table is RANKING else table, pieces)


def ends(arguments):
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_an_output_from_before_is_reported_compared_and_followed_by_a_night(old_output, capsys):
    folder, config, before = old_output
    output = str(folder / "out")
    assert ends(["report", output, "--to", str(folder / "report.html")]) == 0
    assert ends(["status", output]) == 0
    assert Ranking.shown(before, 160) is not None
    night = featflow.run(measured_again(config))
    assert night.table("ranking")["assured_mi"].is_not_null().all()
    metrics = set(night.table("drift").filter(pl.col("target") == "target")["metric"])
    assert "information" in metrics
    assert "rank" not in metrics
    assert ends(["compare", f"{output}/runs/{before.run_id}", f"{output}/runs/{night.run_id}"]) == 0
    capsys.readouterr()
