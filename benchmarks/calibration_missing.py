"""Line 5: I(X;Y) = I(M;Y) + P(M=0) I(X;Y | M=0), worked out again from the raw columns of real data by pandas."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from calibration_checks import ranking_rows
from measured import Check
from scipy.special import xlogy
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

LINE = "5"
EXACT, MEAN = 1e-12, 1e-9


@dataclass(frozen=True)
class Source:
    """A data set, and features of it that are recomputed: every value a level."""

    name: str
    target: str
    features: tuple[str, ...]


SOURCES = (
    Source("hflights", "Cancelled", ("DepDelay", "TaxiOut", "ArrDelay", "UniqueCarrier", "AirTime")),
    Source("diabetes130", "readmitted", ("weight", "payer_code", "medical_specialty", "diag_1", "race")),
)


def information(x: pd.Series, y: pd.Series) -> float:
    """Return the plug-in information of two columns without missing values."""
    counts = pd.crosstab(x, y).to_numpy()
    p = counts / counts.sum()
    return float(xlogy(p, p / (p.sum(axis=1, keepdims=True) * p.sum(axis=0, keepdims=True))).sum())


def expected_missing(missing: pd.Series, y: pd.Series) -> float:
    """Return the mean of the missing part over permutations, by scikit-learn."""
    return float(expected_mutual_information(contingency_matrix(missing, y, sparse=True).astype(np.int64), len(y)))


def run(shared: Path) -> list[Check]:
    """Print the parts of every feature and return the checks."""
    names = " ".join(f"{name:>9}" for name in ("missing", "I(X;Y)", "I(M;Y)", "value"))
    print(f"{'data':<12} {'feature':<18} {names} {'left':>8} {'null':>8}")
    found = []
    for source in SOURCES:
        path = shared / "data" / f"{source.name}.parquet"
        if path.exists():
            found += _checked(source, path)
        else:
            print(f"skipped: {path} is not there")
    return found


def _checked(source: Source, path: Path) -> list[Check]:
    frame = pd.read_parquet(path)
    options = {
        "source": str(path),
        "targets": [source.target],
        "kinds": dict.fromkeys(source.features, "category"),
    }
    with tempfile.TemporaryDirectory(prefix="featflow-calibration-") as folder:
        rows = {row["feature"]: row for row in ranking_rows(Path(folder), options)}
    left = max(abs(row["missing_mi"] + row["value_mi"] - row["corrected_mi"]) for row in rows.values())
    found = [Check(LINE, f"{source.name}: largest missing_mi + value_mi - corrected_mi", left, 0.0, EXACT)]
    for feature in source.features:
        row, x, y = rows[feature], frame[feature], frame[source.target]
        missing = x.isna()
        of_pattern = information(missing, y)
        of_values = float((~missing).mean()) * information(x[~missing], y[~missing])
        left = abs(row["mi"] - of_pattern - of_values)
        null = abs(row["missing_mi"] - (of_pattern - expected_missing(missing, y)))
        print(
            f"{source.name:<12} {feature:<18} {missing.mean():>9.4f} {row['mi']:>9.6f} {of_pattern:>9.6f} "
            f"{of_values:>9.6f} {left:>8.0e} {null:>8.0e}"
        )
        found.append(Check(LINE, f"{source.name} {feature}: I(X;Y) less both parts", left, 0.0, EXACT))
        found.append(Check(LINE, f"{source.name} {feature}: missing_mi by scikit-learn", null, 0.0, MEAN))
    return found
