"""Line 6: a stratum that explains a feature away, and p-values within strata.

Campaigns differ in how often they convert. ``echo`` is the row's campaign in seven rows of ten and another row's else,
and says nothing once the campaign is known; ``offer`` moves the odds within every campaign. For the draws ``echo`` is
permuted within campaigns.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from calibration_checks import SEED, batch_of, in_processes, levels_of, ranking_rows, widened
from measured import Check
from scipy.special import expit

from featflow.analyses.ranking.scores import RankingMeasure, ranking
from featflow.summaries import TargetCountsSummarizer

LINE = "6"
DRAWS, SMALL_DRAWS, CHUNK = 2_000, 100, 50
ROWS, DRAWN_ROWS = 200_000, 20_000
CAMPAIGNS, OFFERS, NOISE = 40, 5, 20
ECHO = 0.7
OFFER_LOGIT = 0.15
NO_MORE_THAN_NOISE = 3.0
"""Null standard deviations within which a score is noise."""
LEAKS = ["CancellationCode", "DepTime", "ArrTime", "ActualElapsedTime", "AirTime", "ArrDelay", "DepDelay", "TaxiIn"]
LEAKS += ["TaxiOut", "Diverted"]
SHOWN = 5


def planted(random: np.random.Generator, rows: int) -> dict[str, np.ndarray]:
    """Return campaign, echo, offer and the target, shape (rows,) each."""
    share = 1 / np.arange(1, CAMPAIGNS + 1) ** 0.5
    campaign, other = (random.choice(CAMPAIGNS, rows, p=share / share.sum()) for _ in range(2))
    offer = random.integers(0, OFFERS, rows)
    logit = random.normal(-1.0, 1.0, CAMPAIGNS)[campaign] + np.linspace(-OFFER_LOGIT, OFFER_LOGIT, OFFERS)[offer]
    echo = np.where(random.random(rows) < ECHO, campaign, other)
    return {"campaign": campaign, "echo": echo, "offer": offer, "converted": random.random(rows) < expit(logit)}


def stratified_p_values(chunk: int) -> list[float]:
    """Return p-values of ``echo`` within campaigns, permuted within them; each draw is a column."""
    columns = planted(np.random.default_rng(SEED), DRAWN_ROWS)
    columns = {name: values[np.argsort(columns["campaign"], kind="stable")] for name, values in columns.items()}
    names = [f"echo_{draw}" for draw in range(CHUNK)]
    features = tuple(levels_of(name, CAMPAIGNS) for name in names)
    spec = TargetCountsSummarizer(features, (levels_of("converted", 2),), (levels_of("campaign", CAMPAIGNS),))
    random = np.random.default_rng((SEED, chunk))
    draws = {name: columns["echo"][np.lexsort((random.random(DRAWN_ROWS), columns["campaign"]))] for name in names}
    state = spec.summarize(batch_of(campaign=columns["campaign"], converted=columns["converted"], **draws))
    return list(ranking(spec, state, RankingMeasure())[0].column("p_value").to_pylist())


def explained_away(folder: Path) -> list[Check]:
    """Run the job on planted rows without and with strata."""
    random = np.random.default_rng((SEED, 6))
    columns = planted(random, ROWS)
    noise = {f"noise_{index:02d}": random.integers(0, 3 * (index + 1), ROWS) for index in range(NOISE)}
    table = pa.table({name: values.astype(np.int32) for name, values in (columns | noise).items()})
    pq.write_table(table, folder / "data.parquet")
    kinds = dict.fromkeys(table.column_names, "category")
    found = []
    print(f"A campaign behind a feature, {ROWS:,} rows")
    print(f"{'strata':<9} {'feature':<7} {'corrected_mi':>12} {'marginal_mi':>12} {'z':>9} {'q':>9} significant")
    for strata in ([], ["campaign"]):
        options = {"source": str(folder / "data.parquet"), "targets": ["converted"], "kinds": kinds}
        rows = {row["feature"]: row for row in ranking_rows(folder, options, ranking={"strata": strata})}
        for name in ("echo", "offer"):
            row = rows[name]
            print(f"{', '.join(strata) or 'none':<9} {name:<7} {_scores(row)} {row['significant']}")
            wanted = not strata or name == "offer"
            what = f"strata {strata or 'none'}: {name} significant"
            found.append(Check(LINE, what, float(row["significant"]), float(wanted), float(wanted)))
        if strata:
            found.append(Check(LINE, "z of echo within campaigns", rows["echo"]["z"], -3.0, NO_MORE_THAN_NOISE))
    return found


def _scores(row: dict[str, Any]) -> str:
    marginal = "" if row["marginal_mi"] is None else f"{row['marginal_mi']:.6f}"
    z = "" if row["z"] is None else f"{row['z']:.1f}"
    return f"{row['corrected_mi']:>12.6f} {marginal:>12} {z:>9} {row['q_value']:>9.2g}"


def by_month(source: Path, folder: Path) -> None:
    """Show what of a real ranking is left within months."""
    print(f"hflights, target Cancelled, within Month: the first {SHOWN}")
    options = {"source": str(source), "targets": ["Cancelled"], "exclude": LEAKS}
    for row in ranking_rows(folder, options, ranking={"strata": ["Month"]})[:SHOWN]:
        print(f"{row['rank']:>9} {row['feature']:<18} {_scores(row)} {row['significant']}")


def run(small: bool, shared: Path) -> list[Check]:
    """Print the tables and return the checks."""
    with tempfile.TemporaryDirectory(prefix="featflow-calibration-") as folder:
        found = explained_away(Path(folder))
    source = shared / "data" / "hflights.parquet"
    if not source.exists():
        print(f"skipped: {source} is not there")
    elif not small:
        with tempfile.TemporaryDirectory(prefix="featflow-calibration-") as folder:
            by_month(source, Path(folder))
    draws = SMALL_DRAWS if small else DRAWS
    p_values = np.concatenate(list(in_processes(stratified_p_values, range(draws // CHUNK), small)))
    rates = [float((p_values <= nominal).mean()) for nominal in (0.05, 0.005)]
    print(f"echo within campaigns, {draws:,} permutations within them")
    print(f"rate at .05 {rates[0]:.4f}, at .005 {rates[1]:.4f}")
    for nominal, rate, limits in zip((0.05, 0.005), rates, ((0.03, 0.07), (0.001, 0.012)), strict=True):
        found.append(Check(LINE, f"echo within campaigns: rate at {nominal}", rate, *widened(*limits, draws, DRAWS)))
    return found
