"""Line trial: 30 days x 200 rows whose target is a day's part, half of a column by row, and noise; whole runs.

20 columns are one random number a day, 10 are a coin a day, 5 are noise by row: what looks like evidence where rows
are counted, and is none. Units are days of event time, or a column of clusters, which have no order.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from calibration_checks import SEED, ranking_rows
from measured import Check, print_table

LINE = "trial"
DRAWS, SMALL_DRAWS = 50, 3
DAYS, DAY_ROWS = 30, 200
NUMBERS, COINS, BY_ROW = 20, 10, 5
NOISE = NUMBERS + COINS + BY_ROW
MOST_SIGNIFICANT = 1


def drawn(draw: int) -> pa.Table:
    """Return the rows of a draw."""
    random = np.random.default_rng((SEED, draw))
    day, rows = np.repeat(np.arange(DAYS), DAY_ROWS), DAYS * DAY_ROWS
    x = random.standard_normal(rows)
    seconds = day * 86_400 + np.tile(np.arange(DAY_ROWS), DAYS) * 60
    columns = {
        "date": pa.array(seconds.astype("datetime64[s]")),
        "day": pa.array([f"day {each:02d}" for each in day]),
        "x": x,
        "y": random.standard_normal(DAYS)[day] + 0.5 * x + random.standard_normal(rows),
    }
    columns |= {f"number_{index:02d}": random.standard_normal(DAYS)[day] for index in range(NUMBERS)}
    columns |= {f"coin_{index:02d}": random.integers(0, 2, DAYS)[day].astype(float) for index in range(COINS)}
    columns |= {f"by_row_{index:02d}": random.standard_normal(rows) for index in range(BY_ROW)}
    return pa.table(columns)


def ranked(draw: int, units: str) -> tuple[str, int]:
    """Return the first column of the ranking, and how many columns of noise are significant."""
    with tempfile.TemporaryDirectory(prefix="featflow-units-") as name:
        folder = Path(name)
        pq.write_table(drawn(draw), folder / "data.parquet")
        dataset = {"source": str(folder / "data.parquet"), "targets": ["y"]}
        if units == "event_time":
            rows = ranking_rows(folder, dataset | {"event_time": "date", "exclude": ["day"]}, drift=False)
        else:
            rows = ranking_rows(folder, dataset | {"exclude": ["date"]}, drift=False, ranking={"clusters": "day"})
    noise = [row for row in rows if row["feature"] not in {"date", "day", "x"}]
    return rows[0]["feature"], sum(bool(row["significant"]) for row in noise)


def run(small: bool, draws: int | None) -> list[Check]:
    """Print the table and return the checks."""
    wanted = min(draws or DRAWS, SMALL_DRAWS if small else DRAWS)
    lines, found = [], []
    for units in ("event_time", "clusters"):
        runs = [ranked(draw, units) for draw in range(wanted)]
        first, most = sum(name == "x" for name, _ in runs), max(noise for _, noise in runs)
        lines.append([units, wanted, first, most, sum(noise for _, noise in runs) / (wanted * NOISE)])
        found += [
            Check(LINE, f"{units}: runs in which x is not first", wanted - first, 0, 0),
            Check(LINE, f"{units}: most columns of noise that are significant in a run", most, 0, MOST_SIGNIFICANT),
        ]
    print(f"{NOISE} columns of noise and x, {DAYS} days x {DAY_ROWS} rows")
    print_table(("units", "runs", "x is first", "most significant noise", "share of noise"), lines)
    return found
