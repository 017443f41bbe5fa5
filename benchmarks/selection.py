"""Whether selection keeps what tells, once, and no noise; and how good models on its first features are, beside peers.

Run it by

    python benchmarks/selection.py [--small] [--line planted,real] [--draws N] [--shared DIR] [--json FILE]
    python benchmarks/selection.py --line real --data FILE.parquet --target COLUMN --event VALUE

| line    | what                                                                                                  |
|---------|-------------------------------------------------------------------------------------------------------|
| planted | 5 signals of falling strength, two noisy copies of each, 24 columns of noise, 5,000 rows; and with    |
|         | the target shuffled: shares of draws in which noise, or not one of each signal, is kept               |
| real    | diabetes130 and hflights, or a file: columns of noise and noisy copies are planted, features chosen   |
|         | on 70 % of the rows, and a gradient-boosted model on the first 5, 10, 15 and 20 judged on the others, |
|         | beside the ranking, mutual_info_classif and, where they are installed, mrmr-selection and fastcan     |

Seeds are fixed. The exit code is 1 if a line fails.
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
import polars as pl
from measured import Check, conclude, print_table
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_selection import mutual_info_classif
from sklearn.metrics import roc_auc_score

import featflow

SIZES = (5, 10, 15, 20)
"""Features of the models."""
OFF = {"correlation": False, "interaction": False}
REAL = {
    "diabetes130": ("readmitted", "<30", ["encounter_id", "patient_nbr"]),
    "hflights": ("late", "yes", []),
}
"""Target, its event, and columns left out, by dataset; both keys of diabetes130 name rows and patients."""
KNOWN_BEFORE = [
    "Month",
    "DayofMonth",
    "DayOfWeek",
    "UniqueCarrier",
    "FlightNum",
    "TailNum",
    "Origin",
    "Dest",
    "Distance",
]
"""Columns of hflights that are known before departure."""
COPIED = 6
"""Columns of which a copy is planted, a tenth of its rows shuffled."""


def main() -> None:
    """Run the lines, print them, and check them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--line", default="planted,real", metavar="LINES", help="which to run, by commas")
    parser.add_argument("--small", action="store_true", help="few draws, planted data alone")
    parser.add_argument("--draws", type=int, default=None, help="draws of each line; 200 and 20 by default")
    parser.add_argument("--data", type=Path, metavar="FILE", help="another Parquet file for the line real")
    parser.add_argument("--target", help="its target")
    parser.add_argument("--event", help="value of the target that is predicted")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), metavar="DIR", help="where real data lie")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the figures")
    options = parser.parse_args()
    checks: list[Check] = []
    if "planted" in options.line:
        checks += planted_rates(options.draws or (4 if options.small else 200))
    if "real" in options.line and not options.small:
        if options.data:
            tables = {options.data.stem: (pl.read_parquet(options.data), options.target, options.event, [])}
        else:
            tables = {name: (read(name, options.shared), *REAL[name]) for name in REAL}
        for name, (table, target, event, excluded) in tables.items():
            checks += real_trial(name, table.drop(excluded), target, event, options.draws or 20)
    conclude(checks, options.json, [check.public() for check in checks])


def select(table: pl.DataFrame, target: str, method: str = "cmim", most: int = 50) -> tuple[list[str], list[str]]:
    """Return the kept features of a path, and all features by rank; the choice is of single features."""
    with tempfile.TemporaryDirectory() as folder:
        table.write_parquet(f"{folder}/data.parquet", row_group_size=max(table.height // 64, 1))
        config = {
            "dataset": {"source": f"{folder}/data.parquet", "targets": [target], "kinds": {target: "category"}},
            "output": f"{folder}/out",
            "engine": {"kind": "serial"},
            "analyses": {**OFF, "selection": {"methods": [method], "most": most, "stability": 0}},
        }
        run = featflow.run(config)
        return run.table("selection").filter("kept")["feature"].to_list(), run.table("ranking")["feature"].to_list()


# --- planted --------------------------------------------------------------------------------------------------------


def planted(seed: int, rows: int = 5000) -> pl.DataFrame:
    """Return signals, two copies of each that are right in 4 of 5 rows, and noise of 2 to 16 levels."""
    random = np.random.default_rng(seed)
    columns, logit = {}, np.zeros(rows)
    for place in range(5):
        signal = random.integers(0, 4, rows)
        logit += 0.9 * 0.75**place * (signal - 1.5)
        columns[f"signal{place}"] = _texts(signal)
        for copy in range(2):
            right = random.random(rows) < 0.8
            columns[f"signal{place}_copy{copy}"] = _texts(np.where(right, signal, random.integers(0, 4, rows)))
    for place in range(24):
        columns[f"noise{place}"] = _texts(random.integers(0, 2 + place * 14 // 23, rows))
    columns["y"] = np.where(random.random(rows) < 1 / (1 + np.exp(-logit)), "yes", "no").tolist()
    return pl.DataFrame(columns)


def planted_rates(draws: int) -> list[Check]:
    """Return the shares of draws in which what should be kept is."""
    clean = exact = empty = 0
    for seed in range(1000, 1000 + draws):
        kept, _ = select(planted(seed), "y")
        clean += not any(name.startswith("noise") for name in kept)
        exact += sorted(name.split("_")[0] for name in kept) == [f"signal{place}" for place in range(5)]
        shuffled, _ = select(planted(seed).with_columns(pl.col("y").shuffle(seed=seed)), "y")
        empty += not shuffled
    rows = [
        ("no noise kept", clean / draws),
        ("one of each signal", exact / draws),
        ("of a shuffled target, none", empty / draws),
    ]
    print_table(("planted", "share of draws"), rows)
    spare = 3 * np.sqrt(0.05 * 0.95 / draws) if draws < 100 else 0.0
    least = (0.93 - spare, 0.75 - spare, 0.93 - spare)
    return [Check("planted", what, share, low, 1.0) for (what, share), low in zip(rows, least, strict=True)]


def _texts(codes: np.ndarray) -> list[str]:
    return np.char.add("v", codes.astype(str)).tolist()


# --- real data ------------------------------------------------------------------------------------------------------


def read(name: str, shared: Path) -> pl.DataFrame:
    """Return a real table with its target."""
    table = pl.read_parquet(shared / "data" / f"{name}.parquet")
    if name == "hflights":
        late = pl.when(pl.col("ArrDelay") > 15).then(pl.lit("yes")).otherwise(pl.lit("no")).alias("late")
        return table.filter(pl.col("ArrDelay").is_not_null()).select(*KNOWN_BEFORE, late)
    return table


def with_plants(table: pl.DataFrame, target: str, random: np.random.Generator) -> pl.DataFrame:
    """Return the table with columns of noise, from two levels to an id, and noisy copies of some columns."""
    rows = table.height
    plants = {}
    for place, levels in enumerate(np.geomspace(2, rows, 12).astype(int)):
        plants[f"noise{place}"] = _texts(random.integers(0, levels, rows))
    varied = [name for name in table.columns if name != target and table[name].n_unique() > 2]
    for name in random.choice(varied, min(COPIED, len(varied)), replace=False).tolist():
        moved = np.flatnonzero(random.random(rows) < 0.1)
        order = np.arange(rows)
        order[moved] = random.permutation(moved)
        plants[f"{name}__copy"] = table[name].gather(order)
    return table.with_columns(**{name: pl.Series(values) for name, values in plants.items()})


def real_trial(name: str, table: pl.DataFrame, target: str, event: str, draws: int) -> list[Check]:
    """Return whether choices hold no noise and one copy of anything, and models on them are as good as the best."""
    clean, scores = 0, {}
    for seed in range(draws):
        random = np.random.default_rng(seed)
        data = with_plants(table, target, random).with_columns(
            pl.when(pl.col(target) == event).then(pl.lit("yes")).otherwise(pl.lit("no")).alias(target)
        )
        learn = random.random(data.height) < 0.7
        codes, y = encoded(data.drop(target)), data[target].to_numpy() == "yes"
        kept, ranked = select(data.filter(pl.Series(learn)), target)
        origins = [each.removesuffix("__copy") for each in kept]
        clean += not any(each.startswith("noise") for each in kept) and len(set(origins)) == len(origins)
        choices = {"cmim": kept, "ranking": ranked, **peers_of(codes, y, learn)}
        for contender, names in choices.items():
            for size in SIZES:
                scores.setdefault((contender, size), []).append(auc(codes.select(names[:size]), y, learn))
    contenders = sorted({contender for contender, _ in scores})
    means = {key: float(np.mean(values)) for key, values in scores.items()}
    rows = [(each, *(f"{means[each, size]:.4f}" for size in SIZES)) for each in contenders]
    print_table((f"{name}: AUC on the first", *map(str, SIZES)), rows)
    print(f"{name}: no noise and one copy of anything in {clean} of {draws} draws")
    checks = [Check("real", f"{name}: no noise, one copy of anything", clean / draws, 0.9, 1.0)]
    for size in SIZES:
        best = max((each for each in contenders if each != "cmim"), key=lambda each: means[each, size])
        apart = np.array(scores["cmim", size]) - np.array(scores[best, size])
        error = float(apart.std(ddof=1) / np.sqrt(draws)) if draws > 1 else np.inf
        what = f"{name}: AUC at {size} beside the best other, {best}"
        checks.append(Check("real", what, float(apart.mean()), -2 * error, 1.0))
    return checks


def encoded(table: pl.DataFrame) -> pl.DataFrame:
    """Return numbers as they are and categories by the order of their names, missing as NaN."""
    columns = []
    for each in table.iter_columns():
        number = each if each.dtype.is_numeric() else each.cast(pl.String).rank("dense")
        columns.append(number.cast(pl.Float64).fill_null(float("nan")).alias(each.name))
    return pl.DataFrame(columns)


def auc(codes: pl.DataFrame, y: np.ndarray, learn: np.ndarray) -> float:
    """Return the area under the curve of a gradient-boosted model on rows that it did not learn from."""
    x = codes.to_numpy()
    model = HistGradientBoostingClassifier(random_state=0).fit(x[learn], y[learn])
    return float(roc_auc_score(y[~learn], model.predict_proba(x[~learn])[:, 1]))


def peers_of(codes: pl.DataFrame, y: np.ndarray, learn: np.ndarray) -> dict[str, list[str]]:
    """Return the first features that peers choose from the learning rows, those peers that are installed."""
    x, names = np.nan_to_num(codes.to_numpy()[learn], nan=-1.0), np.array(codes.columns)
    most = max(SIZES)
    dense = np.column_stack([np.unique(column, return_inverse=True)[1] for column in x.T])
    found = {"mutual_info_classif": mutual_info_classif(dense, y[learn], discrete_features=True)}
    chosen = {peer: names[np.argsort(-score, kind="stable")[:most]].tolist() for peer, score in found.items()}
    for peer, choose in (("mrmr-selection", _mrmr), ("fastcan", _fastcan)):
        try:
            chosen[peer] = choose(x, y[learn], names, min(most, len(names)))
        except ImportError:
            print(f"{peer} is not installed")
    return chosen


def _mrmr(x: np.ndarray, y: np.ndarray, names: np.ndarray, most: int) -> list[str]:
    import pandas as pd  # noqa: PLC0415
    from mrmr import mrmr_classif  # noqa: PLC0415  a peer that need not be installed

    with warnings.catch_warnings(action="ignore"):
        return list(mrmr_classif(pd.DataFrame(x, columns=names), pd.Series(y.astype(int)), most, show_progress=False))


def _fastcan(x: np.ndarray, y: np.ndarray, names: np.ndarray, most: int) -> list[str]:
    from fastcan import FastCan  # noqa: PLC0415  a peer that need not be installed

    return names[FastCan(most, verbose=0).fit(x, y.astype(float)).indices_].tolist()


if __name__ == "__main__":
    main()
